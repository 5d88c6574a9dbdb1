"""Whether a difference between systems is more than the luck of the test set: paired tests over the rows of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from harness import intervals
from harness.intervals import Sums, Table, check_paired, f1_of

_LETTERS = 26
_TIE = 1e-6  # differences that are equal but for rounding


def randomization_tests(
    tables: Sequence[Table], replicates: int = 10_000, seed: int = 0
) -> dict[tuple[int, int], float]:
    """The p-value of every pair's difference in micro F1: paired approximate randomization, two-sided.

    If two systems were the same, their outputs for a unit could as well be exchanged. The p-value is the share of
    random exchanges (of each unit, or not) that give a difference at least as large as the one seen, which counts as
    one of them. A table holds the gold, predicted and matched counts of each unit, of shape [units, 3], the mean over
    a system's runs; raises ValueError for tables of other sentences. Not corrected for the number of pairs: see `holm`.
    """
    if len(tables) < 2:
        return {}
    check_paired(tables)
    units, systems = len(tables[0]), len(tables)
    stacked = np.stack(tables, 1).reshape(units, -1).astype(np.float32)
    totals = np.array([table.sum(0) for table in tables])
    seen = f1_of(totals)
    reached = np.ones((systems, systems))
    generator = np.random.default_rng(seed)
    step = 4 * max(1, intervals.CELLS // max(units, 3 * systems))  # whole words of the generator, whatever the step
    for done in range(0, replicates, step):
        exchanged = generator.integers(0, 2, (min(step, replicates - done), units), dtype=np.int8)
        theirs = (exchanged.astype(np.float32) @ stacked).T.astype(np.float64).reshape(systems, 3, -1).swapaxes(1, 2)
        for i in range(systems - 1):
            moved = theirs[i + 1 :] - theirs[i]
            difference = np.abs(f1_of(totals[i + 1 :, None] - moved) - f1_of(totals[i] + moved))
            reached[i, i + 1 :] += (difference >= np.abs(seen[i + 1 :, None] - seen[i]) - _TIE).sum(1)
    return {(i, k): float(reached[i, k] / (replicates + 1)) for i, k in combinations(range(systems), 2)}


def exchanges_for(systems: int, level: float) -> int:
    """How many exchanges let the clearest of all pairs of systems be significant after Holm's correction."""
    return max(10_000, math.ceil(2 * math.comb(systems, 2) / level))


def mean_table(runs: Sequence[Sums]) -> Table:
    """The counts of each unit, the mean over a system's runs: of shape [units, 3]."""
    return np.asarray(np.mean(runs, axis=0))


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

    Systems are numbered from 0, best first, and so are the letters. There are none, an empty list, where there would be
    more groups than systems and than letters: in the worst case 2 to the power of half as many.
    """
    groups = [frozenset(range(count))] if count else []
    for one, other in apart:
        parted = [group for group in groups if not {one, other} <= group]
        parted += [group - {member} for group in groups if {one, other} <= group for member in (one, other)]
        groups = [group for group in dict.fromkeys(parted) if not any(group < wider for wider in parted)]
        if len(groups) > max(_LETTERS, count):
            return []
    groups.sort(key=sorted)
    return ["".join(_letter(g) for g, group in enumerate(groups) if i in group) for i in range(count)]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < _LETTERS else f"({number + 1})"
