"""Names and what they stand for. Nothing registers itself: one literal dict a kind, resolved on first use.

Third parties add systems and tasks through the entry points `harness.systems` and `harness.tasks`, whose values are
a package and the name of a card file in it (`package.cards:mine` for `package/cards/mine.toml`), or by giving the path
of a card where a name is expected.
"""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.errors import CardError, MissingPackage, UnknownName

ADAPTERS = {
    "gazetteer": "harness.adapters.gazetteer:Gazetteer",
    "oracle": "harness.adapters.oracle:Oracle",
    "file": "harness.adapters.predictions_file:PredictionsFile",
    "tagger": "harness.adapters.tagger:Tagger",
    "prompted": "harness.adapters.generator:Generator",
    "instructed": "harness.adapters.instructed:Instructed",
}

READERS = {
    "columns": "harness.tasks.columns:read",
    "semeval": "harness.tasks.semeval:read",
    "maven": "harness.tasks.maven:read",
    "spans-json": "harness.tasks.spans_json:read",
    "brat": "harness.tasks.brat:read",
    "hub": "harness.tasks.hub:read",
    "lookright": "harness.tasks.lookright:read",
}

EXECUTORS = {
    "local": "harness.executors.local:Local",
    "ray": "harness.executors.ray_cluster:RayCluster",
    "slurm": "harness.executors.slurm:Slurm",
}

_OBJECT = re.compile(r"(\w+\.)*\w+:\w+")
_CARDS = {"system": "harness.adapters", "task": "harness.tasks"}


def check_name(table: dict[str, str], kind: str, name: str) -> None:
    """Raise UnknownName for what is neither a name of the table nor a `module:object` string."""
    if name not in table and not _OBJECT.fullmatch(name):
        raise UnknownName(kind, name, table)


def resolve(table: dict[str, str], kind: str, name: str) -> Any:
    """The object behind a name, or behind a `module:object` string of a third party's card."""
    check_name(table, kind, name)
    module, _, attribute = table.get(name, name).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise CardError(
            f"The {kind} {name!r} names the module {module!r}, which is not installed. "
            "If it is a file here, run with PYTHONPATH=. before the command."
        ) from error
    except AttributeError as error:
        raise CardError(
            f"The {kind} {name!r}: {module!r} has no {attribute!r}; is another module of that name installed?"
        ) from error


def optional(module: str, who: str, extra: str) -> Any:
    """A package that comes with an extra of ours. Raises MissingPackage, with the install line."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackage(f'{who} needs the package {module}: pip install "harness[{extra}]"') from error


def card_paths(kind: str) -> dict[str, Path]:
    """Every installed card of a kind ("system" or "task"): its name and its file."""
    folder = Path(str(files(_CARDS[kind]))) / "cards"
    found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    for point, target in _entry_points(f"harness.{kind}s", tuple(sys.path)):
        package, _, name = target.partition(":")
        if point in found:
            raise CardError(
                f"There are two {kind}s called {point!r} here; uninstall one of them: the package {package!r} brings "
                f"one, and {found[point]} is the other."
            )
        try:
            found[point] = Path(str(files(package))) / f"{name}.toml"
        except ImportError as error:
            raise CardError(
                f"The {kind} {point!r} that is installed here names the package {package!r}, which cannot be imported "
                f"({error}); mend or uninstall what it came with."
            ) from error
    return found


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names and values of the entry points of what is installed on `path`: looked for once, since it takes a while."""
    return [(point.name, point.value) for point in entry_points(group=group)]
