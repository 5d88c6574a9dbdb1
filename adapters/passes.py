"""Which rows a model reads together: padding costs, and so does every pass."""

from __future__ import annotations

from collections.abc import Sequence

_PASS = 128  # subwords that could be computed in the time that a pass takes whatever it reads: its weights, its calls
_EVENNESS = 64  # the larger, the less a pass of full size costs more than two halves of it


def cost_of(size: int, room: int) -> float:
    """What a pass of `size` subwords costs, in the time of one subword, where `room` is the largest that may be."""
    return size + _PASS + size * size / (_EVENNESS * room)


def passes(lengths: Sequence[int], room: int, rows: int | None = None) -> list[range]:
    """The rows of each pass, which together cost least; a row is as long as the longest of its pass.

    `lengths` are those of the rows in subwords, longest first. A pass reads at most `room` subwords, padding included,
    and at most `rows` rows, but never less than one.
    """
    room = max(1, room)
    least, begins = [0.0], [0]  # the cost of the first rows, and where their last pass begins
    for after in range(1, len(lengths) + 1):
        found: list[tuple[float, int]] = []
        for first in range(after - 1, max(-1, after - 1 - (rows or after)), -1):
            size = (after - first) * lengths[first]
            if size > room and found:
                break  # as longer ones would be
            found.append((least[first] + cost_of(size, room), first))
        cost, first = min(found)
        least.append(cost)
        begins.append(first)
    after, found_passes = len(lengths), []
    while after:
        found_passes.append(range(begins[after], after))
        after = begins[after]
    return found_passes[::-1]
