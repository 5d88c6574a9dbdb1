"""The live table of a grid: what is done, running, failed, to go, and the time left."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.grid import Place, Request, jobs_of
from harness.job import Outcome, Started
from harness.progress import Progress

RECORD: Any = SimpleNamespace(cost={"fit_seconds": 3.0}, scores={"test": SimpleNamespace(f1=50.0)})


def shown(progress: Progress) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(progress.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_table_counts_and_estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    requests = [Request(["gazetteer"], ["lookright"], set={"min_share": share / 10}) for share in range(6)]
    jobs = jobs_of(requests, Place(None, tmp_path))
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(jobs)
    assert shown(progress)[1].split() == ["0", "0", "0", "6", "–"]
    for job in jobs[:2]:
        progress.started(Started(job.key))
    now = 60.0
    progress.stored(jobs[0].key, RECORD, ran=True)
    progress.lost(Outcome(jobs[1].key, error="no [bold]luck"))
    progress.stored(jobs[2].key, RECORD, ran=False)  # from before: says nothing of how long a run takes
    progress.started(Started(jobs[3].key))
    now = 80.0
    head, counts, *running = shown(progress)
    assert head.split() == ["done", "running", "failed", "to", "go", "time", "left"]
    assert counts.split() == ["2", "1", "1", "2", "0:02:40"]  # 40 s of the one that runs, 60 s each for two more
    assert running == [f"[4/6] {jobs[3].title}  0:00:20"]
    said = capsys.readouterr().err
    assert "failed: no [bold]luck" in said and said.count("F1 50.00") == 2
