"""`harness compare`: whether two systems of a board differ, by how much, and where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import Entry, entries
from harness.commands.tables import columns
from harness.errors import UnknownName, UserError
from harness.intervals import difference_interval
from harness.record import Record
from harness.scoring import Row
from harness.significance import mean_table, randomization_tests
from harness.spans import Labeled, Span
from harness.store import Store, read_rows
from harness.stored import stored_gold, stored_spans

_SHOWN = 5  # sentences, and labels
_HOW = "name them by identity (harness ls runs shows it)"


@dataclass(frozen=True, slots=True)
class Side:
    """A line of a board, with the rows of each of its runs."""

    entry: Entry
    rows: list[list[Row]]

    @property
    def record(self) -> Record:
        return self.entry.first


def compare(runs: Path, names: tuple[str, str], task: str, data: Path | None, as_json: bool) -> None:
    """Print the difference of the second system to the first. Raises UserError for systems that share no board."""
    store = Store(runs)
    first, second = sides = _sides(store, names, task)
    low, high = difference_interval(first.entry.tables, second.entry.tables)
    found: dict[str, Any] = {
        "task": task,
        "signature": first.record.scores["test"].signature,
        "systems": [side.record.title for side in sides],
        "f1": [side.entry.f1 for side in sides],
        "seeds": [len(side.rows) for side in sides],
        "difference": second.entry.f1 - first.entry.f1,
        "interval": [100 * low, 100 * high],
        "p": randomization_tests([mean_table(side.entry.tables) for side in sides])[0, 1],
        "labels": _labels(sides),
        "sentences": _sentences(store, sides, data),
    }
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else _text(found))


def _sides(store: Store, names: tuple[str, str], task: str) -> tuple[Side, Side]:
    boards = entries(store.records(task))
    if not boards:
        raise UserError(f"The store {store.root} has no finished run on task {task!r}; harness run fills it.")
    for board in boards.values():
        found = [[entry for entry in board if name in (entry.first.title, entry.first.identity)] for name in names]
        if all(found):
            for name, (_, *others) in zip(names, found, strict=True):
                if others:
                    raise UserError(f"Several systems of {task} are called {name}: {_HOW}.")
            first, second = (Side(e, [read_rows(store.folder(r), "test") for r in e.records]) for [e] in found)
            return first, second
    known = {entry.first.title: entry.first.identity for board in boards.values() for entry in board}
    for name in names:
        if name not in known and name not in known.values():
            hint = "A name goes with what was set by hand, all of it in quotation marks."
            raise UnknownName(f"system on the board of {task}", name, known, hint)
    raise UserError(f"{names[0]} and {names[1]} share no board of {task}: run both on the same sentences, or {_HOW}.")


def _labels(sides: tuple[Side, Side]) -> list[dict[str, Any]]:
    """The labels by how much their F1 differs, times their gold spans."""
    names = {name for side in sides for name in side.record.scores["test"].labels}
    found = []
    for name in names:
        cells = [side.entry.cell("labels", name) or 0.0 for side in sides]
        gold = max(side.record.scores["test"].labels.get(name, {}).get("gold", 0) for side in sides)
        found.append({"label": name, "gold": gold, "f1": cells, "difference": cells[1] - cells[0]})
    return sorted(found, key=lambda one: (-abs(one["difference"]) * one["gold"], one["label"]))


def _sentences(store: Store, sides: tuple[Side, Side], data: Path | None) -> list[dict[str, Any]]:
    """The sentences where one system is most of all better than the other, with what each said in its first run."""
    first, second = ([_gain(rows) for rows in zip(*side.rows, strict=True)] for side in sides)
    gains = [theirs - ours for ours, theirs in zip(first, second, strict=True)]
    chosen = sorted((i for i, gain in enumerate(gains) if gain), key=lambda i: (-abs(gains[i]), i))[:_SHOWN]
    said = [stored_spans(store.folder(side.record)) for side in sides]
    gold = stored_gold(sides[0].record, data)
    return [
        {
            "id": sides[0].rows[0][i].sentence,
            "better": sides[gains[i] > 0].record.title,
            "text": gold[i].sentence.shown if gold else None,
            "gold": _shown(gold[i].spans, gold[i]) if gold else None,
            "said": [_shown(spans[i], gold[i] if gold else None) for spans in said],
        }
        for i in chosen
    ]


def _gain(rows: Sequence[Row]) -> float:
    """Twice the matched spans of a sentence less the wrong ones, the mean over runs."""
    return sum(3 * row.total.matched - row.total.predicted for row in rows) / len(rows)


def _shown(spans: Sequence[Span], labeled: Labeled | None) -> list[str]:
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
    if any(one["text"] is None for one in found["sentences"]):
        lines.append("(--data DIR, with the files that the runs read, shows the sentences and their gold.)")
    for one in found["sentences"]:
        lines.append(f"{one['id']}: {one['better']} is better" + (f"\n  {one['text']}" if one["text"] else ""))
        if one["gold"] is not None:
            lines.append(f"  gold: {'; '.join(one['gold']) or 'none'}")
        pairs = zip(found["systems"], one["said"], strict=True)
        lines += [f"  {name}: {'; '.join(spans) or 'none'}" for name, spans in pairs]
    return "\n".join(lines)
