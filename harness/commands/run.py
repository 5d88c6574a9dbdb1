"""`harness run`: a grid of runs, or those of a study."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from harness.board import entries
from harness.commands.quiet import quiet_libraries, wait_briefly
from harness.commands.tables import print_table
from harness.environment import IMPORTED, rarely_collecting
from harness.errors import StoreError, UserError
from harness.executors import executor_of
from harness.grid import FIRST_SEED, Place, Request, jobs_of, without_chance
from harness.job import Job, Outcome, Started
from harness.progress import Progress
from harness.record import Record
from harness.store import WEIGHTS, RunKey, Store, read_record


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a grid is carried out."""

    data: Path | None
    runs: Path
    on: str
    jobs: int
    retry_failed: bool
    json: bool


@rarely_collecting(IMPORTED)
def run_grid(requests: Sequence[Request], options: RunOptions) -> int:
    """Carry out what is not in the store yet; the exit code. What can be checked is checked before any run begins."""
    quiet_libraries()
    wait_briefly()
    executor = executor_of(options.on, options.jobs)
    jobs = jobs_of(requests, Place(options.data, options.runs, here=options.on == "local"))
    for name in without_chance(requests):
        _say(f"{name}: every seed gives the same; the one run that stands for all has seed {FIRST_SEED}.")
    store = Store(options.runs)
    grid = _Grid(jobs, store)
    with _ended_as_interrupted(), grid.progress:
        to_do = grid.to_do(options.retry_failed)
        if to_do:
            with closing(executor.run(to_do)) as events:
                for event in events:
                    grid.take(event)
    if grid.progress.failed:
        before = f", {grid.before} of them before, and not tried now" if grid.before else ""
        _say(f"{grid.progress.failed} of {len(jobs)} runs failed{before}: --retry-failed tries them again.")
    _report(store, [key for key in grid.jobs if key in grid.stored], options.json)
    return 1 if grid.progress.failed else 0


@contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """Take being ended (SIGTERM, a terminal that is closed) as Ctrl-C: what is under way elsewhere ends as well."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if here and signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}  # nohup has it ignore the latter
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Grid:
    """The jobs of a grid, and what has become of them."""

    def __init__(self, jobs: Sequence[Job], store: Store) -> None:
        self.jobs = {job.key: job for job in jobs}
        self.store = store
        self.progress = Progress(jobs)
        self.stored: set[RunKey] = set()
        self.before = 0

    def to_do(self, retry_failed: bool) -> list[Job]:
        """Those that the store does not have, nor failed before; a grid of one run is always tried."""
        found = []
        for job in self.jobs.values():
            failure = self.store.failure(job.key)
            if self.store.has(job.key):
                self._keep(job.key, ran=False)
            elif failure and not retry_failed and len(self.jobs) > 1:
                self.progress.failed_before(job.key, failure["error"])
                self.before += 1
            else:
                found.append(job)
        return found

    def take(self, event: Started | Outcome) -> None:
        if isinstance(event, Started):
            self.progress.started(event)
        elif event.error:
            self._lose(event)
        else:
            if event.files:
                self.store.take(event.key, event.files)
            self._keep(event.key, event.ran)

    def _keep(self, key: RunKey, ran: bool) -> None:
        self.stored.add(key)
        self.store.forgive(key)
        folder = self.store.root / key.path
        self.progress.stored(key, read_record(folder), ran)
        if self.jobs[key].keep_weights and not ran and not (folder / WEIGHTS).is_dir():
            self.progress.say(key, ": --save came too late, the stored run has no weights; --runs DIR makes it anew.")

    def _lose(self, outcome: Outcome) -> None:
        if len(self.jobs) == 1 and not outcome.trace:
            raise UserError(outcome.error)
        self.store.fail(outcome.key, outcome.error, outcome.trace, outcome.host)
        self.progress.lost(outcome)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(store: Store, keys: Sequence[RunKey], as_json: bool) -> None:
    """Print what this grid asked for: every run as JSON, or a small table for each task."""
    if as_json:
        records = [asdict(read_record(store.root / key.path)) for key in keys]
        print(json.dumps(records, indent=2, ensure_ascii=False, default=str))
        return
    for task in dict.fromkeys(key.task for key in keys):
        asked = {key.identity for key in keys if key.task == task}
        folders = [folder for folder in store.folders(task) if folder.parent.name in asked]
        for line, board in entries(_readable(folders)).items():
            print(f"\n{task}  {line}")
            print_table(board)


def _readable(folders: Sequence[Path]) -> Iterator[tuple[Path, Record]]:
    """Folders and records of runs; what is wrong with another seed's is said, and does without it."""
    for folder in folders:
        try:
            yield folder, read_record(folder)
        except StoreError as error:
            _say(str(error))
