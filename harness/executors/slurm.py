"""Runs by Slurm, an array of jobs for those that need the same: `--on slurm:gpu` or `slurm:partition=gpu,time=600`."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from harness.contracts import Resources
from harness.errors import CardError, ServerError
from harness.executors import Executor
from harness.executors.elsewhere import work_elsewhere
from harness.job import Events, Job, Outcome, Started
from harness.registry import optional
from harness.store import Store

_EVERY = 2.0  # seconds between two looks
_LOOKS = 5  # at a queue without a job that has not said how it ended, before it is lost
_MOST_STOPS = 100  # of a job for its time, after each of which it is queued again
_MINUTES = 24 * 60  # the time limit of a job, where none is named


class Slurm(Executor):
    """Behind the colon: a partition, or any of submitit's parameters of Slurm (`time` in minutes), with commas between.

    The store must be in a folder that the nodes share. A job that Slurm stops, for its time or for another, is queued
    again and goes on from its checkpoint; so does the same command, when it was interrupted.
    """

    cluster: ClassVar[str] = "slurm"

    def run(self, jobs: Sequence[Job]) -> Events:
        submitit = self._submitit()
        store = Store(jobs[0].runs)
        mark = store.mark()
        groups: dict[Resources, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.resources(), []).append(job)
        under_way: dict[Any, Job] = {}
        try:
            for need, group in groups.items():
                executor = self._executor(submitit, store, need)
                with executor.batch():
                    handles = [executor.submit(Work(), job.to_json(), mark) for job in group]
                under_way |= dict(zip(handles, group, strict=True))
            yield from self._watched(under_way)
        except submitit.core.utils.FailedJobError as error:
            said = " ".join(str(error).split())
            raise ServerError(f"Slurm did not take the jobs of --on slurm:{self.target}: {said}") from error
        finally:
            for handle in under_way:
                handle.cancel(check=False)

    def _watched(self, under_way: dict[Any, Job]) -> Events:
        """Each job's start and end; those that have ended are taken out."""
        started, absent = set(), Counter[str]()
        while under_way:
            queued = _queued() if self.cluster == "slurm" else None
            for handle, job in list(under_way.items()):
                is_absent = queued is not None and handle.job_id not in queued
                absent[handle.job_id] = absent[handle.job_id] + 1 if is_absent else 0  # looks in a row
                if handle.done() or absent[handle.job_id] > _LOOKS:
                    del under_way[handle]
                    yield _outcome(handle, job)
                elif handle not in started and handle.state == "RUNNING":
                    started.add(handle)
                    yield Started(job.key)
            if under_way:
                time.sleep(_EVERY)

    def _submitit(self) -> Any:
        submitit = optional("submitit", "--on slurm", extra="slurm")
        logging.getLogger("submitit").setLevel(logging.ERROR)
        if self.cluster == "slurm" and not shutil.which("sbatch"):
            raise CardError(
                "--on slurm: there is no sbatch here; start the command on a machine that submits to Slurm."
            )
        return submitit

    def _executor(self, submitit: Any, store: Store, need: Resources) -> Any:
        executor = submitit.AutoExecutor(
            folder=store.root / ".slurm", cluster=self.cluster, slurm_max_num_timeout=_MOST_STOPS
        )
        asked = {"time": _MINUTES, "array_parallelism": self.jobs or 256} | _parameters(self.target)
        try:
            executor.update_parameters(
                name="harness",
                cpus_per_task=need.cores,
                gpus_per_node=need.gpus,
                mem_gb=need.memory_gib,
                **{f"slurm_{name}": value for name, value in asked.items()},
            )
        except (NameError, ValueError, TypeError) as error:
            raise CardError(f"--on slurm:{self.target}: {error}") from error
        return executor


class Work:
    """What a Slurm job does."""

    def __call__(self, text: str, mark: str) -> Outcome:
        return work_elsewhere(Job.from_json(text), mark)

    def checkpoint(self, text: str, mark: str) -> Any:
        """Called when Slurm is about to stop the job: the same again, which goes on from the run's own checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, text, mark)


def _parameters(target: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, target.split(",")):
        name, equals, value = part.partition("=")
        found |= {name: int(value) if value.isdigit() else value} if equals else {"partition": part}
    return found


def _queued() -> set[str] | None:
    """The jobs that Slurm has not done with; None where it does not say. Without its accounting nothing else does."""
    try:
        asked = subprocess.run(
            ["squeue", "-h", "-r", "-o", "%i"], capture_output=True, text=True, timeout=30, check=True
        )
        return set(asked.stdout.split())
    except (OSError, subprocess.SubprocessError):
        return None


def _outcome(handle: Any, job: Job) -> Outcome:
    try:
        if not handle.paths.result_pickle.exists():
            raise FileNotFoundError(handle.paths.result_pickle)
        outcome: Outcome = handle.result()
        return outcome
    except Exception as error:  # of submitit, or of a job that ended before it could say anything
        said = handle.stderr() or ""
        return Outcome(
            job.key, error=f"Slurm ended the job {handle.job_id} before it was done.", trace=said or str(error)
        )
