"""The things a system may return for a sentence. `unseen` are the words it never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.responses import Format
from harness.schemes import Scheme
from harness.spans import Span


@dataclass(frozen=True, slots=True)
class Tags:
    """One tag a word, in a declared scheme."""

    labels: tuple[str, ...]
    scheme: Scheme = Scheme.IOB2
    unseen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans in words, or in characters of the sentence's text. Ends are exclusive. Scores decide overlaps, if given."""

    spans: tuple[Span, ...]
    unit: Literal["words", "characters"] = "words"
    scores: tuple[float, ...] | None = None
    unseen: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.scores is not None and len(self.scores) != len(self.spans):
            raise ValueError(f"{len(self.spans)} spans but {len(self.scores)} scores")
        if not all(map(math.isfinite, self.scores or ())):
            raise ValueError("a score is no finite number")


@dataclass(frozen=True, slots=True)
class Text:
    """What a generative model wrote, in a declared format. `cut` where it had to stop before it was done."""

    text: str
    format: Format
    cut: bool = False
    unseen: tuple[int, ...] = ()


RawOutput = Tags | Spans | Text


def checked(outputs: Sequence[RawOutput], sentences: int) -> list[RawOutput]:
    """What a system returned for so many sentences. Raises ValueError, TypeError for what it may not return."""
    found = list(outputs)
    if len(found) != sentences:
        raise ValueError(f"predict returned {len(found)} outputs for {sentences} sentences")
    for output in found:
        if not isinstance(output, RawOutput):
            raise TypeError(f"predict returned a {type(output).__name__}, where Tags, Spans or Text is meant")
    return found
