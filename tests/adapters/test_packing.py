"""Rows of several sentences hold every subword once, and no sentence sees another."""

from __future__ import annotations

import torch
from harness.adapters.packing import Places
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=12)
HOLES = st.integers(1, 9).flatmap(  # padding anywhere, as no tokenizer has it
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length).filter(any), min_size=1)
)


def real_of(lengths: list[int]) -> torch.Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


@given(HOLES)
def test_every_subword_is_packed_once_and_put_back_where_it_was(real: list[list[bool]]) -> None:
    real_BL = torch.tensor(real).long()
    count = int(real_BL.sum())
    places = Places.of(real_BL)
    hidden_BLD = torch.randn(*real_BL.shape, 3)
    taken_ND = places.taken(hidden_BLD)
    assert len(taken_ND) == len(places.packed_N)
    assert torch.equal(taken_ND[:count], hidden_BLD[real_BL == 1])
    assert torch.equal(places.put_back(taken_ND)[real_BL == 1], hidden_BLD[real_BL == 1])
    packed_N, added_N = places.packed_N[:count], places.packed_N[count:]
    assert packed_N.unique().numel() == count
    assert torch.equal(places.among_RL.flatten()[packed_N], torch.arange(count))
    assert int((places.among_RL >= 0).sum()) == count
    assert (added_N == -1).all()


@given(st.integers(1, 3000), st.integers(1, 200))
def test_sizes_are_rounded_up_by_less_than_a_quarter(count: int, length: int) -> None:
    places = Places.of(torch.nn.functional.pad(torch.ones(1, count).long(), (0, -count % length)).view(-1, length))
    assert count <= len(places.packed_N) < 1.25 * count + 1
    assert length <= places.among_RL.shape[1] < 1.25 * length + 1
    assert count < 256 or len(places.packed_N) % 64 == 0
    assert length < 64 or places.among_RL.shape[1] % 16 == 0


def test_sizes_of_updates_are_few() -> None:
    updates = [Places.of(torch.ones(1, count).long()) for count in range(200, 1000)]
    assert len({len(places.packed_N) for places in updates}) < 20


def test_in_float32_on_a_cpu_less_is_added() -> None:
    assert len(Places.of(torch.ones(1, 513).long(), torch.float32).packed_N) == 520
    assert len(Places.of(torch.ones(1, 513).long()).packed_N) == 576


def test_short_sentences_share_a_row() -> None:
    assert Places.of(real_of([3, 8, 5, 2])).among_RL.tolist() == [
        [3, 4, 5, 6, 7, 8, 9, 10],
        [11, 12, 13, 14, 15, 0, 1, 2],
        [16, 17, -1, -1, -1, -1, -1, -1],
    ]


@given(LENGTHS)
def test_a_subword_sees_of_its_own_sentence_what_the_mask_lets_it_see(lengths: list[int]) -> None:
    real_BL = real_of(lengths)
    places = Places.of(real_BL)
    hidden = torch.finfo(torch.float32).min
    mask_B1LL = torch.randn(len(lengths), 1, max(lengths), max(lengths)).masked_fill(
        real_BL[:, None, None] == 0, hidden
    )
    mask_RLL = places.mask(mask_B1LL)[:, 0]
    for number, (sentence, position) in enumerate(real_BL.nonzero().tolist()):
        row, at = divmod(int(places.packed_N[number]), places.among_RL.shape[1])
        among_L, seen_L = places.among_RL[row], mask_RLL[row, at]
        first, after = sum(lengths[:sentence]), sum(lengths[: sentence + 1])
        own_L = (among_L >= first) & (among_L < after)
        assert torch.equal(seen_L[own_L], mask_B1LL[sentence, 0, position, : lengths[sentence]])
        assert (seen_L[~own_L] == hidden).all()


@given(LENGTHS)
def test_positions_begin_anew_with_each_sentence(lengths: list[int]) -> None:
    real_BL = real_of(lengths)
    places = Places.of(real_BL)
    turns_BLE = torch.randn(1, max(lengths), 4)
    turned_NE = places.turns(turns_BLE).flatten(0, 1)[places.packed_N[: sum(lengths)]]
    assert torch.equal(turned_NE, turns_BLE[0, real_BL.nonzero()[:, 1]])
