"""What the command line costs: its start, its listings, boards of a large store, scores of large files.

python -m benchmarks.start [--rounds 5] [--runs 10000] [--words 1000000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import seqeval_score
from benchmarks.tables import command, interleaved, parser_of, positive, write
from harness.bulk import score_columns
from harness.decode import Policy

_CALLS = ("score, called again", "seqeval, called again")
_LABELS = ("person", "location", "group", "product", "corporation", "creative-work")
_TASKS, _SYSTEMS = 5, 20


def main() -> None:
    """Measure and write the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=positive, default=5, help="of every contender, in turns")
    parser.add_argument("--runs", type=positive, default=10_000, help="in the store that a board is made of")
    parser.add_argument("--words", type=positive, default=1_000_000, help="in the files that are scored")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        gold, pred = _files(Path(folder), asked.words)
        store = _store(Path(folder), asked.runs)
        harness = [str(Path(sys.executable).with_name("harness"))]
        score = [*harness, "score", "--gold", str(gold), "--pred", str(pred), "--json"]
        seqeval = [sys.executable, seqeval_score.__file__, str(gold), str(pred)]
        calls = partial(score_columns, gold, pred, Policy.STRICT), partial(seqeval_score.scored, gold, pred)
        _check(json.loads(_output(score))["f1"], float(_output(seqeval)), *(call() for call in calls))
        board = [*harness, "leaderboard", "--runs", str(store), "--out", str(Path(folder) / "boards")]
        commands = {
            "an interpreter that does nothing": [sys.executable, "-c", ""],
            "harness --help": [*harness, "--help"],
            "harness ls systems": [*harness, "ls", "systems"],
            "harness score": score,
            "seqeval, mode strict": seqeval,
            f"harness leaderboard, {asked.runs:,} runs": board,
            f"harness leaderboard --no-figures, {asked.runs:,} runs": [*board, "--no-figures"],
        }
        timed = {name: partial(_run, command) for name, command in commands.items()}
        timed |= dict(zip(_CALLS, calls, strict=True))
        found = interleaved({name: partial(_seconds, call) for name, call in timed.items()}, asked.rounds)
    _write(asked, found)


def _check(ours: float, theirs: float, called: Any, their_call: float) -> None:
    """All have the same F1, to the last digit."""
    assert called and ours == theirs == called[0].f1 == their_call, (ours, theirs, called, their_call)


def _write(asked: argparse.Namespace, found: Mapping[str, Sequence[float]]) -> None:
    text = (
        f"Seconds of whole commands, from the shell, and of calls in a process that has made them before: the median "
        f"of {asked.rounds} interleaved rounds, and their range. "
        f"`score` and seqeval read the same two files of {asked.words:,} words and give the same F1 to the last digit; "
        f"the median of the rounds' ratios is {_ratio(found, 'harness score', 'seqeval, mode strict'):.1f}x, and "
        f"{_ratio(found, *_CALLS):.1f}x where both are called again. "
        f"The store has {_TASKS} tasks, {_SYSTEMS} systems."
    )
    rows = [[name, f"{median(took):.2f}", f"{min(took):.2f}–{max(took):.2f}"] for name, took in found.items()]
    write("start", "The command line", text, ["command", "seconds", "range"], rows)


def _ratio(found: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    return median(there / here for here, there in zip(found[ours], found[theirs], strict=True))


def _files(folder: Path, words: int) -> tuple[Path, Path]:
    """Gold and predictions of invented words: a mention in eight words, a predicted tag in thirty another."""
    draw = random.Random(1)
    gold, pred = folder / "gold.conll", folder / "pred.conll"
    with gold.open("w", encoding="utf-8") as left, pred.open("w", encoding="utf-8") as right:
        done = 0
        while done < words:
            tags = _sentence(draw)
            done += len(tags)
            for tag in tags:
                word = f"word{draw.randrange(5000)}"
                other = draw.choice(("O", "B-person", "I-location")) if draw.random() < 1 / 30 else tag
                left.write(f"{word} {tag}\n")
                right.write(f"{word} {other}\n")
            left.write("\n")
            right.write("\n")
    return gold, pred


def _sentence(draw: random.Random) -> list[str]:
    tags: list[str] = []
    while len(tags) < draw.randint(5, 35):
        if draw.random() < 0.07:
            label = draw.choice(_LABELS)
            tags += [f"B-{label}", *[f"I-{label}"] * draw.choice((0, 0, 1, 2))]
        else:
            tags.append("O")
    return tags


def _store(folder: Path, runs: int) -> Path:
    """A store of that many runs: copies of a real one under other names."""
    real = folder / "real"
    harness = str(Path(sys.executable).with_name("harness"))
    subprocess.run(
        [harness, "run", "--system", "gazetteer", "--task", "lookright", "--runs", str(real)],
        check=True,
        capture_output=True,
    )
    record_path = next(real.glob("lookright/*/*/seed-*/record.json"))
    record = json.loads(record_path.read_text(encoding="utf-8"))
    files = {name: (record_path.parent / name).read_bytes() for name in ("rows.jsonl", "sums.npy", "train.jsonl")}
    store = folder / "store"
    for number in range(runs):
        task, system, seed = number % _TASKS, number // _TASKS % _SYSTEMS, number // (_TASKS * _SYSTEMS)
        home = store / f"task-{task}" / f"system-{system}" / f"{system:016x}" / f"seed-{seed}"
        home.mkdir(parents=True)
        name = f"system-{system}"
        values = record | {"task": f"task-{task}", "system": name, "title": name, "seed": seed}
        values["identity"] = f"{system:016x}"
        (home / "record.json").write_text(json.dumps(values), encoding="utf-8")
        for name, content in files.items():
            (home / name).write_bytes(content)
    return store


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(command: list[str]) -> None:
    """As where what Python compiles is kept, which is where nothing is said about it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, capture_output=True, check=True, env=environment | {"COLUMNS": "100"})


def _seconds(call: Callable[[], object], _: int) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    command(main)
