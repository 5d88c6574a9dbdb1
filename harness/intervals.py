"""How far a score could have fallen otherwise: bootstrap intervals over the rows of a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from harness.scoring import Row

Sums: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Table: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
CELLS = 50_000  # of a table of draws, 400 KB: tables of MB are given back to the kernel and asked for again, each time


@dataclass(frozen=True, slots=True)
class Spread:
    """How a statistic falls over draws: the ends of its interval, and its standard deviation."""

    low: float
    high: float
    deviation: float


def bootstrap_interval(
    runs: Sequence[Sequence[Row]], level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (0 to 1) of micro F1, or of its mean over several runs on the same sentences.

    Whole documents are drawn where every row names one and there are at least two; single sentences elsewhere.
    The interval does not shrink with `replicates`; they only make its ends steadier.
    """
    return interval_of_sums(*map(sums_by_unit, runs), level=level, replicates=replicates, seed=seed)


def interval_of_sums(*runs: Sums, level: float = 0.95, replicates: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The same from `sums_by_unit`."""
    spread = spread_of_sums(*runs, level=level, replicates=replicates, seed=seed)
    return spread.low, spread.high


def spread_of_sums(*runs: Sums, level: float = 0.95, replicates: int = 2000, seed: int = 0) -> Spread:
    """The same with the standard deviation over draws: what the choice of the test set does to a score."""
    return _bootstrap(runs, mean_f1, level, replicates, seed)


def difference_interval(
    first: Sequence[Sums], second: Sequence[Sums], level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (-1 to 1) of the second system's mean F1 less the first's, drawn for both at once.

    Each has a table of `sums_by_unit` a run. Raises ValueError where they are not of the same sentences.
    """
    check_paired([*first, *second])

    def difference(tables: Sequence[Sums], draws: Table) -> Table:
        return mean_f1(tables[len(first) :], draws) - mean_f1(tables[: len(first)], draws)

    spread = _bootstrap([*first, *second], difference, level, replicates, seed)
    return spread.low, spread.high


def _bootstrap(
    tables: Sequence[Sums],
    statistic: Callable[[Sequence[Sums], Table], Table],
    level: float,
    replicates: int,
    seed: int,
) -> Spread:
    """The quantiles and the deviation of a statistic over draws: it is given tables and how often each unit was drawn.

    Units with the same counts in all tables are drawn as one kind: that changes no chance, and there are few kinds.
    """
    units = len(tables[0])
    rows = np.concatenate(tables, axis=1)
    _, examples, sizes = np.unique(_as_values(rows), return_index=True, return_counts=True)
    kinds = rows[examples]
    of_kinds = np.split(kinds, len(tables), axis=1)
    generator = np.random.default_rng(seed)
    found = np.empty(replicates)
    step = max(1, CELLS // max(len(kinds), 3 * len(tables)))
    for i in range(0, replicates, step):
        draws = generator.multinomial(units, sizes / units, size=min(step, replicates - i))
        found[i : i + step] = statistic(of_kinds, draws.astype(np.float64))
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Spread(float(low), float(high), float(found.std()))


def _as_values(rows: Sums) -> np.ndarray[Any, Any]:
    """A value for each row, equal where rows are, in the order of their bytes: numbers where eight bytes hold a row."""
    rows = np.ascontiguousarray(rows)
    if rows.max(initial=0) < 256:  # then the low bytes alone, one a number, sort as all eight of each do
        rows = rows.astype(np.uint8)
        if rows.shape[1] <= 8:
            return np.pad(rows, ((0, 0), (0, 8 - rows.shape[1]))).view(">u8")[:, 0].astype(np.uint64)
    return rows.view(np.dtype((np.void, rows.strides[0])))[:, 0]


def mean_f1(tables: Sequence[Sums], draws: Table) -> Table:
    """The mean over runs of micro F1 (0 to 1) for each draw of units: of shape [draws]."""
    totals = (draws @ np.concatenate(tables, axis=1)).reshape(len(draws), len(tables), 3)
    return np.asarray(f1_of(totals).mean(1))


def check_paired(tables: Sequence[Sums | Table]) -> None:
    """Raise ValueError where the gold counts of the units differ."""
    first = tables[0]
    if any(table.shape != first.shape or not np.array_equal(table[:, 0], first[:, 0]) for table in tables):
        raise ValueError("the systems were not scored on the same sentences")


def f1_of(sums: Table) -> Table:
    """Micro F1 (0 to 1) of sums of gold, predicted and matched counts: of shape [..., 3] to [...]."""
    gold, predicted, matched = sums[..., 0], sums[..., 1], sums[..., 2]
    return np.asarray(2 * matched / np.maximum(gold + predicted, 1))


def sums_by_unit(rows: Sequence[Row]) -> Sums:
    """Gold, predicted and matched counts of each unit that is drawn: of shape [units, 3]."""
    documents = {row.document for row in rows}
    by_document = None not in documents and len(documents) > 1
    sums: dict[str, list[int]] = {}
    for row in rows:
        total = row.total
        counts = sums.setdefault(str(row.document) if by_document else row.sentence, [0, 0, 0])
        for k, value in enumerate((total.gold, total.predicted, total.matched)):
            counts[k] += value
    return np.array(list(sums.values()), dtype=np.int64)
