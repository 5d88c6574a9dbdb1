"""Whether a difference between systems is more than the luck of the test set: paired tests over the rows of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from harness.intervals import f1_of, sums_by_unit
from harness.scoring import Row

Table: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_CELLS = 4_000_000  # of a table of draws, some 32 MB


def mean_sums(runs: Sequence[Sequence[Row]]) -> Table:
    """Gold, predicted and matched counts of each document or sentence, the mean over runs: of shape [units, 3]."""
    return np.mean([sums_by_unit(rows) for rows in runs], axis=0)


def randomization_test(first: Table, second: Table, replicates: int = 10_000, seed: int = 0) -> float:
    """The p-value of the difference in micro F1 between two systems: approximate randomization, two-sided.

    If the systems were the same, the outputs for a unit could as well be exchanged between them. The p-value is the
    share of random exchanges (of each unit, or not) that give a difference at least as large as the one seen, which
    counts as one of them. Tables come from `mean_sums` over the same test set; raises ValueError for others.
    """
    if first.shape != second.shape or not np.array_equal(first[:, 0], second[:, 0]):
        raise ValueError("the systems were not scored on the same sentences")
    change = second - first
    moving = np.flatnonzero(change.any(axis=1))  # the others are the same, exchanged or not
    if not len(moving):
        return 1.0
    generator = np.random.default_rng(seed)
    seen = abs(_difference(first.sum(0), second.sum(0)))
    step = max(1, _CELLS // len(moving))
    reached = 1
    for done in range(0, replicates, step):
        exchanged = generator.integers(0, 2, (min(step, replicates - done), len(moving)), dtype=np.int8)
        moved = exchanged.astype(np.float32) @ change[moving].astype(np.float32)
        reached += int(np.sum(np.abs(_difference(first.sum(0) + moved, second.sum(0) - moved)) >= seen - 1e-9))
    return reached / (replicates + 1)


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
        found[i : i + step] = _difference(draws @ first, draws @ second)
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
    parted = {frozenset(pair) for pair in apart}
    groups: list[set[int]] = []
    for first in range(count):
        group = {first}
        for other in range(first + 1, count):
            if all(frozenset((other, member)) not in parted for member in group):
                group.add(other)
        if not any(group <= known for known in groups):
            groups.append(group)
    return ["".join(_letter(g) for g, group in enumerate(groups) if i in group) for i in range(count)]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"


def _difference(first: Table, second: Table) -> Table:
    return np.asarray(f1_of(second) - f1_of(first))
