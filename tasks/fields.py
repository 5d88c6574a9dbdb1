"""Taking values of the right kind out of somebody's JSON, with complaints that name file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from harness.errors import DataError

T = TypeVar("T")
_NAMES: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def field(item: Any, key: str, kind: type[T], path: Path, line: int) -> T:
    """`item[a][b]` for the key `a.b`. Raises DataError where it is missing or not of that kind."""
    value = item
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise DataError(
                path, line, f"the field {key!r} is missing.", "Other field names can be set in a task's card."
            )
        value = value[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(path, line, f"the field {key!r} must be {_NAMES[kind]}, not {value!r:.60}.")
    return value


def named(item: Any, key: str, path: Path, line: int) -> str | None:
    """What a field names, a number or a text; None for null, or without a key. Raises DataError where it is missing."""
    value = field(item, key, object, path, line) if key else None
    return None if value is None else str(value)


def words(item: Any, key: str, path: Path, line: int) -> tuple[str, ...]:
    """A list of words: not empty, and none of them white space alone."""
    found = tuple(field(item, key, list, path, line))
    if not found:
        raise DataError(path, line, f"the sentence is empty ({key!r} has no words).")
    for word in found:
        if not isinstance(word, str) or not word.strip():
            raise DataError(path, line, f"{key!r} holds {word!r:.60}, which is no word.")
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            raise DataError(path, line, f"{key!r} holds {word!r:.60}, of which half a character is missing.")
    return found
