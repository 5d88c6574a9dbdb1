"""A run as a message: all that another process, or another machine, needs to carry it out; and how that ended."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from harness.contracts import Resources
from harness.dataset import Dataset, load_dataset
from harness.decode import Policy
from harness.errors import StoreError, UserError
from harness.runner import RunPlan, carry_out
from harness.store import RunKey, Store
from harness.system import ResolvedSystem, adapter_class, settings_of
from harness.task import TaskCard


@dataclass(frozen=True, slots=True)
class Job:
    """One run to carry out, named by its `key`, into the store `runs`; `folder` is where its relative paths begin.

    `data_root` is what HARNESS_DATA says on the machine that the grid was started on.
    """

    key: RunKey
    system: ResolvedSystem
    task: TaskCard
    policy: Policy
    runs: Path
    folder: Path
    data: Path | None = None
    limit: int | None = None
    keep_weights: bool = False
    task_overrides: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None

    @property
    def title(self) -> str:
        return f"{self.key.task} · {self.system.title} · seed {self.key.seed}"

    def plan(self, progress: bool = False) -> RunPlan:
        """What is to be done, with its data read."""
        dataset = dataset_of(self.task, self.data, self.limit)
        return RunPlan(
            dataset, self.system, self.key.seed, self.policy, self.keep_weights, progress, self.task_overrides
        )

    def resources(self) -> Resources:
        """What it needs of a machine."""
        needed: Resources = adapter_class(self.system.card).resources(settings_of(self.system))
        return needed

    def to_json(self) -> str:
        return json.dumps(TypeAdapter(Job).dump_python(self, mode="json"))  # pydantic's own writes null for infinity

    @staticmethod
    def from_json(text: str) -> Job:
        return TypeAdapter(Job).validate_json(text)


def dataset_of(card: TaskCard, data: Path | None, limit: int | None) -> Dataset:
    """A task's sentences; those that were read last are kept."""
    return _dataset(TypeAdapter(TaskCard).dump_json(card), data, limit)


@lru_cache(8)
def _dataset(card: bytes, data: Path | None, limit: int | None) -> Dataset:
    return load_dataset(TypeAdapter(TaskCard).validate_json(card), data, limit)


def forget_datasets() -> None:
    """Have files read anew."""
    _dataset.cache_clear()


@dataclass(frozen=True, slots=True)
class Started:
    """A job is being carried out."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: its run is in the store, or `error` says why not. `trace` is empty where a user can mend it.

    `ran` is whether it was carried out just now. `files` are those of a run that was made where the store is not.
    """

    key: RunKey
    ran: bool = False
    error: str = ""
    trace: str = ""
    host: str = field(default_factory=socket.gethostname)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def to_json(self) -> str:
        return TypeAdapter(Outcome).dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> Outcome:
        return TypeAdapter(Outcome).validate_json(text)


Events: TypeAlias = Generator[Started | Outcome, None, None]


def work(job: Job, store: Store, progress: bool = False) -> Outcome:
    """Carry out a job into a store. What goes wrong becomes the outcome; nothing is raised but an interruption."""
    try:
        plan = job.plan(progress)
        if plan.key() != job.key:
            raise StoreError(
                f"{socket.gethostname()} has other data, weights or another version of harness than the machine that "
                f"this grid was started on: the run would be {plan.key().identity}, not {job.key.identity}."
            )
        plan.check()
        return Outcome(job.key, ran=carry_out(plan, store, job.key))
    except UserError as error:
        return Outcome(job.key, error=str(error))
    except Exception as error:
        return Outcome(job.key, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
