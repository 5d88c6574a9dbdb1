"""A page for each run: its errors, what its labels are taken for, other scorers, and its sentences one by one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import NONE, Entry
from harness.breakdown import ERRORS, RIGHT, Pair, pairs
from harness.errors import DataError
from harness.files import write_whole
from harness.outputs import RawOutput
from harness.pages.content import Cell, Table, number
from harness.pages.html import render
from harness.panel import WHAT, panel
from harness.predictions import read_stored, spans_json
from harness.record import Record
from harness.spans import Labeled, Span
from harness.store import PREDICTIONS, read_rows, unreadable
from harness.stored import stored_gold, stored_spans

_LABELS = 30  # of a table of confusions


@dataclass(frozen=True, slots=True)
class _Run:
    """A run with its line of the board, its folder, its page, and whether it had each test sentence wholly right."""

    entry: Entry
    record: Record
    folder: Path
    page: str
    right: str


def write_run_pages(
    found: Sequence[tuple[Path, Record]], boards: Mapping[str, Sequence[Entry]], out: Path, data: Path | None
) -> dict[str, str]:
    """Write a page for every run of a task below `out`; from a line's key to its first run's page.

    Sentences are shown where their files are at hand: those of embedded tasks, or in `data`.
    """
    folders = {(record.system, record.identity, record.seed): folder for folder, record in found}
    links: dict[str, str] = {}
    for board in boards.values():
        runs = [
            _Run(entry, record, folder, _page(record, folder), _right(folder))
            for entry in board
            for record in entry.records
            for folder in [folders[record.system, record.identity, record.seed]]
        ]
        gold = stored_gold(runs[0].record, data)
        if not gold:
            task = runs[0].record.task
            print(
                f"{task}: run pages without sentences: the files that the runs read are not at hand (--data DIR).",
                file=sys.stderr,
            )
        for run in runs:
            write_whole(out / run.page, _run_page(run, runs, gold))
            links.setdefault(run.entry.key, run.page)
    return links


def _page(record: Record, folder: Path) -> str:
    """Its page below the boards' folder: named as its folder in the store is."""
    system, identity = folder.parts[-3:-1]
    return f"runs/{record.task}/{system}-{identity}-seed-{record.seed}.html"


def _right(folder: Path) -> str:
    """For each test sentence, 1 where nothing is missed and nothing wrong, 0 elsewhere."""
    totals = [row.total for row in read_rows(folder, "test")]
    return "".join("01"[one.matched == one.gold == one.predicted] for one in totals)


def _run_page(run: _Run, runs: Sequence[_Run], gold: Sequence[Labeled]) -> str:
    tables = [_error_table(run.record)]
    sentences: list[dict[str, Any]] = []
    if gold:
        said, outputs = _said(run.folder, gold)
        found = [pairs(one.spans, spans) for one, spans in zip(gold, said, strict=True)]
        tables += [_confusions(found), _panel_table(panel(gold, outputs, run.record.labels))]
        sentences = [_sentence(*both) for both in zip(gold, found, strict=True)]
    others = [other for other in runs if other.entry is not run.entry and other.record is other.entry.first]
    others.sort(key=lambda other: other.record.sees_gold)  # nobody is ahead of those
    values = {
        "title": f"{run.record.task}: {run.record.title}, seed {run.record.seed}",
        "record": run.record,
        "facts": _facts(run.record),
        "seeds": [other for other in runs if other.entry is run.entry and other is not run],
        "tables": tables,
        "board": f"../../{run.record.task}.html",
        "errors": ERRORS,
        "data": {
            "sentences": sentences,
            "others": [{"name": other.record.title, "right": other.right} for other in others],
        },
    }
    return render("run.html", values, "run.js")


def _said(folder: Path, gold: Sequence[Labeled]) -> tuple[list[list[Span]], list[RawOutput]]:
    """The spans and the raw outputs of a run. Raises StoreError where they are not those of the test sentences."""
    try:
        said, outputs = stored_spans(folder), read_stored(folder / PREDICTIONS, [one.sentence for one in gold])
        if len(said) != len(gold):
            raise ValueError(f"{len(said)} sentences instead of {len(gold)}")
        return said, outputs
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder / PREDICTIONS, "list of predictions", error) from error


def _facts(record: Record) -> dict[str, str]:
    test, cost = record.scores["test"], record.cost
    git = record.environment.get("git") or {}
    low, high = test.interval
    return {
        "F1": f"{test.f1:.2f} (95% interval {low:.1f}–{high:.1f})",
        "P, R, macro F1": f"{test.precision:.2f}, {test.recall:.2f}, {test.macro_f1:.2f}",
        "signature": test.signature,
        "identity": record.identity,
        "preset": record.preset or NONE,
        "set by hand": ", ".join(f"{k}={v}" for k, v in {**record.overrides, **record.task_overrides}.items()) or NONE,
        "trained parameters": f"{cost['trained_parameters']:,} of {cost['parameters']:,}",
        "seconds to train, to answer": f"{cost['fit_seconds']:,.1f}, {cost['predict_seconds']:,.1f}",
        "peak memory": f"{(cost.get('gpu_memory_mib') or cost['memory_mib']):,.0f} MiB",
        "harness": f"{record.environment.get('harness', NONE)} {str(git.get('commit', ''))[:12]}".strip(),
        "finished": record.finished,
    }


def _error_table(record: Record) -> Table:
    test = record.scores["test"]
    counts = {**test.errors, **test.decoding}
    rows = [[Cell(name), number(count, ",d")] for name, count in counts.items()]
    return Table("errors", "Errors, and what decoding had to change", ["class", "count"], rows)


def _confusions(found: Sequence[Sequence[Pair]]) -> Table:
    """Gold labels by row, predicted ones by column; spans that overlap count, exact or not."""
    counts = Counter(
        (pair.gold.label if pair.gold else NONE, pair.predicted.label if pair.predicted else NONE)
        for sentence in found
        for pair in sentence
    )
    frequent: Counter[str] = Counter()
    for (one, other), count in counts.items():
        frequent[one] += count
        frequent[other] += count
    del frequent[NONE]
    names = [*(name for name, _ in frequent.most_common(_LABELS)), NONE]
    rows = [[Cell(one), *(number(counts[one, other], ",d") for other in names)] for one in names]
    more = f" The {_LABELS} most frequent labels." if len(frequent) > _LABELS else ""
    note = f"Gold by row, predicted by column; spans that overlap are a pair, {NONE} is none.{more}"
    return Table("confusions", "Labels", ["gold", *names], rows, note)


def _panel_table(lines: Sequence[Any]) -> Table:
    rows = [
        [
            Cell(line.scorer),
            *(number(value, ".2f") for value in (line.f1, line.precision, line.recall)),
            Cell(WHAT[line.scorer]),
        ]
        for line in lines
    ]
    return Table("panel", "The same predictions by other scorers", ["scorer", "F1", "P", "R", "what counts"], rows)


def _sentence(labeled: Labeled, found: Sequence[Pair]) -> dict[str, Any]:
    """What the page's script shows: words, gold and predicted spans, each with its class."""
    sides: dict[str, list[list[Any]]] = {"gold": [], "said": []}
    for pair in found:
        for side, span in (("gold", pair.gold), ("said", pair.predicted)):
            if span:
                sides[side].append([*spans_json([span])[0], pair.kind])
    for spans in sides.values():
        spans.sort(key=lambda span: span[0])
    kinds = sorted({pair.kind for pair in found} - {RIGHT})
    return {"id": labeled.sentence.id, "words": labeled.sentence.words, "errors": kinds, **sides}
