"""Whole trainings of ours, the straightforward stack and the paper's loop: F1 over seeds, minutes, memory.

python -m benchmarks.quality --task tsa-md --data DIR [--seeds 4] [--only NAME ...] [--kept FILE]

As many trainings go on at once as there are cores, each on one of its own, as the runs of a grid do. FILE keeps what
came of each, a line of JSON, so that a command goes on from there, and can add seeds; what was trained with other
settings, weights or data, or on another processor, is not taken for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from harness.adapters.classifier import build_encoder
from harness.adapters.settings import TaggerSettings
from harness.adapters.tagger import Tagger
from harness.adapters.training import duration
from scipy.stats import ttest_ind

from benchmarks.contenders import OPPONENTS, OURS, windows_of
from benchmarks.processes import last_line, running_on
from benchmarks.tables import command, context_of, parser_of, write
from harness.dataset import Dataset, load_dataset
from harness.decode import Policy, decode_tags
from harness.environment import peak_memory, processor, usable_cores
from harness.errors import DataError, UserError
from harness.files import lines_of
from harness.grid import seeds_of
from harness.record import identity_of
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
    parser = parser_of(__doc__)
    parser.add_argument("--task", default="tsa-md", help="whose sentences are read")
    parser.add_argument("--data", type=Path, help="the folder with the task's files")
    parser.add_argument("--seeds", type=seeds_of, default="4", help="a number of seeds, or a list: 120,121")
    everyone = [OURS, *OPPONENTS]
    parser.add_argument("--only", nargs="+", choices=everyone, default=everyone, metavar="NAME", help="these of them")
    parser.add_argument("--kept", type=Path, help="a file that keeps what came of each training")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # trains the first, in this process
    asked = parser.parse_args()
    system, dataset = resolve_system("smollm2-unmask-0000"), load_dataset(task_card(asked.task), asked.data)
    settings = settings_of(system)
    if asked.here:
        print(json.dumps(asdict(train(asked.only[0], settings, dataset, asked.seeds[0]))))
        return
    identity = identity_of(system, Tagger.fingerprint(settings), dataset, Policy.STRICT)
    about = {"task": asked.task, "identity": identity, "processor": processor()}
    done = _kept(asked.kept, about)
    jobs = [(name, seed) for seed in asked.seeds for name in asked.only if (name, seed) not in done]
    cores: SimpleQueue[int] = SimpleQueue()
    for core in usable_cores():
        cores.put(core)
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        for job, found in zip(jobs, pool.map(lambda job: _alone(*job, about, asked, cores), jobs), strict=True):
            done[job] = found
    _write(asked.task, {name: [done[name, seed] for seed in asked.seeds] for name in asked.only})


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


def _kept(path: Path | None, about: Mapping[str, str]) -> dict[tuple[str, int], Found]:
    """What came of the trainings that a file has of those that are asked `about`, by contender and seed."""
    if not path:
        return {}
    try:
        path.open("a").close()  # a file that cannot be written shows before hours of training
    except OSError as error:
        raise UserError(f"--kept {path} cannot be written ({error.strerror}); name another file.") from error
    done = {}
    for number, line in lines_of(path.read_text(encoding="utf-8")):
        if not line:
            continue
        try:
            row = json.loads(line)
            if about.items() <= row.items():
                done[row["name"], row["seed"]] = Found(**row["found"])
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            fix = "Delete that line, or name another file."
            raise DataError(path, number, "this is not what came of a training.", fix) from error
    return done


def _alone(name: str, seed: int, about: Mapping[str, str], asked: argparse.Namespace, cores: SimpleQueue[int]) -> Found:
    """Train in a process of its own."""
    arguments = ["benchmarks.quality", "--task", asked.task, "--only", name, "--seeds", f"{seed},", "--here"]
    core = cores.get()
    try:
        data = ["--data", str(asked.data)] if asked.data else []
        with running_on([core], [*arguments, *data], name == OURS) as process:
            found = Found(**json.loads(last_line(process)))
    finally:
        cores.put(core)
    line = json.dumps({**about, "name": name, "seed": seed, "found": asdict(found)})
    print(line, flush=True)
    if asked.kept:
        with asked.kept.open("a", encoding="utf-8") as kept:
            kept.write(line + "\n")
    return found


def _f1(test: Sequence[Labeled], predicted: Sequence[Sequence[str]]) -> float:
    rows = [
        row_of(one.sentence.id, None, one.spans, decode_tags(tags).spans)
        for one, tags in zip(test, predicted, strict=True)
    ]
    return 100 * score(rows).micro.f1


def _write(task: str, found: dict[str, list[Found]]) -> None:
    seeds = len(next(iter(found.values())))
    text = (
        f"SmolLM2-135M, causal, LoRA r 16 on all linear layers, trained to the end of the preset with {seeds} seeds, "
        "each in a process of its own on one core. F1 on test, mean and standard deviation over seeds, and Welch's p "
        "for its difference to ours; medians of the minutes from loading the weights to the last update, compiling "
        "included where `auto` does it, and of peak memory."
    )
    ours = [run.f1 for run in found.get(OURS, [])]
    rows = []
    for name, runs in found.items():
        scores = [run.f1 for run in runs]
        deviation = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        minutes, memory = (statistics.median(getattr(run, fact) for run in runs) for fact in ("minutes", "memory"))
        comparable = name != OURS and len(ours) > 1 and len(scores) > 1
        p = f"{ttest_ind(ours, scores, equal_var=False).pvalue:.2f}" if comparable else ""
        rows.append([name, f"{statistics.mean(scores):.2f}{deviation}", p, f"{minutes:.1f}", f"{memory:,.0f}"])
    write(f"quality-{task}", f"Whole trainings on {task}", text, ["", "F1", "p", "minutes", "peak MiB"], rows)


if __name__ == "__main__":
    command(main)
