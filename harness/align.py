"""Placing spans on words: characters to words, and which of several overlapping spans stays."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from harness.spans import Span


def words_covered(start: int, end: int, offsets: Sequence[tuple[int, int]]) -> tuple[int, int, bool] | None:
    """The words that characters [start, end) touch, and whether they end exactly on word boundaries.

    Returns (first word, word after the last, exact), or None when no word is touched. `offsets` are each word's
    character start and end, in order.
    """
    first = bisect_right(offsets, start, key=lambda offset: offset[1])
    after = bisect_left(offsets, end, key=lambda offset: offset[0])
    if first >= after:
        return None
    return first, after, (offsets[first][0], offsets[after - 1][1]) == (start, end)


def without_overlaps(
    spans: Sequence[Span], rank: Callable[[int], float] = lambda index: 0.0
) -> tuple[list[int], list[int]]:
    """Split indices of `spans` into (kept, dropped) so that the kept ones do not overlap; kept are sorted by position.

    The higher `rank` stays; then the longer span; then the one given first.
    """
    order = sorted(range(len(spans)), key=lambda i: (-rank(i), spans[i].start - spans[i].end, i))
    kept: list[int] = []
    dropped: list[int] = []
    for i in order:
        clash = any(spans[i].overlaps(spans[k]) for k in kept)
        (dropped if clash else kept).append(i)
    return sorted(kept, key=lambda i: spans[i]), sorted(dropped)
