"""Carrying out a job on another machine: into the store where that is shared, or into one whose files are sent back."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from harness.commands.quiet import quiet_libraries, wait_briefly
from harness.environment import IMPORTED, rarely_collecting
from harness.job import Job, Outcome, work
from harness.store import Store


@rarely_collecting(IMPORTED)
def work_elsewhere(job: Job, mark: str) -> Outcome:
    """Carry out a job; `mark` is that of the store it is for."""
    quiet_libraries()
    wait_briefly()
    with contextlib.suppress(OSError):  # a folder that is not shared holds nothing that the job needs
        os.chdir(job.folder)
    if job.data_root:
        os.environ["HARNESS_DATA"] = str(job.data_root)
    store = Store(job.runs)
    if store.has_mark(mark):
        return work(job, store)
    with tempfile.TemporaryDirectory() as folder:
        outcome = work(job, Store(Path(folder)))
        run = Path(folder) / job.key.path
        files = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        return replace(outcome, files=files)
