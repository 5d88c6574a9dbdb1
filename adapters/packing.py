"""Sentences one behind the other, without padding, and in rows that hold several of them for attention.

Suffixes of names: B sentences, L subwords of a row, N subwords that are there, R rows of several sentences, D width,
E width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

_STEP, _ROW_STEP = 64, 16  # subwords in all, and of a row, are rounded up to multiples of these at most
_LONG_STEP, _ROWS_STEP = 64, 4  # the length of rows, and how many there are, where sizes should be few
_STEP_IN_FLOAT32 = 8  # on a CPU, whose float32 products are made by code that is there for any size


@dataclass(frozen=True, slots=True)
class Places:
    """Where the subwords of padded sentences stand without padding, and where in rows of several sentences.

    `real_N` and `packed_N` are places in sentences and in rows one behind the other; `among_BL` and `among_RL` are the
    way back, -1 where there is no subword. N and L are rounded up, and R where asked for, so that few sizes recur and
    what libraries prepare for a size is prepared once. The subwords that this adds are copies of any, stand in no row,
    -1 in `packed_N`, and are not put back, so that nothing is learned from them.
    """

    real_N: torch.Tensor
    among_BL: torch.Tensor
    packed_N: torch.Tensor
    among_RL: torch.Tensor
    known: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, real_BL: torch.Tensor, dtype: torch.dtype = torch.bfloat16, few_sizes: bool = False) -> Places:
        """From a mask of shape [B, L] that is 0 for padding, on whose device they are; a GPU is waited for.

        `dtype`: what products of the subwords are computed in, on which it depends how many sizes are too many.
        `few_sizes`: rows are rounded up by more, since what is prepared for a size takes long.
        """
        device, real_BL = real_BL.device, real_BL.cpu()  # where many small steps take least
        B, L = real_BL.shape
        length = -(-L // _LONG_STEP) * _LONG_STEP if few_sizes else _rounded(L, _ROW_STEP)
        real_N = (real_BL.flatten() != 0).nonzero().squeeze(1)
        counts_B = (real_BL != 0).sum(1)
        row_B, start_B, rows = _packed(counts_B.tolist(), length)
        rows = _rounded(rows, _ROWS_STEP) if few_sizes else rows
        numbers_N = torch.arange(len(real_N))
        sentence_N = real_N // L
        within_N = numbers_N - (counts_B.cumsum(0) - counts_B)[sentence_N]
        packed_N = (torch.tensor(row_B) * length + torch.tensor(start_B))[sentence_N] + within_N
        among_BL, among_RL = torch.full((B * L,), -1), torch.full((rows * length,), -1)
        among_BL[real_N] = among_RL[packed_N] = numbers_N
        step = _STEP_IN_FLOAT32 if dtype is torch.float32 and device.type == "cpu" else _STEP
        added = _rounded(len(real_N), step) - len(real_N)
        real_N, packed_N = F.pad(real_N, (0, added)), F.pad(packed_N, (0, added), value=-1)
        found = (real_N, among_BL.view(B, L), packed_N, among_RL.view(rows, length))
        return cls(*(one.to(device, non_blocking=True) for one in found))

    def taken(self, hidden_BLD: torch.Tensor) -> torch.Tensor:
        """Shape [N, D]: without padding."""
        return hidden_BLD.flatten(0, 1)[self.real_N]

    def put_back(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """Shape [B, L, D]; padding holds any numbers."""
        return hidden_ND[self.among_BL.clamp(min=0)]

    def in_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The sentence of each place in rows, -1 where there is none, and the position in it; shape [R, L]."""
        sentence_RL, position_RL = self._origins()
        is_there_RL = self.among_RL >= 0
        return torch.where(is_there_RL, sentence_RL, -1), torch.where(is_there_RL, position_RL, 0)

    def from_rows(self, hidden_RLD: torch.Tensor) -> torch.Tensor:
        """Shape [B, L, D], from what was computed in rows of several sentences; padding holds any numbers."""
        return hidden_RLD.flatten(0, 1)[self.packed_N[self.among_BL.clamp(min=0)]]

    def turns(self, turns_BLE: torch.Tensor) -> torch.Tensor:
        """Shape [R, L, E], from what turns positions of sentences, of shape [B or 1, L, E]."""
        return self._once(turns_BLE, self._turns)

    def mask(self, mask_B1LL: torch.Tensor) -> torch.Tensor:
        """Shape [R, 1, L, L], from a mask that is added to the scores of sentences: no sentence sees another."""
        return self._once(mask_B1LL, self._mask)

    def _turns(self, turns_BLE: torch.Tensor) -> torch.Tensor:
        sentence_RL, position_RL = self._origins()
        return turns_BLE.expand(len(self.among_BL), -1, -1)[sentence_RL, position_RL]

    def _mask(self, mask_B1LL: torch.Tensor) -> torch.Tensor:
        sentence_RL, position_RL = self._origins()
        queries, keys = (slice(None), slice(None), None), (slice(None), None, slice(None))
        is_one_RLL = (sentence_RL[queries] == sentence_RL[keys]) & (self.among_RL >= 0)[keys]
        mask_RLL = mask_B1LL[sentence_RL[queries], 0, position_RL[queries], position_RL[keys]]
        return torch.where(is_one_RLL, mask_RLL, torch.finfo(mask_B1LL.dtype).min)[:, None]

    def _origins(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The sentence of each place in rows, and the position in it; any where there is no subword."""
        origin_RL = self.real_N[self.among_RL.clamp(min=0)]
        L = self.among_BL.shape[1]
        return origin_RL // L, origin_RL % L

    def _once(self, tensor: torch.Tensor, pack: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """All blocks are given the same few tensors, which are kept with what came of them."""
        if id(tensor) not in self.known:
            self.known[id(tensor)] = tensor, pack(tensor)
        return self.known[id(tensor)][1]


def _packed(counts: Sequence[int], length: int) -> tuple[list[int], list[int], int]:
    """The row of each sentence, where it begins in it, and how many rows there are: the first that has room for it."""
    rows, starts = [0] * len(counts), [0] * len(counts)
    used: list[int] = []
    for sentence in sorted(range(len(counts)), key=lambda number: -counts[number]):
        row = next((row for row, taken in enumerate(used) if taken + counts[sentence] <= length), len(used))
        if row == len(used):
            used.append(0)
        rows[sentence], starts[sentence] = row, used[row]
        used[row] += counts[sentence]
    return rows, starts, len(used)


def _rounded(size: int, most: int) -> int:
    """Up to a multiple of a power of two: the largest of at most a quarter of it and at most `most`, or of 1."""
    step = min(most, 1 << max(0, size.bit_length() - 3))
    return -(-size // step) * step
