"""`harness show prompt`: exactly what a system asks a model about a sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.commands.quiet import quiet_libraries
from harness.contracts import Context
from harness.dataset import load_dataset
from harness.errors import CardError, MissingModel
from harness.settings import parse_overrides
from harness.system import adapter_class, refuse_unused, resolve_system, settings_of
from harness.task import is_task_key, task_card


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """What was asked, as it was asked."""

    system: str
    task: str
    index: int
    seed: int
    preset: str
    set: Sequence[str]
    data: Path | None
    limit: int | None
    json: bool


def show_prompt(options: PromptOptions) -> None:
    """Print the prompt of a test sentence, white space and all."""
    quiet_libraries()
    if not options.system or not options.task:
        raise CardError("harness show prompt needs --system NAME and --task NAME, and takes --index N.")
    overrides = parse_overrides(list(options.set))
    of_system = {key: value for key, value in overrides.items() if not is_task_key(key)}
    card = task_card(options.task, {key: value for key, value in overrides.items() if is_task_key(key)})
    system = resolve_system(options.system, options.preset, of_system)
    refuse_unused(of_system, options.preset, [system])
    adapter, settings = adapter_class(system.card), settings_of(system)
    if lack := adapter.missing(settings):
        raise MissingModel(lack)
    dataset = load_dataset(card, options.data, options.limit)
    test = dataset.splits["test"].sentences
    if options.index >= len(test):
        raise CardError(f"--index {options.index}: the test split of {card.name} has sentences 0 to {len(test) - 1}.")
    with TemporaryDirectory(prefix="harness-") as folder:
        context = Context(dataset.labels, card.brief, options.seed, Path(folder), lambda row: None, lambda outputs: 0.0)
        labeled = test[options.index]
        text = adapter(settings, context).prompt(dataset.splits["train"].sentences, labeled.sentence)
    shown = {"sentence": labeled.sentence.id, "prompt": text}
    print(json.dumps(shown, indent=2, ensure_ascii=False) if options.json else text)
