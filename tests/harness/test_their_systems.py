"""Systems of third parties that fail, die, leave processes behind or count in numpy's numbers cost no other run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import Result
from harness.executors.local import _side_by_side
from harness.grid import Place, Request, jobs_of
from harness.job import Outcome
from harness.store import Store

Harness = Callable[..., Result]
THEIRS = """
import multiprocessing, os, pathlib, signal, subprocess, time
from multiprocessing.shared_memory import SharedMemory
from harness.adapters.gazetteer import Gazetteer

class Broken(Gazetteer):
    def predict(self, sentences):
        raise ZeroDivisionError(f"no luck with {os.environ.get('CUDA_VISIBLE_DEVICES')} in {os.getpid()}")

class Deadly(Gazetteer):
    def fit(self, train, validation):
        os.kill(os.getpid(), signal.SIGKILL)

class Leaving(Gazetteer):
    def fit(self, train, validation):
        child = subprocess.Popen(["sleep", "1000"])
        fork = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        fork.start()
        memory = SharedMemory(create=True, size=8)
        pathlib.Path(os.environ["LEFT_BEHIND"]).write_text(f"{child.pid} {fork.pid} {memory.name}")
        time.sleep(1000 if os.environ["WAITING"] else 0)
        os.kill(os.getpid(), signal.SIGKILL)
"""
WITH_NUMPY = """
import numpy as np
from harness.adapters.gazetteer import Gazetteer
from harness.contracts import Cost
from harness.outputs import Spans
from harness.spans import Span

class Numbers(Gazetteer):
    def fit(self, train, validation):
        for step in range(5):
            self.context.log({"step": step, "loss": np.float32(0.5)})

    def predict(self, sentences):
        return [Spans((Span(np.int64(0), np.int64(1), "positive"),)) for _ in sentences]

    def cost(self):
        return Cost(np.prod((3, 4)), np.int64(2))
"""

ODD = """
from harness.adapters.gazetteer import Gazetteer
from harness.contracts import System

class Silent(Gazetteer):
    def predict(self, sentences):
        return []

class Listing(Gazetteer):
    def predict(self, sentences):
        return [[(0, 1, "positive")] for _ in sentences]

class Unset(System):
    def predict(self, sentences):
        return []
"""

READER = """
from functools import wraps
from harness.reading import Reading
from harness.spans import Sentence, Span

def with_label(function):
    @wraps(function)
    def read(request):
        return function(request, "PER")
    return read

@with_label
def read(request, label):
    reading = Reading()
    for path in request.paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            reading.add(Sentence(str(number), line.split()), [Span(0, 1, label)], path, number)
    return reading
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with systems that fail, as cards."""
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")
    for name in ("Broken", "Deadly", "Leaving"):
        card = f'name = "{name.lower()}"\nadapter = "theirs:{name}"\n'
        (tmp_path / f"{name.lower()}.toml").write_text(card, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_failed_run_is_kept_with_its_error_and_stops_no_other(theirs: Path, harness: Harness) -> None:
    runs = theirs / "runs"
    grid = ["run", "-s", theirs / "broken.toml", "-s", theirs / "deadly.toml", "-s", "gazetteer", "-t", "lookright"]
    grid += ["--runs", runs, "--jobs", 2]
    result = harness(*grid)
    assert result.code == 1
    assert "no luck" in result.err and "SIGKILL" in result.err and "gazetteer" in result.out
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob(".failed/*/*/*/*.json"))]
    assert ["no luck" in one["error"] for one in kept] == [True, False]
    assert "ZeroDivisionError" in kept[0]["trace"]
    listed = json.loads(harness("ls", "runs", "--runs", runs, "--json").out)
    assert [(one["system"], "no luck" in one["error"]) for one in listed] == [
        ("gazetteer", False),
        ("broken", True),
        ("deadly", False),
    ]

    again = harness(*grid)
    assert again.code == 1
    assert again.err.count("failed before") == 2 and "2 of 3 runs failed" in again.err and "--retry-failed" in again.err

    (theirs / "theirs.py").write_text(THEIRS.split("class")[0] + "Broken = Deadly = Gazetteer\n", encoding="utf-8")
    mended = harness(*grid, "--retry-failed")
    assert mended.code == 0, mended.err
    assert not list(runs.glob(".failed/*/*/*/*.json"))
    assert len(Store(runs).folders()) == 3


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("Silent", 1, "predict returned 0 outputs for 20 sentences"),
        ("Listing", 1, "predict returned a list, where Tags, Spans or Text is meant"),
        ("Unset", 2, "has no settings_type"),
    ],
)
def test_what_is_no_system_or_returns_no_outputs_is_said(
    name: str, code: int, said: str, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_of_theirs.py").write_text(ODD, encoding="utf-8")
    (tmp_path / "odd.toml").write_text(f'name = "odd"\nadapter = "odd_of_theirs:{name}"\n', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    systems = ("-s", tmp_path / "odd.toml", "-s", "gazetteer")
    made = harness("run", *systems, "-t", "lookright", "--limit", 20, "--runs", tmp_path / "runs")
    assert (made.code, said in made.err) == (code, True), made.err


def test_numbers_of_numpy_are_numbers_and_rows_of_any_kind_are_kept(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numbers_of_theirs.py").write_text(WITH_NUMPY, encoding="utf-8")
    card = 'name = "numbers"\nadapter = "numbers_of_theirs:Numbers"\n'
    (tmp_path / "numbers.toml").write_text(card, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    runs = ("--runs", tmp_path / "runs")
    made = harness("run", "-s", tmp_path / "numbers.toml", "-t", "lookright", "--limit", 20, *runs)
    assert made.code == 0, made.err
    [folder] = Store(tmp_path / "runs").folders()
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    assert (record["cost"]["parameters"], record["cost"]["trained_parameters"]) == (12, 2)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(step, 0.5) for step in range(5)]
    assert harness("leaderboard", *runs, "--out", tmp_path / "boards", "--no-figures").code == 0


def test_a_process_whose_run_failed_with_a_gpu_is_not_used_again(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    card = str(theirs / "broken.toml")
    requests = [Request([card], ["lookright"], set={"min_share": share / 10}) for share in range(2)]
    jobs = jobs_of(requests, Place(None, theirs / "runs"))
    for devices in ([], ["7"]):
        said = [event.error for event in _side_by_side(jobs, 1, devices) if isinstance(event, Outcome)]
        assert [f"no luck with {devices[0] if devices else None}" in one for one in said] == [True, True]
        assert len(set(said)) == 1 + len(devices)


@pytest.mark.parametrize("ended", ["the worker", "the grid"])
def test_what_a_run_has_started_ends_with_it(ended: str, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind = theirs / "left-behind"
    monkeypatch.setenv("LEFT_BEHIND", str(left_behind))
    monkeypatch.setenv("WAITING", "yes" if ended == "the grid" else "")
    command = [sys.executable, "-m", "harness", "run", "-s", "leaving.toml", "-s", "broken.toml", "-t", "lookright"]
    with subprocess.Popen([*command, "--jobs", "2"], cwd=theirs, stderr=subprocess.DEVNULL) as grid:
        try:
            while not (left_behind.exists() and left_behind.read_text()):
                assert grid.poll() is None
                time.sleep(0.05)
            if ended == "the grid":
                grid.kill()
            child, fork, memory = left_behind.read_text().split()
            for started in (child, fork):
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(int(started)).wait(60)  # raises TimeoutExpired
            deadline = time.monotonic() + 60
            while Path("/dev/shm", memory).exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            grid.kill()


def test_a_reader_may_be_wrapped_and_its_words_a_list(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_reader.py").write_text(READER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    card = tmp_path / "lines.toml"
    files = 'train = ["train.txt"]\nvalidation = ["test.txt"]\ntest = ["test.txt"]\n'
    card.write_text(f'name = "lines"\nreader = "their_reader:read"\n[files]\n{files}', encoding="utf-8")
    (tmp_path / "train.txt").write_text("Ann ran\nBo sat\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("Cy ran\nBo sat\n", encoding="utf-8")
    task = ["--task", card, "--data", tmp_path]
    checked = json.loads(harness("check", *task, "--json").out)["tasks"]["lines"]["splits"]
    assert [split["also_in_train"] for split in checked.values()] == [None, 1, 1]
    done = harness("run", "-s", "oracle", *task, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
