"""`harness ls` and `harness show`: what there is, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.tables import columns
from harness.errors import UnknownName, UserError
from harness.registry import card_paths
from harness.settings import parse_overrides, read_toml
from harness.system import known_systems, refuse_unused, resolve_system, system_names
from harness.task import task_card

if TYPE_CHECKING:
    from harness.store import Store

THINGS = ("systems", "tasks", "runs")


def list_things(what: str, runs: Path, as_json: bool) -> None:
    """Print the systems, the tasks or the runs."""
    if what not in THINGS:
        raise UnknownName("thing to list", what, THINGS)
    rows = _systems() if what == "systems" else _tasks() if what == "tasks" else _runs(runs)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        print(columns([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]))
    else:
        print(f"The store {runs} has no finished run yet.")


def _systems() -> list[dict[str, Any]]:
    found = []
    for name, card in known_systems().items():
        shown = (
            f"{name}-unmask-<bits>, -<n>shot, -it"
            if card.kind == "decoder"
            else "file:<path>"
            if name == "file"
            else name
        )
        found.append({"system": shown, "description": card.description, "license": card.license})
    return found


def _tasks() -> list[dict[str, Any]]:
    cards = [task_card(name) for name in card_paths("task")]
    return [
        {
            "task": card.name,
            "labels": len(card.labels) or "from the data",
            "license": card.license,
            "description": card.description,
        }
        for card in cards
    ]


def _runs(runs: Path) -> list[dict[str, Any]]:
    """The runs, and behind them those that failed."""
    store = _store(runs)
    found = [
        {
            "run": str(folder.relative_to(store.root)),
            "system": record.title,
            "F1": round(record.scores["test"].f1, 2),
            "limit": record.limit or "",
            "finished": record.finished,
            "error": "",
        }
        for folder, record in store.records()
    ]
    return found + [
        {
            "run": str(path),
            "system": path.parts[1],
            "F1": None,
            "limit": "",
            "finished": failure["at"],
            "error": failure["error"].splitlines()[0],
        }
        for path, failure in store.failures()
    ]


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)


def show_thing(name: str, runs: Path, preset: str, pairs: Sequence[str], as_json: bool) -> None:
    """Print the resolved card of a system or task, or the record of a run."""
    overrides = parse_overrides(list(pairs))
    if name in card_paths("task") or (name.endswith(".toml") and "reader" in read_toml(Path(name))):
        values = asdict(task_card(name, overrides))
    elif _is_run(name, runs):
        from harness.store import read_record

        values = asdict(read_record(_store(runs).find(name)))
    else:
        system = resolve_system(name, preset, overrides)
        refuse_unused(overrides, preset, [system])
        values = asdict(system)
    if as_json:
        print(json.dumps(values, indent=2, ensure_ascii=False, default=str))
    else:
        print("\n".join(_outline(values)))


def _is_run(name: str, runs: Path) -> bool:
    """Whether the name is a run's: a path, or a part of one that is no system's name."""
    if name.startswith("file:") or ".toml" in name:
        return False
    if "/" in name:
        return True
    try:
        system_names(name)
    except UserError:
        return any(name in str(folder.relative_to(runs)) for folder in _store(runs).folders())
    return False


def _store(runs: Path) -> Store:
    from harness.store import Store  # numpy and all, which listing systems and tasks can do without

    return Store(runs)


def _outline(values: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", *_outline(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key} = {json.dumps(value, ensure_ascii=False, default=str)}")
    return lines
