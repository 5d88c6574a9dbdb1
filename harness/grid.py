"""From what was asked for (systems, tasks, seeds) to the jobs that it takes, all checked before any begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.dataset import Dataset, refuse_unread
from harness.decode import policy_of
from harness.errors import CardError, MissingData, MissingModel
from harness.job import Job, dataset_of, forget_datasets
from harness.runner import RunPlan
from harness.store import RunKey
from harness.system import ResolvedSystem, adapter_class, refuse_unused, resolve_system, settings_of, system_names
from harness.task import TaskCard, is_task_key, task_card, task_names

FIRST_SEED = 120


@dataclass(frozen=True, slots=True)
class Request:
    """Every one of these systems on every one of these tasks, with every seed. Names may be shell patterns."""

    systems: Sequence[str]
    tasks: Sequence[str]
    seeds: str = ""
    preset: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    policy: str = "strict"
    save: bool = False

    @property
    def on_tasks(self) -> dict[str, Any]:
        """What is set of tasks, rather than of systems."""
        return {key: value for key, value in self.set.items() if is_task_key(key)}

    @property
    def on_systems(self) -> dict[str, Any]:
        """What is set of systems."""
        return {key: value for key, value in self.set.items() if not is_task_key(key)}

    def named_systems(self) -> list[str]:
        """The names of its systems."""
        return list(dict.fromkeys(name for pattern in self.systems for name in system_names(pattern)))

    def resolved(self) -> list[ResolvedSystem]:
        """Its systems with their settings."""
        return [resolve_system(name, self.preset, self.on_systems) for name in self.named_systems()]

    def named_tasks(self) -> list[str]:
        """The names of its tasks."""
        return list(dict.fromkeys(name for pattern in self.tasks for name in task_names(pattern)))

    def check(self) -> None:
        """Raise CardError or UnknownName for unknown names, bad seeds, and settings that no system of it takes."""
        refuse_unused(self.on_systems, self.preset, self.resolved())
        for name in self.named_tasks():
            task_card(name, self.on_tasks)
        seeds_of(self.seeds or "1")
        policy_of(self.policy)


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs find their data, where they are stored, and whether they are carried out on this machine."""

    data: Path | None
    runs: Path
    here: bool = True


def jobs_of(requests: Sequence[Request], place: Place) -> list[Job]:
    """The jobs of all requests, each once, in order. The requests have passed their `check`.

    Raises one error that names all that is missing, data and weights; CardError and the like for what cannot be run.
    """
    forget_datasets()
    needed = [_Needed(request) for request in requests]
    refuse_unread(place.data, [card for one in needed for card in one.cards])
    _refuse_missing(needed, place)
    found: dict[RunKey, Job] = {}
    for job in (job for one in needed for job in one.jobs(place)):
        first = found.setdefault(job.key, job)
        found[job.key] = replace(first, keep_weights=first.keep_weights or job.keep_weights)
    return list(found.values())


def without_chance(requests: Sequence[Request]) -> list[str]:
    """The systems that are asked for other seeds than the first, though every seed gives the same of them."""
    asked = [request for request in requests if seeds_of(request.seeds or "1") != [FIRST_SEED]]
    return list(dict.fromkeys(system.name for one in asked for system in one.resolved() if not _is_seeded(system)))


def seeds_of(text: str) -> list[int]:
    """`3` -> 120, 121, 122; `120,7` -> 120, 7; numbers of 32 bits. Raises CardError."""
    try:
        numbers = [int(part) for part in text.removesuffix(",").split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or max(numbers) >= 2**32 or len(set(numbers)) < len(numbers):
        raise CardError(
            f"--seeds takes a number of seeds (3) or a list of them (120,121), each once and below 2**32, not {text!r}."
        )
    if "," in text:
        return numbers
    if not 1 <= numbers[0] <= 100:
        raise CardError(
            f"--seeds {text} would be {text} runs; for the seed {text} alone write --seeds '{text},', with the comma."
        )
    return list(range(FIRST_SEED, FIRST_SEED + numbers[0]))


class _Needed:
    """A request with its names resolved."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cards = [task_card(name, request.on_tasks) for name in request.named_tasks()]
        self.systems = request.resolved()
        self.seeds = seeds_of(request.seeds or "1")
        self.policy = policy_of(request.policy)

    def jobs(self, place: Place) -> Iterator[Job]:
        for card in self.cards:
            dataset = dataset_of(card, place.data, self.request.limit)
            for system in self.systems:
                yield from self._seeded(card, dataset, system, place)

    def _seeded(self, card: TaskCard, dataset: Dataset, system: ResolvedSystem, place: Place) -> Iterator[Job]:
        seeds = self.seeds if _is_seeded(system) else [FIRST_SEED]
        plan = RunPlan(dataset, system, seeds[0], self.policy)
        if place.here:
            plan.check()
        key = plan.key()
        data = place.data.absolute() if place.data else None
        root = Path(named).absolute() if (named := os.environ.get("HARNESS_DATA")) else None
        for seed in seeds:
            yield Job(
                replace(key, seed=seed),
                system,
                card,
                self.policy,
                place.runs.absolute(),
                Path.cwd(),
                data,
                self.request.limit,
                self.request.save,
                self.request.on_tasks,
                root,
            )


def _is_seeded(system: ResolvedSystem) -> bool:
    return bool(adapter_class(system.card).seeded(settings_of(system)))


def _refuse_missing(needed: Sequence[_Needed], place: Place) -> None:
    missing: list[str] = []
    no_data = False
    for one in needed:
        for card in one.cards:
            try:
                dataset_of(card, place.data, one.request.limit)
            except MissingData as error:
                missing.append(str(error))
                no_data = True
        for system in one.systems:
            missing.append(adapter_class(system.card).missing(settings_of(system)))
    told = " ".join(dict.fromkeys(lack for lack in missing if lack))
    if told:
        raise (MissingData if no_data else MissingModel)(told)
