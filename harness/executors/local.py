"""Runs on this machine: one after the other in this process, or side by side in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TypeVar

import psutil

from harness.contracts import QUICK, Resources
from harness.environment import gpus, usable_cores
from harness.errors import CardError
from harness.executors import Executor
from harness.job import Events, Job, Outcome, Started, work
from harness.processes import end_group
from harness.store import Store

T = TypeVar("T")
_SHARE = 0.8  # of the free memory, to be given away
_THREADS = "OMP_NUM_THREADS"  # which torch and MKL go by
ALLOCATOR = {  # memory is kept for the next batch, in large pages; what the user set goes before
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=268435456"
}
_LINES = 20  # of what a process said last, kept where it died


class Local(Executor):
    """As many processes as cores, GPUs and memory hold of what a system says it needs; `--jobs` says another number."""

    def run(self, jobs: Sequence[Job]) -> Events:
        if self.target:
            raise CardError(
                f"--on local takes nothing behind a colon, not {self.target!r}; --jobs says how many at once."
            )
        for need, group in _alike(jobs):
            quick = need == QUICK
            count = min(self.jobs or (1 if quick else processes_for(need)), len(group))
            if len(jobs) == 1 or (quick and count == 1):
                yield from _here(group, progress=len(jobs) == 1 and sys.stderr.isatty())
            else:  # also one at a time: a process that dies takes one run with it, and not the grid
                uses_gpus = need.gpus or "torch" in sys.modules  # what has not imported it uses none
                yield from _side_by_side(group, count, gpus() if uses_gpus else [])


def _alike(jobs: Sequence[Job]) -> list[tuple[Resources, list[Job]]]:
    """The jobs that can go on side by side, those that need little first: each group with the most that one needs."""
    groups: dict[tuple[bool, int, int], list[tuple[Resources, Job]]] = {}
    for job in jobs:
        need = job.resources()
        groups.setdefault((need != QUICK, need.gpus, need.cores), []).append((need, job))
    return [
        (max((need for need, _ in group), key=lambda need: need.memory_gib), [job for _, job in group])
        for _, group in sorted(groups.items())
    ]


def processes_for(need: Resources) -> int:
    """How many runs that need this much fit on this machine at once, at least one."""
    limits = [
        len(usable_cores()) // max(1, need.cores),
        int(_SHARE * psutil.virtual_memory().available / 2**30 / need.memory_gib),
    ]
    if need.gpus:
        limits.append(len(gpus()) // need.gpus)
    return max(1, min(limits))


def _here(jobs: Sequence[Job], progress: bool) -> Events:
    for job in jobs:
        yield Started(job.key)
        yield work(job, Store(job.runs), progress)


def _side_by_side(jobs: Sequence[Job], count: int, devices: Sequence[str] = ()) -> Events:
    events: SimpleQueue[Started | Outcome] = SimpleQueue()
    left, choosing = deque(jobs), threading.Lock()
    workers = [_Worker(number, count, devices) for number in range(count)]

    def serve(worker: _Worker) -> None:
        while left:
            try:
                with choosing:
                    job = _next(left)
            except IndexError:
                break
            events.put(Started(job.key))
            try:
                events.put(worker.ask(job))
            except Exception as error:  # of this machine: no process, no pipe
                events.put(Outcome(job.key, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()))

    threads = [threading.Thread(target=serve, args=[worker], daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        ended = 0
        while ended < len(jobs):
            event = events.get()
            ended += isinstance(event, Outcome)
            yield event
    finally:
        left.clear()
        for worker, thread in zip(workers, threads, strict=True):
            worker.kill()
            thread.join()
            worker.close()


def _next(left: deque[Job]) -> Job:
    """The first job that nobody else has under way, or the first: two grids on one store share their runs."""
    for _ in range(len(left)):
        if Store(left[0].runs).is_free(left[0].key):
            break
        left.rotate(-1)
    return left.popleft()


class _Worker:
    """A process that carries out jobs, on its share of the cores and GPUs; started when it is needed, and again."""

    def __init__(self, number: int, count: int, devices: Sequence[str]) -> None:
        self.cores, self.gpus = _share(usable_cores(), number, count), _share(devices, number, count)
        self.process: subprocess.Popen[str] | None = None
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.ended = False

    def ask(self, job: Job) -> Outcome:
        message = job.to_json() + "\n"
        if self.process and self.process.poll() is not None:  # it died of itself, with nothing to do
            self._end()
        process = self.process or self._start()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(message)
            process.stdin.flush()
            if line := process.stdout.readline():
                outcome = Outcome.from_json(line)
                if outcome.trace and self.gpus:  # a process whose GPU failed may fail in whatever it does next
                    process.kill()
                    self._end()
                return outcome
        except (OSError, ValueError):  # it died while it was written to, or in the middle of its answer
            process.kill()
        return Outcome(job.key, error=_death(self._end()), trace=self._last_words())

    def kill(self) -> None:
        """End it, whatever it does; it is not started again."""
        self.ended = True
        if process := self.process:
            process.kill()
            end_group(process.pid)

    def close(self) -> None:
        """Wait for the end of it."""
        self.said.close()
        if self.process:
            self._end()

    def _end(self) -> int:
        """Wait for the end of the process, and end what its runs have started and left; its exit code."""
        assert self.process
        process, self.process = self.process, None
        with contextlib.suppress(BrokenPipeError), process:
            pass  # closes its pipes and waits
        end_group(process.pid)
        return process.returncode

    def _start(self) -> subprocess.Popen[str]:
        environment = ALLOCATOR | os.environ | {_THREADS: self._threads()}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        self.process = process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.executors.worker", ",".join(map(str, self.cores))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            env=environment,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the process that was asked
        )
        if self.ended:
            process.kill()
        return process

    def _threads(self) -> str:
        """One for each core, or fewer where the user said so."""
        asked = os.environ.get(_THREADS, "")
        return str(min(len(self.cores), int(asked) if asked.isdigit() else len(self.cores)))

    def _last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read().splitlines()[-_LINES:]
        self.said.seek(0, os.SEEK_END)
        return "\n".join(lines)


def _share(things: Sequence[T], number: int, count: int) -> Sequence[T]:
    """What one of `count` processes gets of some things, which are shared where there are fewer of them."""
    return things[number::count] or things[number % max(1, len(things)) :][:1]


def _death(code: int) -> str:
    if code >= 0:
        return f"The process of this run ended with exit code {code}."
    hint = ": the machine may be out of memory; --jobs 1 needs the least" if -code == signal.SIGKILL else ""
    named = {one.value: one.name for one in signal.Signals}
    return f"The process of this run was ended by {named.get(-code, f'signal {-code}')}{hint}."
