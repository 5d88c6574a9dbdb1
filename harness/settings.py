"""Settings: TOML tables and `--set` overrides become frozen dataclasses; unknown keys and wrong types are errors."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import CardError, DataError, UnknownName
from harness.files import read_text

T = TypeVar("T")
NAME = r"^[\w][\w.+-]*$"  # of a card: it becomes a folder and a file
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)  # the pydantic configuration of every settings class


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises DataError with the line where it is broken."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        raise DataError(path, int(place[1]) if place else None, f"broken TOML: {error}.") from error


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the settings class `kind`. Raises UnknownName for an unknown key, CardError for a wrong value."""
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(error.errors(), key=lambda one: one["type"] not in unknown)  # a missing key may be a misspelt one
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] in unknown:
            plain = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
            raise UnknownName(f"key of {where}", plain, known_keys(kind)) from None
        if first["type"] in ("missing", "missing_argument"):
            raise CardError(f"{where}: the key {key!r} is missing.") from None
        given = json.dumps(first["input"], default=str)
        raise CardError(f"{where}: {key} = {given} will not do: {first['msg']}.") from None


def known_keys(kind: type[Any], prefix: str = "") -> list[str]:
    """Every key of a settings class, nested ones with dots."""
    keys: list[str] = []
    for name, field in getattr(kind, "__pydantic_fields__", {}).items():
        of = get_args(field.annotation) if get_origin(field.annotation) is list else (field.annotation,)
        inner = known_keys(cast(type[Any], of[0]), f"{prefix}{name}.")
        keys += inner or [f"{prefix}{name}"]
    return keys


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`["lora.r=16", "model.path=x"]` -> `{"lora.r": 16, "model.path": "x"}`: values are JSON where they can be."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CardError(f"--set takes KEY=VALUE, not {pair!r}.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` laid on it, table by table."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result


def nested(flat_values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"lora.r": 16}` -> `{"lora": {"r": 16}}`."""
    result: dict[str, Any] = {}
    for key, value in flat_values.items():
        *tables, last = key.split(".")
        table = result
        for name in tables:
            below = table.setdefault(name, {})
            if not isinstance(below, dict):
                raise CardError(f"--set {key}: {name!r} is already set to a value.")
            table = below
        table[last] = value
    return result


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"lora": {"r": 16}}` -> `{"lora.r": 16}`."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
