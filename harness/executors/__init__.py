"""Where the runs of a grid are carried out: in processes of this machine, on a Ray cluster, by Slurm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from harness.job import Events, Job
from harness.registry import EXECUTORS, resolve


class Executor(ABC):
    """Carries out jobs. Made from what stands behind the colon in `--on NAME:TARGET`, and `--jobs`."""

    def __init__(self, target: str = "", jobs: int = 0) -> None:
        self.target, self.jobs = target, jobs

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Events:
        """Say when a job starts, where that is known, and how each one ended, in any order.

        Closing the iterator ends what is under way.
        """


def executor_of(name: str, jobs: int = 0) -> Executor:
    """The executor that `--on` names. Raises UnknownName."""
    kind, _, target = name.partition(":")
    made: Executor = resolve(EXECUTORS, "executor", kind)(target, jobs)
    return made
