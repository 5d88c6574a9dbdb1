"""One mention as a model wrote it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A mention as text, with the label's name as it was written.

    Where the same text stands in the sentence several times, `occurrence` says which place is meant, counted from 1;
    `start` says it by the character where the mention begins in the sentence as the response repeats it. `literal` is
    the text with no escape and no number read, where that is another: what a model means that escapes nothing.
    """

    text: str
    label: str
    occurrence: int | None = None
    start: int | None = None
    literal: str | None = None
