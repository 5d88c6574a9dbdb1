"""What a user can mend, apart from bugs.

    Exception
    └── UserError              one paragraph, exit code 2, no traceback
        ├── UnknownName        a system, task, label, key or policy nobody knows
        ├── CardError          a card or an override that does not say what it must
        ├── DataError          a file whose content is wrong: names the file and the line
        ├── MissingData        files of a task that are not there
        ├── MissingModel       weights that are neither on disk nor to be fetched
        ├── MissingPackage     an optional package that is not installed
        ├── ServerError        a model's server that does not answer
        └── StoreError         a store that cannot be read or written

Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """Something the user can mend. The message says what, where and how, in one paragraph."""


class UnknownName(UserError):
    """A name that is not among the known ones; offers the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        if near:
            offer = f"Did you mean {' or '.join(near)}?"
        elif names and len(names) <= 40:
            offer = f"Known: {', '.join(names)}."
        else:
            offer = ""
        super().__init__(" ".join(part for part in (f"Unknown {kind} {name!r}.", offer, hint) if part))


class CardError(UserError):
    """A card or an override that does not hold what it must."""


class DataError(UserError):
    """Content of a file that breaks its format. `line` counts from 1."""

    def __init__(self, path: Path | str, line: int | None, what: str, fix: str = "") -> None:
        where = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{where}: {what}" + (f" {fix}" if fix else ""))


class MissingData(UserError):
    """Files of a task that were not found."""


class MissingModel(UserError):
    """Weights that are neither on disk nor reachable."""


class MissingPackage(UserError):
    """An optional package that is not installed."""


class ServerError(UserError):
    """A server that does not answer, or not what it is asked."""


class StoreError(UserError):
    """A store of runs that cannot be read or written."""


def refuse(error: UserError) -> NoReturn:
    """Say in one paragraph what the user can mend, and exit with code 2."""
    print(" ".join(f"harness: {error}".split("\n")), file=sys.stderr)
    sys.exit(2)
