"""How far a score could have fallen otherwise: bootstrap intervals over the rows of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from harness.scoring import Row

Sums: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def bootstrap_interval(
    runs: Sequence[Sequence[Row]], level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (0 to 1) of micro F1, or of its mean over several runs on the same sentences.

    Whole documents are drawn where every row names one and there are at least two; single sentences elsewhere.
    The interval does not shrink with `replicates`; they only make its ends steadier.
    """
    tables = [sums_by_unit(rows) for rows in runs]
    generator = np.random.default_rng(seed)
    n = len(tables[0])
    f1 = np.empty(replicates)
    step = max(1, 4_000_000 // n)  # keeps the table of draws under some 32 MB
    for i in range(0, replicates, step):
        draws = generator.multinomial(n, np.full(n, 1 / n), size=min(step, replicates - i)).astype(np.float64)
        f1[i : i + step] = np.mean([f1_of(draws @ table) for table in tables], axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(f1, [tail, 1 - tail])
    return float(low), float(high)


def f1_of(sums: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
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
