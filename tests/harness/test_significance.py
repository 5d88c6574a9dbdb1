"""Paired tests against exact enumeration, their error rates on simulated systems, corrections and rank groups."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness import intervals
from harness.intervals import difference_interval, f1_of, spread_of_sums, sums_by_unit
from harness.scoring import Counts, Row
from harness.significance import exchanges_for, holm, mean_table, randomization_tests, rank_groups


@given(st.sampled_from([3, 6, 9]), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_rows_are_told_apart_in_the_order_of_their_bytes(columns: int, most: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, most, (50, columns))[generator.integers(0, 50, 120)]
    whole = rows.view(np.dtype((np.void, rows.strides[0])))[:, 0]
    for given_rows in (rows, np.asfortranarray(rows)):
        found = np.unique(intervals._as_values(given_rows), return_index=True, return_counts=True)[1:]
        for mine, right in zip(found, np.unique(whole, return_index=True, return_counts=True)[1:], strict=True):
            assert np.array_equal(mine, right)


def system(generator: np.random.Generator, gold: np.ndarray, recall: float, noise: float) -> np.ndarray:
    """Counts of a system that finds each gold span with probability `recall`, and adds some."""
    matched = generator.binomial(gold, recall)
    return np.stack([gold, matched + generator.poisson(noise, len(gold)), matched], 1).astype(np.float64)


def exact(first: np.ndarray, second: np.ndarray) -> float:
    """The p-value over all exchanges."""
    seen = abs(f1_of(second.sum(0)) - f1_of(first.sum(0)))
    reached = 0
    for bits in product([0, 1], repeat=len(first)):
        swap = np.array(bits)[:, None] == 1
        one, other = np.where(swap, second, first).sum(0), np.where(swap, first, second).sum(0)
        reached += abs(f1_of(other) - f1_of(one)) >= seen - 1e-9
    return float(reached / 2 ** len(first))


@pytest.mark.parametrize("seed", range(6))
def test_randomization_is_the_enumeration_of_all_exchanges(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "CELLS", 40_000)  # several tables of draws
    generator = np.random.default_rng(seed)
    gold = generator.poisson(2, 11)
    tables = [system(generator, gold, recall, 0.4) for recall in (0.9, 0.6, 0.5)]
    found = randomization_tests(tables, replicates=20_000)
    for i, j in combinations(range(3), 2):
        assert found[i, j] == pytest.approx(exact(tables[i], tables[j]), abs=0.012)


@given(st.integers(2, 5), st.integers(1, 40), st.integers(1, 500))
def test_how_much_is_drawn_at_once_changes_nothing(systems: int, units: int, cells: int) -> None:
    generator = np.random.default_rng(systems * units)
    gold = generator.poisson(2, units)
    tables = [system(generator, gold, 0.6, 0.4) for _ in range(systems)]
    runs = [table.astype(np.int64) for table in tables]
    whole = randomization_tests(tables, 100), spread_of_sums(*runs, replicates=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "CELLS", cells)
        assert (randomization_tests(tables, 100), spread_of_sums(*runs, replicates=100)) == whole


def test_equal_systems_are_called_different_in_at_most_a_twentieth_of_trials() -> None:
    generator = np.random.default_rng(1)
    called = corrected = 0
    for trial in range(300):
        gold = generator.poisson(1.5, 120)
        tables = [system(generator, gold, 0.6, 0.3) for _ in range(4)]
        found = randomization_tests(tables, replicates=500, seed=trial)
        called += found[0, 1] < 0.05
        corrected += min(holm(list(found.values()))) < 0.05
    assert stats.binomtest(called, 300, 0.05).pvalue > 0.01
    assert corrected / 300 < 0.08  # at most 0.05, but for the luck of 300 trials


def test_a_board_of_equal_systems_has_one_group_in_19_of_20_trials() -> None:
    """Holm's correction over all ten pairs of five systems that are the same but for luck."""
    trials, apart = 200, 0
    generator = np.random.default_rng(5)
    for trial in range(trials):
        gold = generator.integers(1, 4, 60)
        tables = [np.stack([gold, gold, generator.binomial(gold, 0.6)], 1) for _ in range(5)]
        corrected = holm(list(randomization_tests(tables, 400, seed=trial).values()))
        apart += min(corrected) < 0.05
    assert apart <= stats.binom.ppf(0.999, trials, 0.05)  # 20 of 200; ten are expected at most


def test_a_real_difference_is_found_and_a_system_does_not_differ_from_itself() -> None:
    generator = np.random.default_rng(2)
    gold = generator.poisson(1.5, 300)
    good, bad = system(generator, gold, 0.8, 0.2), system(generator, gold, 0.5, 0.2)
    assert randomization_tests([good, bad])[0, 1] < 0.001
    assert randomization_tests([good, good])[0, 1] == 1.0
    assert randomization_tests([good]) == {}
    with pytest.raises(ValueError, match="same sentences"):
        randomization_tests([good, system(generator, gold[::-1], 0.5, 0.2)])


def test_the_interval_of_a_difference_covers_it() -> None:
    generator = np.random.default_rng(3)
    gold = generator.poisson(1.5, 200_000)
    truth = float(f1_of(system(generator, gold, 0.7, 0.3).sum(0)) - f1_of(system(generator, gold, 0.6, 0.3).sum(0)))
    covered = 0
    for trial in range(400):
        sample = generator.poisson(1.5, 250)
        first, second = system(generator, sample, 0.6, 0.3), system(generator, sample, 0.7, 0.3)
        low, high = difference_interval([first], [second], replicates=400, seed=trial)
        covered += low <= truth <= high
    assert 0.92 < covered / 400 < 0.98


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm(p_values: list[float]) -> None:
    found = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    n = len(p_values)
    expected = np.minimum(1, np.maximum.accumulate([(n - k) * p_values[i] for k, i in enumerate(order)]))
    assert [found[i] for i in order] == pytest.approx(list(expected))


def test_rank_groups() -> None:
    assert rank_groups(3, []) == ["a", "a", "a"]
    assert rank_groups(3, [(0, 1), (0, 2), (1, 2)]) == ["a", "b", "c"]
    assert rank_groups(4, [(0, 2), (0, 3), (1, 3)]) == ["a", "ab", "bc", "c"]
    assert rank_groups(0, []) == []
    assert len(rank_groups(8, [(i, i + 1) for i in range(0, 8, 2)])[0]) == 8  # of 16 groups, half have the first
    assert rank_groups(60, [(i, i + 1) for i in range(0, 60, 2)]) == []  # 2 ** 30 of them


@given(st.integers(1, 7), st.data())
def test_systems_share_a_letter_unless_they_are_apart(count: int, data: st.DataObject) -> None:
    pairs = list(combinations(range(count), 2))
    apart = data.draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    letters = rank_groups(count, sorted(apart))
    for pair in pairs:
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) != (pair in apart)


def test_many_systems_can_still_differ() -> None:
    generator = np.random.default_rng(4)
    gold = generator.poisson(2, 400)
    tables = [system(generator, gold, recall, 0.1) for recall in np.linspace(0.95, 0.05, 40)]
    found = randomization_tests(tables, exchanges_for(len(tables), 0.05))
    corrected = dict(zip(found, holm(list(found.values())), strict=True))
    assert corrected[0, 39] < 0.05
    assert corrected[0, 1] > 0.05


def test_runs_are_averaged_and_documents_are_units() -> None:
    runs = [[Row(str(i), f"d{i // 2}", {"X": Counts(2, 1 + i % 2, matched)}) for i in range(8)] for matched in (0, 1)]
    tables = [sums_by_unit(rows) for rows in runs]
    assert [table.shape for table in tables] == [(4, 3), (4, 3)]
    assert mean_table(tables).tolist() == [[4, 3, 1]] * 4
    other = [sums_by_unit([Row(row.sentence, None, row.labels) for row in runs[0]])]
    with pytest.raises(ValueError, match="same sentences"):
        difference_interval(tables, other)
    low, high = difference_interval(tables[:1], tables, replicates=50)
    assert low == high == pytest.approx(f1_of(tables[1].sum(0)) / 2)
