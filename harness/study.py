"""Study files: a grid, or several, written down in TOML.

name = "laptop"
description = "What is asked, and why."

[[runs]]
systems = ["smollm2-unmask-*", "minilm"]
tasks = ["tsa-md", "lookright"]
seeds = 2                       # or a list: [120, 121]
preset = "small"                # this and what follows may be left out
limit = 100
policy = "strict"
save = false
[runs.set]                      # as --set on the command line
lora.r = 16
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.errors import CardError, UserError
from harness.grid import Request
from harness.settings import CLOSED, NAME, build, flat, read_toml
from harness.system import MACHINE, refuse_reserved, refuse_unused

Names = Annotated[list[str], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=CLOSED)
class Runs:
    """A grid of a study."""

    systems: Names
    tasks: Names
    seeds: int | Annotated[list[int], Field(min_length=1)] = 1
    preset: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None
    policy: str = "strict"
    save: bool = False

    def request(self) -> Request:
        seeds = str(self.seeds) if isinstance(self.seeds, int) else "".join(f"{seed}," for seed in self.seeds)
        return Request(self.systems, self.tasks, seeds, self.preset, flat(self.set), self.limit, self.policy, self.save)


@dataclass(frozen=True, slots=True, config=CLOSED)
class Study:
    """What a study file says."""

    name: Annotated[str, Field(pattern=NAME)]
    runs: Annotated[list[Runs], Field(min_length=1)]
    description: str = ""


def requests_for(path: Path | None, asked: Request) -> list[Request]:
    """What was asked for on the command line; or the grids of a study, those that match what was asked for.

    Raises DataError for broken TOML, UnknownName and CardError for what the file should not say, for options that it
    decides itself, and where nothing is left to run.
    """
    if path is None:
        if not (asked.systems and asked.tasks):
            raise CardError("Name what to run: a --system and a --task, or a study file.")
        asked.check()
        return [asked]
    _refuse_beside(path, asked)
    study = build(Study, read_toml(path), f"the study {path}")
    grids = _grids(path, study)
    if asked.set:
        refuse_unused(asked.set, "", [system for request in grids for system in request.resolved()])
    found = [_narrowed(replace(request, set=request.set | asked.set), asked) for request in grids]
    chosen = [request for request in found if request.systems and request.tasks]
    if not chosen:
        raise CardError(f"The study {path} has no run of {' or '.join((*asked.systems, *asked.tasks))}.")
    return chosen


def _grids(path: Path, study: Study) -> list[Request]:
    """Its grids, checked whole: a part of one may be without the systems that take its settings."""
    found = [runs.request() for runs in study.runs]
    for number, request in enumerate(found, 1):
        try:
            refuse_reserved(request.set, "a study")
            request.check()
        except UserError as error:
            raise CardError(f"{path}, runs {number}: {error}") from error
    return found


def _refuse_beside(path: Path, asked: Request) -> None:
    """Raise CardError for options that change results; those of the machine may stand beside a study."""
    machine = {key: value for key, value in asked.set.items() if key.split(".")[0] == MACHINE}
    plain = Request(asked.systems, asked.tasks, set=machine)
    given = [one.name for one in fields(Request) if getattr(asked, one.name) != getattr(plain, one.name)]
    if given:
        options = " and ".join(f"--{name}" for name in given)
        raise CardError(f"{path} is a study, which decides {options} itself: change it there, or in a copy.")


def _narrowed(request: Request, asked: Request) -> Request:
    """What of a study's grid matches the patterns of `asked`, where there are any."""
    return replace(
        request,
        systems=_matching(request.named_systems(), asked.systems or ["*"]),
        tasks=_matching(request.named_tasks(), asked.tasks or ["*"]),
    )


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
