"""Training as a grid does it, a process on each core: ours, the straightforward stack, and the paper's loop.

python -m benchmarks.grid --task wnut17 --data DIR [--updates 12] [--rounds 3] [--accumulation 1]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness.adapters.settings import TaggerSettings

from benchmarks.processes import begin_on, last_line, tell, wait_for
from benchmarks.tables import interleaved, square_rate, write
from benchmarks.training import (
    OPPONENTS,
    OURS,
    Facts,
    contender_of,
    share_rows,
    shuffled,
    stretch,
    subwords_of,
    windows_of,
)
from harness.commands.quiet import quiet_libraries
from harness.dataset import Dataset, load_dataset
from harness.environment import usable_cores
from harness.system import resolve_system, settings_of
from harness.task import task_card


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="tsa-md")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accumulation", type=int, default=1, help="batches of 16 an update")
    parser.add_argument("--only", choices=(OURS, *OPPONENTS), help=argparse.SUPPRESS)  # one, in this process
    parser.add_argument("--round", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    quiet_libraries()
    settings = settings_of(resolve_system("smollm2-unmask-0000"))
    settings = replace(settings, train=replace(settings.train, accumulation=asked.accumulation))
    dataset = load_dataset(task_card(asked.task), asked.data)
    if asked.only:
        print(_rate(asked.only, settings, dataset, asked.updates, asked.round))
        return
    names = (OURS, *OPPONENTS)
    found = interleaved({name: partial(_together, name, asked) for name in names}, asked.rounds)
    _write(asked, settings, dataset, found)


def _rate(name: str, settings: TaggerSettings, dataset: Dataset, updates: int, number: int) -> float:
    """Subwords a second of one contender, without padding, once it is warm."""
    contender, encoder = contender_of(name, settings, dataset)
    windows = shuffled(windows_of(encoder, dataset, "train"))
    size = settings.train.batch * settings.train.accumulation
    contender.train(windows[: 2 * size], 2)
    print("ready", flush=True)
    sys.stdin.readline()  # the others are ready too
    mine = stretch(windows, number, updates * size)
    return subwords_of(mine) / contender.train(mine, updates)


def _together(name: str, asked: argparse.Namespace, number: int) -> float:
    """The sum over processes, one on each core, that do the same and begin at the same moment, when all are warm."""
    options = {"--task": asked.task, "--updates": asked.updates, "--accumulation": asked.accumulation}
    options |= {"--only": name, "--round": number, **({"--data": asked.data} if asked.data else {})}
    arguments = ["benchmarks.grid", *(str(part) for option in options.items() for part in option)]
    processes = [begin_on(core, arguments, name == OURS) for core in usable_cores()]
    for process in processes:
        wait_for(process, "ready")
    for process in processes:
        tell(process, "begin")
    return sum(float(last_line(process)) for process in processes)


def _write(asked: Any, settings: TaggerSettings, dataset: Dataset, rates: dict[str, Sequence[float]]) -> None:
    ours, encoder = contender_of(OURS, settings, dataset)
    facts = Facts(ours.model, windows_of(encoder, dataset, "train"))
    size = settings.train.batch * settings.train.accumulation
    square = square_rate(torch.device("cpu"))
    text = (
        f"SmolLM2-135M, causal, LoRA r 16 on all linear layers, {len(usable_cores())} processes at once, each on one "
        f"core: updates of {size} sentences of `{asked.task}` of {facts.subwords:.0f} subwords on average, the "
        f"others' in batches of {settings.train.batch}. Subwords a second of all processes together, without padding: "
        f"medians of {asked.rounds} interleaved rounds, with range and median of the rounds' ratios to ours. The share "
        f"is of {square / 1e12:.2f} TFLOP/s, what bf16 products of 2048 x 2048 matrices reach on all cores."
    )
    head = ["", "subwords/s", "range", "ratio", "share"]
    title = f"Taggers side by side on {asked.task}: updates of {size}"
    write(f"grid-{asked.task}-updates-of-{size}", title, text, head, share_rows(rates, facts.flops(), square))


if __name__ == "__main__":
    main()
