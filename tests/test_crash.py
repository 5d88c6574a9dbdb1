"""kill -9 at any moment loses at most the run in progress."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Result
from harness.board import entries
from harness.commands.run import _ended_as_interrupted
from harness.runner import _TrainLog
from harness.store import Store
from test_cli import SMALL, tiny

GRID = ["run", "-s", "gazetteer", "-s", "smollm2-unmask-0?", "-t", "lookright"]


def start(runs: Path, decoder: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    options = tiny(decoder, "train.epochs=8", "machine.checkpoint_minutes=0.0001")
    command = [sys.executable, "-m", "harness", *GRID, "--runs", str(runs), *options]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where the tests run in a background
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, preexec_fn=heard)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tiny_decoder: Path, tmp_path: Path) -> None:
    process = start(tmp_path, tiny_decoder, stderr=subprocess.PIPE)
    while not checkpoints(tmp_path):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted; the same command goes on" in said
    assert len(list(tmp_path.glob("*/*/*/*/record.json"))) == 1  # the gazetteer's


def test_a_run_that_is_to_survive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with _ended_as_interrupted():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def checkpoints(runs: Path) -> list[int]:
    """The updates after which a run in progress has kept its state."""
    found = []
    for folder in runs.glob(".work/*/*/*/seed-*"):
        with contextlib.suppress(FileNotFoundError):  # the run ended meanwhile
            found += [int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")]
    return found


def results(runs: Path) -> dict[str, Any]:
    """What the store says, but for what a clock or a memory gauge says."""
    found: dict[str, Any] = {}
    for path in sorted(runs.glob("*/*/*/*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name in ("cost", "started", "finished"):
            del record[name]
        train = [json.loads(line) for line in (path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()]
        for row in train:
            del row["seconds"]
        files = {name: (path.parent / name).read_text(encoding="utf-8") for name in ("predictions.jsonl", "rows.jsonl")}
        found[str(path.relative_to(runs))] = {"record": record, "train": train, **files}
    return found


def board(runs: Path) -> list[Any]:
    return [
        (line, entry.first.title, entry.f1s, entry.interval)
        for line, board in entries(Store(runs).records("lookright")).items()
        for entry in board
    ]


def test_a_grid_killed_in_training_ends_as_one_that_was_not(tiny_decoder: Path, tmp_path: Path) -> None:
    assert start(tmp_path / "whole", tiny_decoder).wait() == 0
    runs = tmp_path / "killed"
    kills, finished_before = 0, set[Path]()
    while kills < 2:
        process = start(runs, tiny_decoder)
        seen = len(checkpoints(runs))
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if max(checkpoints(runs), default=0) > 5 + 3 * seen:
                break
            time.sleep(0.05)
        assert process.poll() is None, "the grid ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        done = set(runs.glob("*/*/*/*/record.json"))
        assert all(json.loads(path.read_text(encoding="utf-8"))["schema"] for path in done)
        assert finished_before <= done
        finished_before = done
    stamps = {path: path.stat().st_mtime_ns for path in finished_before}
    assert stamps, "nothing was finished before the kills, so nothing could be lost"
    assert start(runs, tiny_decoder).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert results(runs) == results(tmp_path / "whole")
    assert board(runs) == board(tmp_path / "whole")
    assert not [path for path in (runs / ".work").rglob("*") if path.is_file()]


def test_many_processes_at_one_run_do_it_once(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "-s",
        "gazetteer",
        "-t",
        "lookright",
        "--set",
        f"options.sizes={SMALL}",
    ]
    crowd = [
        subprocess.Popen(
            [*command, "--runs", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    said = [process.communicate()[1] for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 5
    assert sum("new)" in text for text in said) == 1
    assert len(list(tmp_path.glob("*/*/*/*/record.json"))) == 1


def quick_grid(what: str, folder: Path) -> list[str]:
    """What quick_grid.py printed."""
    command = [sys.executable, str(Path(__file__).with_name("quick_grid.py")), what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def boards(runs: Path, out: Path, harness: Callable[..., Result]) -> str:
    assert harness("leaderboard", "--runs", runs, "--out", out, "--no-figures").code == 0
    return re.sub(
        r"\| [\d,.]+ \| [\d.]+ GiB \|", "", (out / "lookright.md").read_text(encoding="utf-8")
    )  # speed, memory


def test_fifty_kills_leave_what_none_leaves(tmp_path: Path, harness: Callable[..., Result]) -> None:
    quick_grid("whole", tmp_path / "whole")
    kills = quick_grid("killed", tmp_path / "killed")
    assert len(kills) == 50 and len(set(kills)) > 5, "the kills did not fall in the middle of the grid"
    expected = boards(tmp_path / "whole", tmp_path / "a", harness)
    assert expected.count("gazetteer (min") > 40
    for number, store in enumerate(sorted((tmp_path / "killed").iterdir())):
        assert results(store) == results(tmp_path / "whole")
        assert boards(store, tmp_path / f"b{number}", harness) == expected
        assert not [path for path in (store / ".work").rglob("*") if path.is_file()]


def test_fifty_processes_at_one_store_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    quick_grid("crowd", tmp_path)
    found = list(Store(tmp_path).records("lookright"))
    assert sorted(record.overrides["min_share"] for _, record in found) == [*(i / 100 for i in range(50)), 0.99]


def test_a_row_of_the_training_log_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    log = _TrainLog(tmp_path / "train.jsonl")
    for update in (1, 2):
        log.add({"update": update})
    with log.path.open("r+b") as stream:
        stream.truncate(log.path.stat().st_size - 5)
    again = _TrainLog(log.path)
    for update in (2, 3):
        again.add({"update": update})
    assert [row["update"] for row in again.rows()] == [1, 2, 3]
