"""`harness leaderboard`: a markdown page for each task in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.board import Entry, entries, groups, markdown
from harness.errors import UnknownName, UserError
from harness.files import write_whole
from harness.store import Store


def write_boards(runs: Path, tasks: Sequence[str], out: Path, as_json: bool) -> None:
    """Write `<out>/<task>.md` for each task; print the paths, or the boards as JSON with `as_json`."""
    known = Store(runs).by_task()
    if not known:
        raise UserError(f"The store {runs} has no finished run yet; harness run fills it, --runs DIR names another.")
    for task in tasks:
        if task not in known:
            raise UnknownName("task in the store", task, list(known))
    chosen = list(tasks or known)
    boards = {task: entries(known[task]) for task in chosen}
    for task in chosen:
        write_whole(out / f"{task}.md", markdown(task, boards[task]))
    if as_json:
        lines = {
            task: {line: [*map(_line, board, groups(board))] for line, board in boards[task].items()} for task in chosen
        }
        print(json.dumps(lines, indent=2, ensure_ascii=False, default=str))
    else:
        for task in chosen:
            print(out / f"{task}.md")


def _line(entry: Entry, group: str) -> dict[str, object]:
    return {
        "system": entry.first.title,
        "identity": entry.first.identity,
        "f1": entry.f1,
        "group": group,
        "f1_by_seed": {str(record.seed): record.scores["test"].f1 for record in entry.records},
        "interval": entry.interval,
        "scores": [asdict(record.scores["test"]) for record in entry.records],
        "cost": [record.cost for record in entry.records],
    }
