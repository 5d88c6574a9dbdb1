"""Rows are read together so that padding and passes cost least, and all are read once."""

from __future__ import annotations

import itertools

import pytest
from harness.adapters.passes import OVERHEAD, Room, passes
from hypothesis import given
from hypothesis import strategies as st

ROOMS = st.builds(Room, st.integers(0, 1500), st.booleans(), st.floats(0, 3))


def sizes(lengths: list[int], room: int, rows: int | None = None, packs: bool = False) -> list[int]:
    return [len(found) for found in passes(lengths, Room(room, packs), rows)]


@given(
    lengths=st.lists(st.integers(1, 60), max_size=40).map(lambda found: sorted(found, reverse=True)),
    room=ROOMS,
    rows=st.none() | st.integers(1, 10),
)
def test_every_row_is_read_once_and_no_pass_is_too_large(lengths: list[int], room: Room, rows: int | None) -> None:
    found = passes(lengths, room, rows)
    assert [row for one in found for row in one] == list(range(len(lengths)))
    for one in found:
        assert len(one) == 1 or fits(one, lengths, room)
        assert len(one) <= (rows or len(one))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8).map(lambda found: sorted(found, reverse=True)),
    room=ROOMS,
    rows=st.none() | st.integers(1, 4),
)
def test_no_other_cuts_cost_less(lengths: list[int], room: Room, rows: int | None) -> None:
    costs = []
    for between in itertools.product([False, True], repeat=len(lengths) - 1):
        cuts = [0, *(row + 1 for row, cut in enumerate(between) if cut), len(lengths)]
        found = list(itertools.starmap(range, itertools.pairwise(cuts)))
        allowed = (len(one) == 1 or (fits(one, lengths, room) and len(one) <= (rows or len(one))) for one in found)
        if all(allowed):
            costs.append(cost(found, lengths, room))
    assert cost(passes(lengths, room, rows), lengths, room) == pytest.approx(min(costs))


def total(rows: range, lengths: list[int], room: Room) -> int:
    """Subwords of a pass, padding included where it is read."""
    return sum(lengths[row] for row in rows) if room.packs else len(rows) * lengths[rows.start]


def fits(rows: range, lengths: list[int], room: Room) -> bool:
    """Whether a pass is no larger than it may be; padding that blocks do without may be twice as much as the rest."""
    return total(rows, lengths, room) <= room.subwords and len(rows) * lengths[rows.start] <= 3 * room.subwords


def cost(found: list[range], lengths: list[int], room: Room) -> float:
    return sum(room.cost(total(one, lengths, room)) for one in found)


def test_passes_of_rows_of_one_length_are_few_and_even() -> None:
    assert sizes([10] * 10, 100) == [10]
    assert sizes([60] * 64, 3072) == [32, 32]
    assert sizes([60] * 64, 3072, rows=16) == [16] * 4


def test_rows_of_other_lengths_are_read_apart_where_padding_costs_more_than_a_pass() -> None:
    assert sizes([100, *[10] * 15], 4096) == [1, 15]
    assert sizes([20, *[10] * 8], 4096) == [9]
    assert sizes([100, *[10] * 15], 4096, packs=True) == [16]
    assert sizes([256, *[12] * 63], 3072, packs=True) == [22, 42]


def test_the_more_weights_are_trained_the_fewer_passes() -> None:
    lengths = [100, *[10] * 15]
    assert [len(passes(lengths, Room(4096, trained=share))) for share in (0.0, 0.05, 10.0)] == [2, 2, 1]


def test_the_more_a_pass_costs_the_fewer_there_are() -> None:
    lengths = sorted((5 + number * 37 % 90 for number in range(64)), reverse=True)
    on_cpu, on_gpu = (len(passes(lengths, Room(8192, overhead=OVERHEAD[device]))) for device in ("cpu", "cuda"))
    assert on_cpu > on_gpu == 1


def test_a_row_longer_than_a_pass_is_read_alone() -> None:
    assert sizes([500, 40, 40], 100) == [1, 2]


def test_there_may_be_no_rows() -> None:
    assert passes([], Room(100)) == []
