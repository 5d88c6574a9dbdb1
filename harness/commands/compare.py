"""`harness compare`: whether two systems of a board differ, by how much, and where."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import Entry, entries
from harness.commands.tables import columns
from harness.dataset import load_dataset
from harness.errors import MissingData, UnknownName, UserError
from harness.record import Record
from harness.scoring import Row
from harness.settings import build
from harness.significance import difference_interval, randomization_tests
from harness.spans import Labeled, Span
from harness.store import PREDICTIONS, Store, read_rows
from harness.task import TaskCard

_SHOWN = 5  # sentences, and labels


@dataclass(frozen=True, slots=True)
class Sides:
    """Two lines of a board, with the rows of every run."""

    first: Entry
    second: Entry
    rows: tuple[list[list[Row]], list[list[Row]]]


def compare(runs: Path, names: tuple[str, str], task: str, data: Path | None, as_json: bool) -> None:
    """Print the difference of the second system to the first. Raises UserError for systems that share no board."""
    store = Store(runs)
    sides = _sides(store, names, task)
    tables = sides.first.sums, sides.second.sums
    low, high = difference_interval(*tables)
    found: dict[str, Any] = {
        "task": task,
        "signature": sides.first.first.scores["test"].signature,
        "systems": [sides.first.first.title, sides.second.first.title],
        "f1": [sides.first.f1, sides.second.f1],
        "seeds": [len(sides.first.records), len(sides.second.records)],
        "difference": sides.second.f1 - sides.first.f1,
        "interval": [100 * low, 100 * high],
        "p": randomization_tests(tables)[0, 1],
        "labels": _labels(sides),
        "sentences": _sentences(store, sides, data),
    }
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else _text(found))


def _sides(store: Store, names: tuple[str, str], task: str) -> Sides:
    boards = entries(store, task)
    if not boards:
        raise UserError(f"The store {store.root} has no finished run on task {task!r}; harness run fills it.")
    for board in boards.values():
        found = [[entry for entry in board if name in (entry.first.title, entry.first.identity)] for name in names]
        if all(len(one) == 1 for one in found):
            (first,), (second,) = found
            rows = [[read_rows(store.folder(r), "test") for r in entry.records] for entry in (first, second)]
            return Sides(first, second, (rows[0], rows[1]))
    known = {entry.first.title: entry.first.identity for board in boards.values() for entry in board}
    for name in names:
        if name not in known and name not in known.values():
            raise UnknownName(f"system on the board of {task}", name, known)
    raise UserError(
        f"{names[0]} and {names[1]} share no board of {task}, or several runs have that name: name them by identity "
        "(harness ls runs shows it), and run both on the same sentences."
    )


def _labels(sides: Sides) -> list[dict[str, Any]]:
    """The labels on which the systems differ most, by matched spans."""
    names = {name for entry in (sides.first, sides.second) for name in entry.first.scores["test"].labels}
    found = []
    for name in names:
        cells = [entry.cell("labels", name) or 0.0 for entry in (sides.first, sides.second)]
        gold = max(e.first.scores["test"].labels.get(name, {}).get("gold", 0) for e in (sides.first, sides.second))
        found.append({"label": name, "gold": gold, "f1": cells, "difference": cells[1] - cells[0]})
    return sorted(found, key=lambda one: (-abs(one["difference"]) * one["gold"], one["label"]))


def _sentences(store: Store, sides: Sides, data: Path | None) -> list[dict[str, Any]]:
    """The sentences where one system is most of all better than the other, with what each said in its first run."""
    gains: dict[str, float] = defaultdict(float)
    for sign, runs in zip((-1, 1), sides.rows, strict=True):
        for rows in runs:
            for row in rows:
                wrong = row.total.predicted - row.total.matched
                gains[row.sentence] += sign * (2 * row.total.matched - wrong) / len(runs)
    chosen = sorted((id for id in gains if gains[id]), key=lambda id: (-abs(gains[id]), id))[:_SHOWN]
    said = [_spans(store, entry.first, set(chosen)) for entry in (sides.first, sides.second)]
    gold = _gold(sides.first.first, data)
    return [
        {
            "id": id,
            "better": sides.second.first.title if gains[id] > 0 else sides.first.first.title,
            "text": gold[id].sentence.shown if id in gold else None,
            "gold": _shown(gold[id].spans, gold[id]) if id in gold else None,
            "said": [_shown(spans[id], gold.get(id)) for spans in said],
        }
        for id in chosen
    ]


def _spans(store: Store, record: Record, ids: set[str]) -> dict[str, list[Span]]:
    found = {}
    with (store.folder(record) / PREDICTIONS).open(encoding="utf-8") as stream:
        for value in map(json.loads, stream):
            if value["split"] == "test" and value["id"] in ids:
                found[value["id"]] = [Span(*span) for span in value["spans"]]
    return found


def _gold(record: Record, data: Path | None) -> dict[str, Labeled]:
    """The test sentences, where their files are at hand and have not changed."""
    try:
        dataset = load_dataset(build(TaskCard, record.task_card, "the task's card"), data, record.limit)
    except MissingData:
        return {}
    test = dataset.splits["test"]
    return {one.sentence.id: one for one in test.sentences} if test.hash == record.data["test"]["hash"] else {}


def _shown(spans: Any, labeled: Labeled | None) -> list[str]:
    if labeled is None:
        return [f"{span.start}-{span.end} {span.label}" for span in spans]
    return [f"{labeled.sentence.surface(span)} ({span.label})" for span in spans]


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['task']}  {found['signature']}", ""]
    rows = [["system", "F1", "seeds"]]
    rows += [[n, f"{f:.2f}", str(s)] for n, f, s in zip(found["systems"], found["f1"], found["seeds"], strict=True)]
    low, high = found["interval"]
    lines += [
        columns(rows),
        "",
        f"difference {found['difference']:+.2f}, 95% interval {low:+.2f} to {high:+.2f}, p = {found['p']:.4f}",
        "",
    ]
    head = ["label", "gold", *found["systems"], "difference"]
    cells = [
        [one["label"], f"{one['gold']:,.0f}", *(f"{f1:.1f}" for f1 in one["f1"]), f"{one['difference']:+.1f}"]
        for one in found["labels"][:_SHOWN]
    ]
    lines += [columns([head, *cells]), ""]
    for one in found["sentences"]:
        lines.append(f"{one['id']}: {one['better']} is better" + (f"\n  {one['text']}" if one["text"] else ""))
        if one["gold"] is not None:
            lines.append(f"  gold: {'; '.join(one['gold']) or 'none'}")
        pairs = zip(found["systems"], one["said"], strict=True)
        lines += [f"  {name}: {'; '.join(spans) or 'none'}" for name, spans in pairs]
    if any(one["text"] is None for one in found["sentences"]):
        lines.append("(--data DIR, with the task's files, shows the sentences.)")
    return "\n".join(lines)
