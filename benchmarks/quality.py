"""Whole trainings of ours, the straightforward stack and the paper's loop: F1 over seeds, minutes, memory.

python -m benchmarks.quality --task tsa-md --data DIR [--seeds 4] [--only NAME ...]

As many trainings go on at once as there are cores, each on one of its own, as the runs of a grid do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from harness.adapters.classifier import build_encoder
from harness.adapters.settings import TaggerSettings
from harness.adapters.tagger import Tagger
from harness.adapters.training import duration

from benchmarks.contenders import OPPONENTS, OURS, SEED, windows_of
from benchmarks.processes import begin_on, last_line
from benchmarks.tables import context_of, write
from harness.commands.quiet import quiet_libraries
from harness.dataset import Dataset, load_dataset
from harness.decode import decode_tags
from harness.environment import peak_memory, usable_cores
from harness.schemes import tags_of
from harness.scoring import row_of, score
from harness.spans import Labeled
from harness.system import resolve_system, settings_of
from harness.task import task_card


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a training: F1 on test in percent, its minutes, and the peak of memory in MiB."""

    f1: float
    minutes: float
    memory: float


def main() -> None:
    """Train, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="tsa-md")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", nargs="*", choices=(OURS, *OPPONENTS), default=[OURS, *OPPONENTS])
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)  # trains one, in this process
    asked = parser.parse_args()
    if asked.seed:
        quiet_libraries()
        settings = settings_of(resolve_system("smollm2-unmask-0000"))
        found = train(asked.only[0], settings, load_dataset(task_card(asked.task), asked.data), asked.seed)
        print(json.dumps([found.f1, found.minutes, found.memory]))
        return
    jobs = [(name, SEED + number) for number in range(asked.seeds) for name in asked.only]
    cores: SimpleQueue[int] = SimpleQueue()
    for core in usable_cores():
        cores.put(core)
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        done = list(pool.map(lambda job: _alone(*job, asked.task, asked.data, cores), jobs))
    _write(asked.task, asked.seeds, {name: done[i :: len(asked.only)] for i, name in enumerate(asked.only)})


def train(name: str, settings: TaggerSettings, dataset: Dataset, seed: int) -> Found:
    """Train to the end of the preset, and score the test split."""
    sentences, test = dataset.splits["train"].sentences, dataset.splits["test"].sentences
    tags = tags_of(dataset.labels)
    begin = time.perf_counter()
    if name == OURS:
        with TemporaryDirectory() as folder:
            system = Tagger(settings, context_of(dataset, Path(folder), seed))
            system.fit(sentences, dataset.splits["validation"].sentences)
            seconds = time.perf_counter() - begin
            predicted = [list(output.labels) for output in system.predict([one.sentence for one in test])]
    else:
        encoder = build_encoder(settings)
        opponent = OPPONENTS[name](settings, len(tags), encoder.pad, seed)
        windows = windows_of(encoder, dataset, "train")
        opponent.train(windows, duration(settings.train, len(windows))[1])
        seconds = time.perf_counter() - begin
        predicted = [[] for _ in test]
        tested = windows_of(encoder, dataset, "test")
        for window, best in zip(tested, opponent.predict(tested), strict=True):
            predicted[window.window.sentence] += [tags[number] for number in best]
    return Found(_f1(test, predicted), seconds / 60, peak_memory()["memory_mib"])


def _alone(name: str, seed: int, task: str, data: Path | None, cores: SimpleQueue[int]) -> Found:
    """Train in a process of its own."""
    arguments = ["benchmarks.quality", "--task", task, "--only", name, "--seed", str(seed)]
    core = cores.get()
    try:
        line = last_line(begin_on([core], [*arguments, *(["--data", str(data)] if data else [])], name == OURS))
    finally:
        cores.put(core)
    found = Found(*json.loads(line))
    print(name, seed, found, flush=True)
    return found


def _f1(test: Sequence[Labeled], predicted: Sequence[Sequence[str]]) -> float:
    rows = [
        row_of(one.sentence.id, None, one.spans, decode_tags(tags).spans)
        for one, tags in zip(test, predicted, strict=True)
    ]
    return 100 * score(rows).micro.f1


def _write(task: str, seeds: int, found: dict[str, list[Found]]) -> None:
    text = (
        f"SmolLM2-135M, causal, LoRA r 16 on all linear layers, trained to the end of the preset with {seeds} seeds, "
        f"{len(usable_cores())} trainings at once, each in a process of its own on one core. F1 on test, mean and "
        "standard deviation over seeds; minutes from loading the weights to the last update, compiling included where "
        "`auto` does it; peak memory."
    )
    rows = []
    for name, runs in found.items():
        scores = [run.f1 for run in runs]
        deviation = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        minutes, memory = (statistics.median(getattr(run, fact) for run in runs) for fact in ("minutes", "memory"))
        rows.append([name, f"{statistics.mean(scores):.2f}{deviation}", f"{minutes:.1f}", f"{memory:,.0f}"])
    write(f"quality-{task}", f"Whole trainings on {task}", text, ["", "F1", "minutes", "peak MiB"], rows)


if __name__ == "__main__":
    main()
