"""Fine-tuning on responses: rows that share the beginning of all prompts, against what one would otherwise write.

python -m benchmarks.instruct [--task lookright] [--data DIR] [--updates 6] [--rounds 3]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness.adapters.generator_settings import InstructedSettings
from harness.adapters.instruct import Example, InstructModel, InstructObjective, common_prefix
from harness.adapters.instructed import Instructed
from harness.adapters.passes import Room
from harness.adapters.weights import folder_of
from torch.nn import functional as F

from benchmarks.tables import (
    command,
    context_of,
    interleaved,
    parser_of,
    positive,
    rate_rows,
    refuse_short,
    write,
)
from harness.dataset import load_dataset
from harness.system import resolve_system, settings_of
from harness.task import task_card

BATCH = 16


def main() -> None:
    """Measure and write the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--task", default="lookright", help="whose sentences are read")
    parser.add_argument("--data", type=Path, help="the folder with the task's files")
    parser.add_argument("--updates", type=positive, default=6, help="of a round")
    parser.add_argument("--rounds", type=positive, default=3, help="of every contender, in turns")
    asked = parser.parse_args()
    settings = settings_of(resolve_system("smollm2-it"))
    examples = _examples(settings, asked.task, asked.data)
    refuse_short(asked.updates * asked.rounds * BATCH, len(examples), f"sentences of {asked.task}")
    prefix = common_prefix([example.prompt for example in examples])
    model = InstructModel(settings, folder_of(settings.model)).train()
    shared, apart = InstructObjective(model, prefix), InstructObjective(model, 0)
    passes: dict[str, Callable[[Sequence[Example]], None]] = {
        "rows with a common beginning": lambda batch: _rows(shared, batch),
        "rows": lambda batch: _rows(apart, batch),
        "padded batches, all logits": lambda batch: _padded(model, batch),
    }

    for run in passes.values():
        run(examples[:BATCH])  # warm up
    measures: dict[str, Any] = {
        name: lambda number, run=run: _rate(model, run, _drawn(examples, asked.updates, number))
        for name, run in passes.items()
    }
    rates = interleaved(measures, asked.rounds)
    text = (
        "Forward and backward passes of SmolLM2-135M, LoRA on all linear layers, bf16, in batches of "
        f"{BATCH} examples of `{asked.task}` of like length; {prefix} of their tokens are the same in all. Examples a "
        "second: the median of interleaved rounds, their range, and the median of the rounds' ratios."
    )
    write(
        f"instruct-{asked.task}",
        "Fine-tuning on responses",
        text,
        ["layout", "examples/s", "range", "ratio"],
        rate_rows(rates, "padded batches, all logits"),
    )


def _drawn(examples: Sequence[Example], updates: int, number: int) -> list[Example]:
    """The examples of a round, by length."""
    size = updates * BATCH
    return sorted(examples[number * size : (number + 1) * size], key=lambda one: len(one.prompt))


def _rate(model: InstructModel, run: Callable[[Sequence[Example]], None], examples: Sequence[Example]) -> float:
    begin = time.perf_counter()
    for first in range(0, len(examples), BATCH):
        run(examples[first : first + BATCH])
        model.zero_grad()
    return len(examples) / (time.perf_counter() - begin)


def _examples(settings: InstructedSettings, task: str, data: Path | None) -> list[Example]:
    dataset = load_dataset(task_card(task), data)
    with TemporaryDirectory() as folder:
        system = Instructed(settings, context_of(dataset, Path(folder), 1))
        system.writer = system.new_writer([])
        return system.examples(dataset.splits["train"].sentences)


def _rows(objective: InstructObjective, batch: Sequence[Example]) -> None:
    for loss, _ in objective.losses([batch], Room(8192)):
        loss.backward()


def _padded(model: InstructModel, batch: Sequence[Example]) -> None:
    """What the libraries do by default: whole prompts, padded to the longest, logits of every position."""
    length = max(len(one.prompt) + len(one.response) for one in batch)
    ids_BL = torch.zeros((len(batch), length), dtype=torch.long)
    mask_BL = torch.zeros_like(ids_BL)
    labels_BL = torch.full_like(ids_BL, -100)
    for row, one in enumerate(batch):
        whole = torch.tensor([*one.prompt, *one.response])
        ids_BL[row, : len(whole)] = whole
        mask_BL[row, : len(whole)] = 1
        labels_BL[row, len(one.prompt) : len(whole)] = whole[len(one.prompt) :]
    scores_BLV = model.language(input_ids=ids_BL, attention_mask=mask_BL).logits.float()
    F.cross_entropy(scores_BLV[:, :-1].flatten(0, 1), labels_BL[:, 1:].flatten(), reduction="sum").backward()


if __name__ == "__main__":
    command(main)
