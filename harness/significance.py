"""Whether a difference between systems is more than the luck of the test set: paired tests over the rows of both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from harness.intervals import f1_of, sums_by_unit
from harness.scoring import Row

Table: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_CELLS = 4_000_000  # of a table of draws, some 32 MB
_TIE = 1e-6  # differences that are equal but for rounding


def mean_sums(runs: Sequence[Sequence[Row]]) -> Table:
    """Gold, predicted and matched counts of each document or sentence, the mean over runs: of shape [units, 3]."""
    mean: Table = np.mean([sums_by_unit(rows) for rows in runs], axis=0)
    return mean


def randomization_tests(
    tables: Sequence[Table], replicates: int = 10_000, seed: int = 0
) -> dict[tuple[int, int], float]:
    """The p-value of every pair's difference in micro F1: paired approximate randomization, two-sided.

    If two systems were the same, their outputs for a unit could as well be exchanged. The p-value is the share of
    random exchanges (of each unit, or not) that give a difference at least as large as the one seen, which counts as
    one of them. Tables come from `mean_sums` over the same test set; raises ValueError for others. Not corrected for
    the number of pairs: see `holm`.
    """
    pairs = list(combinations(range(len(tables)), 2))
    if not pairs:
        return {}
    if any(table.shape != tables[0].shape or not np.array_equal(table[:, 0], tables[0][:, 0]) for table in tables):
        raise ValueError("the systems were not scored on the same sentences")
    totals = np.array([table.sum(0) for table in tables])
    first, second = totals[[i for i, _ in pairs]], totals[[j for _, j in pairs]]
    changes = np.stack([tables[j] - tables[i] for i, j in pairs], 1).reshape(len(tables[0]), -1).astype(np.float32)
    seen = np.abs(f1_of(second) - f1_of(first))
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(len(tables[0]), 3 * len(pairs)))
    reached = np.ones(len(pairs))
    for done in range(0, replicates, step):
        exchanged = generator.integers(0, 2, (min(step, replicates - done), len(tables[0])), dtype=np.int8)
        moved = (exchanged.astype(np.float32) @ changes).reshape(len(exchanged), len(pairs), 3).astype(np.float64)
        difference = np.abs(f1_of(second - moved) - f1_of(first + moved))
        reached += (difference >= seen - _TIE).sum(0)
    return {pair: float(p) for pair, p in zip(pairs, reached / (replicates + 1), strict=True)}


def difference_interval(
    first: Table, second: Table, level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (-1 to 1) of the second's micro F1 less the first's, drawn for both at once."""
    generator = np.random.default_rng(seed)
    n = len(first)
    found = np.empty(replicates)
    step = max(1, _CELLS // n)
    for i in range(0, replicates, step):
        draws = generator.multinomial(n, np.full(n, 1 / n), size=min(step, replicates - i)).astype(np.float64)
        found[i : i + step] = f1_of(draws @ second) - f1_of(draws @ first)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that may be compared with one level, however many tests there are."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found = [0.0] * len(p_values)
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        found[i] = highest
    return found


def rank_groups(count: int, apart: Sequence[tuple[int, int]]) -> list[str]:
    """A letter for each group of systems of which no two are `apart`; a system has the letters of all its groups.

    Systems are numbered from 0, best first, and so are the letters.
    """
    groups = [frozenset(range(count))] if count else []
    for one, other in apart:
        parted = [group for group in groups if not {one, other} <= group]
        parted += [group - {member} for group in groups if {one, other} <= group for member in (one, other)]
        groups = [group for group in dict.fromkeys(parted) if not any(group < wider for wider in parted)]
    groups.sort(key=sorted)
    return ["".join(_letter(g) for g, group in enumerate(groups) if i in group) for i in range(count)]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"
