"""What a board says, before it is known in which format: tables of cells, with the sentences around them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.board import LEVEL, MOST_TESTED, NONE, Entry
from harness.breakdown import ERRORS
from harness.decode.text import ITEM, LOST, PLACED
from harness.mask_grids import Gain, MaskGrid, mask_grids
from harness.significance import exchanges_for

_LABELS = 12  # most frequent labels shown


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and what a column is sorted by: the text itself, where there is no number.

    `key` is that of the entry whose name it is.
    """

    text: str
    value: float | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a board. `name` is its file's; a `note` is a paragraph below it; `last` rows are not sorted.

    `ascending` are the columns, beside the systems' names, that a first click sorts from the smallest.
    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    last: Sequence[Sequence[Cell]] = ()
    ascending: Sequence[int] = ()

    @property
    def system(self) -> int | None:
        """The column with the systems' names, where a row is a system."""
        return self.head.index("system") if "system" in self.head else None


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of one signature: only they are comparable. `board` are those that do not see the gold."""

    signature: str
    facts: str
    board: Sequence[Entry]
    tables: Sequence[Table]
    grids: Sequence[MaskGrid] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """Everything on the board of a task."""

    task: str
    description: str
    provenance: str
    sections: Sequence[Section] = field(default_factory=tuple)


_RESPONSES = (
    "Every item that a model wrote for a test sentence ends in one class. Hallucinated are those that stand nowhere "
    "in their sentence, unknown labels those that the task does not have, both as shares of the items that could be "
    "parsed. Tokens are those of all splits."
)
_SLICES = "Predictions that overlap no gold span belong to no slice; so a slice's F1 can be above the whole."


def content(task: str, boards: Mapping[str, Sequence[Entry]], letters: Mapping[str, Sequence[str]]) -> Content:
    """What the boards of a task say; `boards` as `entries` gives them, `letters` their rank groups."""
    card = next(iter(boards.values()))[0].first.task_card
    sections = tuple(_section(signature, lines, letters[signature]) for signature, lines in boards.items())
    return Content(task, card["description"], _provenance(card), sections)


def _size(split: str, data: Mapping[str, Any]) -> str:
    """How many sentences a split has; runs of earlier versions do not know how many of them stand in train as well."""
    also = data.get("also_in_train")
    return f"{split} {data['sentences']:,}" + (f" ({also:,} of them in train as well)" if also else "")


def _section(signature: str, lines: Sequence[Entry], letters: Sequence[str]) -> Section:
    board = [entry for entry in lines if not entry.first.sees_gold] or lines
    ranked = [letter for entry, letter in zip(lines, letters, strict=True) if not entry.first.sees_gold] or letters
    first = board[0].first
    test = first.scores["test"]
    sizes = ", ".join(_size(name, part) for name, part in first.data.items())
    limited = f" Only {first.limit} sentences of each split." if first.limit else ""
    facts = f"Sentences: {sizes}. Test: {test.words:,} words, {test.counts['gold']:,} spans.{limited}"
    grids = mask_grids(board)
    labels = sorted(test.labels, key=lambda name: -test.labels[name]["gold"])
    cues = _by_distance(name for name in test.slices if name.startswith("cue-distance:"))
    mentions = [name for name in test.slices if name.startswith(("mention:", "length:"))]
    more = f"The {_LABELS} most frequent of {len(labels)} labels." if len(labels) > _LABELS else ""
    tables = [_main(board, ranked, _ceilings(lines)), *map(_masks, grids)]
    if cues:
        tables.append(_cells(board, "slices", cues, "cues", "F1 by side and distance of the cue"))
    tables += [
        _cells(
            board,
            "slices",
            mentions,
            "mentions",
            "F1 by mention, seen in training or not, and by length in words",
            _SLICES,
        ),
        _cells(board, "labels", labels[:_LABELS], "labels", "F1 by label", more),
        _errors(board),
    ]
    if written := [entry for entry in board if entry.generated]:
        tables.append(_responses(written))
    return Section(signature, facts, board, tables, grids)


def _main(board: Sequence[Entry], letters: Sequence[str], ceilings: str) -> Table:
    sides = [name for name in ("cue:left", "cue:right") if name in board[0].first.scores["test"].slices]
    columns: list[tuple[str, Callable[[Entry], Cell]]] = [
        ("F1", _f1),
        ("± seeds", lambda e: number(e.seed_deviation, ".2f")),
        ("± sample", lambda e: number(e.sample_deviation, ".2f")),
        ("95% interval", lambda e: Cell(f"{e.interval[0]:.1f}–{e.interval[1]:.1f}", e.interval[0])),
        *((f"F1 {side.removeprefix('cue:')} cue", _slice(side)) for side in sides),
        ("P", lambda e: number(e.mean("precision"), ".1f")),
        ("R", lambda e: number(e.mean("recall"), ".1f")),
        ("macro F1", lambda e: number(e.mean("macro_f1"), ".1f")),
        ("validation F1", lambda e: number(_mean(e.validation_f1s), ".2f")),
        ("coverage", lambda e: number(e.mean("coverage"), ".1f", "%")),
        ("seeds", lambda e: number(len(e.records), "d")),
        ("trained parameters", lambda e: _count(e.cost("trained_parameters"))),
        ("training", lambda e: _seconds(e.cost("fit_seconds"))),
        ("sentences/s", lambda e: number(e.cost("sentences_per_second"), ",.0f")),
        ("peak memory", _memory),
    ]
    rows = []
    for place, (entry, group) in enumerate(zip(board, letters, strict=True), 1):
        cells = [of(entry) for _, of in columns]
        rows.append([Cell(str(place), place), Cell(flagged(entry), key=entry.key), cells[0], Cell(group), *cells[1:]])
    head = ["", "system", "F1", "group", *(name for name, _ in columns[1:])]
    note = (
        "F1 is the micro F1 of exact spans on the test split, in percent: the mean over seeds. ± seeds is its standard "
        "deviation over seeds on this test set, ± sample that over test sets like this one with these runs. The "
        "interval is the 95% bootstrap interval over test sentences, or documents where there are any."
    )
    said = " ".join(part for part in (note, _grouped(board, letters), ceilings) if part)
    return Table("board", "", head, rows, said, ascending=(head.index(""), head.index("group")))


def _grouped(board: Sequence[Entry], letters: Sequence[str]) -> str:
    """What the letters mean."""
    if set(letters) == {NONE}:
        return (
            f"There are no rank groups: all pairs of up to {MOST_TESTED} systems are tested, and groups are "
            "named where there are not more of them than systems, or letters."
            if len(board) > 1
            else ""
        )
    return (
        "Systems that share a letter could not be told apart: paired approximate randomization of every pair, "
        f"{exchanges_for(len(board), LEVEL):,} exchanges, Holm's correction, level {LEVEL}."
    )


def _f1(entry: Entry) -> Cell:
    return number(entry.f1, ".2f")


def _slice(name: str) -> Callable[[Entry], Cell]:
    return lambda entry: number(entry.cell("slices", name), ".1f")


def flagged(entry: Entry) -> str:
    """A system's title, with what a reader must know of how it came to its score."""
    flag = " (sees the gold)" if entry.first.sees_gold else ""
    return entry.first.title + flag + "".join(f" ({what} chosen on {on})" for what, on in entry.first.choices.items())


def _masks(grid: MaskGrid) -> Table:
    """What unmasking each group of a decoder brings."""
    gains = [(f"group {g + 1}{_nearest(g, grid.groups)}", grid.gain(g)) for g in range(grid.groups)]
    rows = [_gain(f"unmask {name}", gain) for name, gain in gains]
    rows.append(_gain("unmask the next later group instead", grid.later()))
    note = (
        "Each row compares pairs of configurations that differ in nothing else: the mean difference of their F1, its "
        "standard deviation over pairs, and the p-value of a paired t-test, two-sided for a group, one-sided for the "
        "last row, which asks whether later groups gain more; its pairs share configurations, so its p-value errs "
        "on the safe side. None of them knows the test set's size or the seeds."
    )
    if bits := grid.chosen():
        note += f" Chosen by validation: {bits}, with a test F1 of {grid.entries[bits].f1:.2f}."
    head = ["step", "gain in F1", "± pairs", "p", "pairs"]
    return Table(
        f"masks-{grid.groups}",
        f"{grid.name}: gain by group",
        head,
        rows,
        note,
        ascending=(head.index("step"), head.index("p")),
    )


def _nearest(group: int, groups: int) -> str:
    return " (nearest the input)" if group == 0 else " (nearest the output)" if group == groups - 1 else ""


def _gain(name: str, gain: Gain) -> list[Cell]:
    p = None if math.isnan(gain.p) else gain.p
    return [
        Cell(name),
        number(gain.mean, "+.2f"),
        number(gain.deviation, ".2f"),
        number(p, ".4f"),
        number(gain.pairs, "d"),
    ]


def _cells(board: Sequence[Entry], table: str, names: Sequence[str], name: str, title: str, note: str = "") -> Table:
    head = ["system", *(one.removeprefix("cue-distance:") for one in names)]
    rows = [[Cell(e.first.title, key=e.key), *(number(e.cell(table, one), ".1f") for one in names)] for e in board]
    golds = [getattr(board[0].first.scores["test"], table)[one]["gold"] for one in names]
    return Table(name, title, head, rows, note, [[Cell("gold spans"), *(number(gold, ",.0f") for gold in golds)]])


def _errors(board: Sequence[Entry]) -> Table:
    scores = {entry.key: [record.scores["test"] for record in entry.records] for entry in board}
    repairs = sorted(
        {name for runs in scores.values() for run in runs for name in run.decoding if not name.startswith(ITEM)}
    )
    rows = []
    for entry in board:
        runs = scores[entry.key]
        counts = [statistics.fmean([run.errors[name] for run in runs]) for name in ERRORS]
        counts += [statistics.fmean([run.decoding.get(name, 0) for run in runs]) for name in repairs]
        rows.append([Cell(entry.first.title, key=entry.key), *(number(count, ",.0f") for count in counts)])
    return Table("errors", "Errors", ["system", *ERRORS, *repairs], rows)


def _responses(board: Sequence[Entry]) -> Table:
    head = ["system", "items", "parsed", "placed", "hallucinated", "unknown label", *PLACED, *LOST]
    head += ["prompt tokens", "completion tokens", "tokens/s", "US dollars"]
    rows = []
    for entry in board:
        items = entry.generated
        total = sum(items.values())
        parsed = total - items["unparseable"]
        rows.append(
            [
                Cell(entry.first.title, key=entry.key),
                number(total, ",.0f"),
                _share(parsed, total),
                _share(sum(items[name] for name in PLACED), total),
                _share(items["not-in-text"], parsed),
                _share(items["unknown-label"], parsed),
                *(number(items[name], ",.0f") for name in (*PLACED, *LOST)),
                *(number(entry.noted(name), ",.0f") for name in ("prompt_tokens", "completion_tokens")),
                number(entry.noted("completion_tokens_per_second"), ",.0f"),
                number(entry.noted("us_dollars"), ".4f"),
            ]
        )
    return Table("responses", "Responses", head, rows, _RESPONSES)


def _ceilings(entries: Sequence[Entry]) -> str:
    """What the systems reach that are given the gold."""
    found = [f"{entry.first.title} {entry.f1:.2f}" for entry in entries if entry.first.sees_gold]
    return f"Ceilings, the gold itself sent the way that outputs take: {', '.join(found)}." if found else ""


def _provenance(card: Mapping[str, Any]) -> str:
    parts = [
        f"Source: {card['source']}" if card["source"] else "",
        f"License: {card['license']}" if card["license"] else "",
        card["citation"].rstrip("."),
    ]
    said = [part for part in parts if part]
    return ". ".join(said) + "." if said else ""


def _by_distance(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name.split()[0], int(name.split()[1].split("-")[0])))


def number(value: float | None, shape: str, unit: str = "") -> Cell:
    """A number as a cell, or a dash."""
    return Cell(NONE) if value is None else Cell(f"{value:{shape}}{unit}", value)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _share(part: float, whole: float) -> Cell:
    return number(100 * part / whole if whole else None, ".1f", "%")


def _count(value: float | None) -> Cell:
    if not value:
        return Cell(NONE)
    return number(value, ",.0f") if value < 1e5 else Cell(f"{value / 1e6:.1f}M", value)


def _seconds(value: float | None) -> Cell:
    if value is None or value < 0.5:
        return Cell(NONE)
    return Cell(f"{value:.0f} s" if value < 100 else f"{value / 60:.1f} min", value)


def _memory(entry: Entry) -> Cell:
    value = entry.cost("gpu_memory_mib") or entry.cost("memory_mib")
    return Cell(NONE) if value is None else Cell(f"{value / 1024:.1f} GiB", value)
