"""How far a score could have fallen otherwise: bootstrap intervals over the rows of a test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.scoring import Row


def bootstrap_interval(
    rows: Sequence[Row], level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of micro F1 (0 to 1) on the given level.

    Whole documents are drawn where every row names one and there are at least two; single sentences elsewhere.
    The interval does not shrink with `replicates`; they only make its ends steadier.
    """
    units = _sums_by_unit(rows)
    generator = np.random.default_rng(seed)
    n = len(units)
    f1 = np.empty(replicates)
    step = max(1, 4_000_000 // n)  # keeps the table of draws under some 32 MB
    for i in range(0, replicates, step):
        draws = generator.multinomial(n, np.full(n, 1 / n), size=min(step, replicates - i))
        gold, predicted, matched = (draws @ units).T
        f1[i : i + step] = 2 * matched / np.maximum(gold + predicted, 1)
    tail = (1 - level) / 2
    low, high = np.quantile(f1, [tail, 1 - tail])
    return float(low), float(high)


def _sums_by_unit(rows: Sequence[Row]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    documents = {row.document for row in rows}
    by_document = None not in documents and len(documents) > 1
    sums: dict[str, list[int]] = {}
    for row in rows:
        total = row.total
        counts = sums.setdefault(str(row.document) if by_document else row.sentence, [0, 0, 0])
        for k, value in enumerate((total.gold, total.predicted, total.matched)):
            counts[k] += value
    return np.array(list(sums.values()), dtype=np.int64)
