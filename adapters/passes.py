"""Which rows a model reads together: padding costs, and so does every pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# subwords that could be computed in the time that a pass takes whatever it reads, for its weights and its calls: many
# on a GPU, which waits while it is called
OVERHEAD = defaultdict(lambda: 4096, cpu=128)
_TRAINED = 192  # and in the time that the gradients of as many weights as the blocks have take, whatever a pass reads
_EVENNESS = 64  # the larger, the less a pass of full size costs more than two halves of it
_PADDED = 3  # times the room that padded rows may take where blocks do without padding: embeddings and masks do not


@dataclass(frozen=True, slots=True)
class Room:
    """The subwords that a pass may read at most. Padding is among them, unless blocks do without it (`packs`).

    `trained`: weights that are trained, as a multiple of those of the blocks. `overhead`: see OVERHEAD.
    """

    subwords: int
    packs: bool = False
    trained: float = 0.0
    overhead: int = OVERHEAD["cpu"]

    def cost(self, size: int) -> float:
        """What a pass of `size` subwords costs, in the time of one subword."""
        return size + self.overhead + _TRAINED * self.trained + size * size / (_EVENNESS * max(1, self.subwords))


def passes(lengths: Sequence[int], room: Room, rows: int | None = None) -> list[range]:
    """The rows of each pass, which together cost least; a row is as long as the longest of its pass.

    `lengths` are those of the rows in subwords, longest first. A pass has at most `rows` rows and what there is room
    for, but never less than one row.
    """
    before = list(accumulate(lengths, initial=0))  # subwords of the rows before each
    whole = before[-1]
    all_fit = room.packs and rows is None and lengths and _fits(whole, len(lengths) * lengths[0], room)
    if all_fit and room.cost(whole) <= 2 * room.cost(whole // 2):  # all at once cost least, whatever their lengths
        return [range(len(lengths))]
    least, begins = [0.0], [0]  # the cost of the first rows, and where their last pass begins
    for after in range(1, len(lengths) + 1):
        found: list[tuple[float, int]] = []
        for first in range(after - 1, max(-1, after - 1 - (rows or after)), -1):
            padded = (after - first) * lengths[first]
            size = before[after] - before[first] if room.packs else padded
            if found and not _fits(size, padded, room):
                break  # as longer ones would be
            found.append((least[first] + room.cost(size), first))
        cost, first = min(found)
        least.append(cost)
        begins.append(first)
    after, found_passes = len(lengths), []
    while after:
        found_passes.append(range(begins[after], after))
        after = begins[after]
    return found_passes[::-1]


def _fits(size: int, padded: int, room: Room) -> bool:
    return size <= room.subwords and padded <= _PADDED * room.subwords
