"""Leaderboards in markdown: functions of the store and of nothing else."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.breakdown import ERRORS
from harness.decode.text import ITEM, LOST, PLACED
from harness.intervals import Sums, interval_of_sums
from harness.record import Record
from harness.significance import exchanges_for, holm, mean_table, randomization_tests, rank_groups
from harness.store import read_sums

NONE = "–"
LEVEL = 0.05
_MOST_TESTED = 100  # systems of a board: all their pairs are tested in a minute
_RESPONSES = (
    "Every item that a model wrote for a test sentence ends in one class. Hallucinated are those that stand nowhere "
    "in their sentence, unknown labels those that the task does not have, both as shares of the items that could be "
    "parsed. Tokens are those of all splits."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a board: the runs of one system that differ in their seed only."""

    records: tuple[Record, ...]
    interval: tuple[float, float]
    tables: tuple[Sums, ...]  # gold, predicted and matched counts by unit, one a run

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def f1s(self) -> list[float]:
        return [record.scores["test"].f1 for record in self.records]

    @property
    def f1(self) -> float:
        return statistics.fmean(self.f1s)

    def mean(self, name: str) -> float:
        """The mean over seeds of a field of the test score."""
        return statistics.fmean(float(getattr(record.scores["test"], name)) for record in self.records)

    def cost(self, name: str) -> float | None:
        """The mean over seeds of a cost, or None where a run does not have it."""
        values = [record.cost.get(name) for record in self.records]
        return statistics.fmean(v for v in values if v is not None) if None not in values else None

    def cell(self, table: str, name: str) -> float | None:
        """The mean F1 of a label or slice, or None where it does not occur."""
        cells = [getattr(record.scores["test"], table).get(name) for record in self.records]
        return statistics.fmean(cell["f1"] for cell in cells) if all(cells) else None


def entries(found: Sequence[tuple[Path, Record]]) -> dict[str, list[Entry]]:
    """The lines of a task's board, from all its runs, by signature, whole data first, each list best first.

    The same sentences in other documents are no pairs: they get a board of their own, named by its units.
    """
    runs: dict[tuple[str, str], list[tuple[Path, Record]]] = defaultdict(list)
    for folder, record in found:
        runs[record.scores["test"].signature, record.identity].append((folder, record))
    boards: dict[str, dict[bytes, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for (signature, _), members in sorted(runs.items()):
        members.sort(key=lambda member: member[1].seed)
        tables = tuple(read_sums(folder) for folder, _ in members)
        low, high = interval_of_sums(*tables)
        entry = Entry(tuple(record for _, record in members), (100 * low, 100 * high), tables)
        boards[signature][tables[0][:, 0].tobytes()].append(entry)
    named: dict[str, list[Entry]] = {}
    for signature in sorted(boards, key=lambda line: ("limit:" in line, line)):
        for units, board in sorted(boards[signature].items(), key=lambda item: (-len(item[1]), item[0])):
            line = signature if signature not in named else f"{signature}|units:{sha256(units).hexdigest()[:8]}"
            named[line] = sorted(board, key=lambda entry: (-entry.f1, entry.first.title, entry.first.identity))
    return named


def markdown(task: str, boards: Mapping[str, Sequence[Entry]]) -> str:
    """The boards of a task, as `entries` gives them, as a page of markdown."""
    card = next(iter(boards.values()))[0].first.task_card
    parts = [f"# {_text(task)}", _text(card["description"]), _provenance(card)]
    for signature, board in boards.items():
        parts += _section(signature, board)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(signature: str, lines: Sequence[Entry]) -> list[str]:
    board = [entry for entry in lines if not entry.first.sees_gold] or lines
    first = board[0].first
    test = first.scores["test"]
    limited = f" **Only {first.limit} sentences of each split.**" if first.limit else ""
    sizes = ", ".join(f"{name} {part['sentences']:,}" for name, part in first.data.items())
    parts = [
        f"## `{signature}`",
        f"Sentences: {sizes}. Test: {test.words:,} words, {test.counts['gold']:,} spans.{limited}",
        _table(*_main(board)),
        "F1 is the micro F1 of exact spans on the test split, in percent: the mean over seeds, ± their standard "
        "deviation. The interval is the 95% bootstrap interval over test sentences, or documents where there are any. "
        "Systems that share a letter could not be told apart: paired approximate randomization of every pair, "
        f"{exchanges_for(len(board), LEVEL):,} exchanges, Holm's correction, level {LEVEL}.",
        _ceilings(lines),
    ]
    cues = [name for name in test.slices if name.startswith("cue-distance:")]
    if cues:
        parts += [
            "### F1 by side and distance of the cue",
            _table(*_cells(board, "slices", _by_distance(cues), "cue-distance:")),
        ]
    mentions = [name for name in test.slices if name.startswith(("mention:", "length:"))]
    parts += [
        "### F1 by mention, seen in training or not, and by length in words",
        _table(*_cells(board, "slices", mentions, "")),
        "Predictions that overlap no gold span belong to no slice; so a slice's F1 can be above the whole.",
    ]
    labels = sorted(test.labels, key=lambda name: -test.labels[name]["gold"])
    shown = labels[:12]
    more = f" The {len(shown)} most frequent of {len(labels)} labels." if len(labels) > len(shown) else ""
    parts += ["### F1 by label", more.strip(), _table(*_cells(board, "labels", shown, ""))]
    parts += ["### Errors", _table(*_errors(board))]
    written = [entry for entry in board if _items(entry)]
    if written:
        parts += ["### Responses", _table(*_responses(written)), _RESPONSES]
    return parts


def _main(board: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    sides = [name for name in ("cue:left", "cue:right") if name in board[0].first.scores["test"].slices]
    head = [
        "",
        "system",
        "F1",
        "group",
        "95% interval",
        *(f"F1 {name.replace('cue:', '')} cue" for name in sides),
        "P",
        "R",
        "macro F1",
    ]
    head += ["validation F1", "coverage", "seeds", "trained parameters", "training", "sentences/s", "peak memory"]
    rows = []
    for place, (entry, letters) in enumerate(zip(board, groups(board), strict=True), 1):
        spread = f" ± {statistics.stdev(entry.f1s):.2f}" if len(entry.f1s) > 1 else ""
        flag = " (sees the gold)" if entry.first.sees_gold else ""
        flag += "".join(f" ({what} chosen on {split})" for what, split in entry.first.choices.items())
        rows.append(
            [
                str(place),
                _text(entry.first.title) + flag,
                f"{entry.f1:.2f}{spread}",
                letters,
                f"{entry.interval[0]:.1f}–{entry.interval[1]:.1f}",
                *(_percent(entry.cell("slices", name)) for name in sides),
                *(f"{entry.mean(name):.1f}" for name in ("precision", "recall", "macro_f1")),
                _validation(entry),
                f"{entry.mean('coverage'):.1f}%",
                str(len(entry.records)),
                _count(entry.cost("trained_parameters")),
                _seconds(entry.cost("fit_seconds")),
                _speed(entry.cost("sentences_per_second")),
                _memory(entry),
            ]
        )
    return head, rows


def _cells(board: Sequence[Entry], table: str, names: Sequence[str], prefix: str) -> tuple[list[str], list[list[str]]]:
    head = ["system", *(_text(name.removeprefix(prefix)) for name in names)]
    rows = [[_text(e.first.title), *(_percent(e.cell(table, name)) for name in names)] for e in board]
    spans = [getattr(board[0].first.scores["test"], table)[name]["gold"] for name in names]
    return head, [*rows, ["*gold spans*", *(f"{count:,.0f}" for count in spans)]]


def _errors(board: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    repairs = sorted(
        {
            name
            for entry in board
            for record in entry.records
            for name in record.scores["test"].decoding
            if not name.startswith(ITEM)
        }
    )
    head = ["system", *ERRORS, *repairs]
    rows = []
    for entry in board:
        scores = [record.scores["test"] for record in entry.records]
        counts = [statistics.fmean(score.errors[name] for score in scores) for name in ERRORS]
        counts += [statistics.fmean(score.decoding.get(name, 0) for score in scores) for name in repairs]
        rows.append([_text(entry.first.title), *(f"{count:.0f}" for count in counts)])
    return head, rows


def groups(board: Sequence[Entry]) -> list[str]:
    """The letters of each line's rank groups: lines that share one could not be told apart by this test set.

    Lines that see the gold have none, and no line of a board has that is too long to test all pairs.
    """
    tested = [entry for entry in board if not entry.first.sees_gold]
    if len(tested) > _MOST_TESTED:
        return [NONE] * len(board)
    tests = randomization_tests([mean_table(entry.tables) for entry in tested], exchanges_for(len(tested), LEVEL))
    corrected = holm(list(tests.values()))
    apart = [pair for pair, p in zip(tests, corrected, strict=True) if p < LEVEL]
    letters = iter(rank_groups(len(tested), apart))
    return [NONE if entry.first.sees_gold else next(letters) for entry in board]


def _ceilings(entries: Sequence[Entry]) -> str:
    """What the systems reach that are given the gold."""
    found = [f"{_text(entry.first.title)} {entry.f1:.2f}" for entry in entries if entry.first.sees_gold]
    return f"Ceilings, the gold itself sent the way that outputs take: {', '.join(found)}." if found else ""


def _items(entry: Entry) -> dict[str, float]:
    """The mean over seeds of how many generated items ended in each class."""
    classes = (*PLACED, *LOST)
    counts = [record.scores["test"].decoding for record in entry.records]
    found = {name: statistics.fmean(one.get(ITEM + name, 0) for one in counts) for name in classes}
    return found if any(found.values()) else {}


def _responses(board: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    head = ["system", "items", "parsed", "placed", "hallucinated", "unknown label", *PLACED, *LOST]
    head += ["prompt tokens", "completion tokens", "tokens/s", "US dollars"]
    rows = []
    for entry in board:
        items = _items(entry)
        total = sum(items.values())
        parsed = total - items["unparseable"]
        rows.append(
            [
                _text(entry.first.title),
                f"{total:,.0f}",
                _share(parsed, total),
                _share(sum(items[name] for name in PLACED), total),
                _share(items["not-in-text"], parsed),
                _share(items["unknown-label"], parsed),
                *(f"{items[name]:,.0f}" for name in (*PLACED, *LOST)),
                *(_noted(entry, name, ",.0f") for name in ("prompt_tokens", "completion_tokens")),
                _noted(entry, "completion_tokens_per_second", ",.0f"),
                _noted(entry, "us_dollars", ".4f"),
            ]
        )
    return head, rows


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else NONE


def _noted(entry: Entry, name: str, shape: str) -> str:
    """The mean over seeds of what the systems noted of their cost."""
    values = [record.cost["notes"].get(name) for record in entry.records]
    return format(statistics.fmean(values), shape) if values and None not in values else NONE


def _provenance(card: dict[str, Any]) -> str:
    parts = [
        f"Source: {card['source']}" if card["source"] else "",
        f"License: {card['license']}" if card["license"] else "",
    ]
    said = [_text(part) for part in [*parts, card["citation"].rstrip(".")] if part]
    return ". ".join(said) + "." if said else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: str) -> str:
    """Somebody's text as text: nothing in it is markup."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(value.split()))
    return escaped.replace("&", "&amp;")


def _by_distance(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name.split()[0], int(name.split()[1].split("-")[0])))


def _validation(entry: Entry) -> str:
    scores = [record.scores.get("validation") for record in entry.records]
    known = [score.f1 for score in scores if score is not None]
    return f"{statistics.fmean(known):.2f}" if known else NONE


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def _count(value: float | None) -> str:
    if not value:
        return NONE
    return f"{value / 1e6:.1f}M" if value >= 1e5 else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None or value < 0.5:
        return NONE
    return f"{value:.0f} s" if value < 100 else f"{value / 60:.1f} min"


def _speed(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _memory(entry: Entry) -> str:
    value = entry.cost("gpu_memory_mib") or entry.cost("memory_mib")
    return NONE if value is None else f"{value / 1024:.1f} GiB"
