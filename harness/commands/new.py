"""`harness new`: cards to start from."""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import CardError, UserError
from harness.files import write_whole

TASK = """\
# A task. Check it with:  harness check --task {name}.toml --data DIR
# Run it with:            harness run --system gazetteer --task {name}.toml --data DIR
name = "{name}"
description = "What is labeled, in which text."
version = "1"
source = "Where the files come from."
license = "What their owner asks."
citation = ""
reader = "columns"  # columns, spans-json, semeval, maven, brat, hub, or "your.module:function"

[labels]            # label = the words a prompt uses for it
PER = "person"
LOC = "location"

[files]             # alternative patterns, looked for in --data DIR and $HARNESS_DATA/{name}/
train = ["train.txt"]
test = ["test.txt"]

[holdout]           # splits that are drawn from train; leave out what has files of its own
validation = 0.1

[options]           # the reader's own
word = 0            # columns count from 0, negative ones from the right
tag = -1
scheme = "IOB2"     # IO, IOB1, IOB2, BIOES, BILOU, BMEWO
"""

SYSTEM = """\
# A system: a pretrained model as a tagger.
# Check it with:  harness check --system {name}.toml
# Run it with:    harness run --system {name}.toml --task lookright
# A decoder (kind = "decoder") is named with its mask bits, --system {name}.toml-unmask-0011, or as a model that writes:
# {name}.toml-0shot, {name}.toml-5shot, {name}.toml-it
name = "{name}"
adapter = "tagger"
kind = "encoder"    # encoder or decoder
description = "Which model this is."
source = "Where its weights come from."
license = ""
preset = "full"     # paper (QLoRA), small (LoRA, bf16), full (full fine-tuning)

[settings.model]
path = "some-owner/some-model"  # a folder with safetensors, a hub id, or embedded:minilm

[settings.train]    # whatever differs from the preset; every key is in: harness show {name}.toml
epochs = 5
"""


def write_card(kind: str, name: str, out: Path) -> None:
    """Write `<out>/<name>.toml`. Raises UserError rather than overwrite a file."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise CardError(f"The name {name!r} must be made of lower-case letters, digits, dots and dashes.")
    path = out / f"{name}.toml"
    if path.exists():
        raise UserError(f"{path} exists already; remove it or take another name.")
    write_whole(path, (TASK if kind == "task" else SYSTEM).replace("{name}", name))
    print(path)
