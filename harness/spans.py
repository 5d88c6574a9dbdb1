"""The values everything else is made of: spans, sentences, and sentences with their spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A labeled run of words: `start` inclusive, `end` exclusive, both counted in words from 0."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span must hold at least one word, not [{self.start}, {self.end})")
        if not self.label:
            raise ValueError("a span must have a label")

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words to label. `text` and `offsets` (start and end of each word in it) if the source has them."""

    id: str
    words: tuple[str, ...]
    document: str | None = None
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError(f"sentence {self.id} has no words")
        if not all(self.words):
            raise ValueError(f"sentence {self.id} has an empty word")
        if (self.text is None) != (self.offsets is None):
            raise ValueError(f"sentence {self.id} must have both text and offsets, or neither")
        if self.offsets is not None and len(self.offsets) != len(self.words):
            raise ValueError(f"sentence {self.id} has {len(self.words)} words but {len(self.offsets)} offsets")

    @property
    def shown(self) -> str:
        """The sentence as a reader sees it: its text, or its words with spaces between them."""
        return " ".join(self.words) if self.text is None else self.text

    @property
    def shown_offsets(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each word in `shown`."""
        if self.offsets is not None:
            return self.offsets
        ends = tuple(accumulate(len(word) + 1 for word in self.words))
        return tuple((end - len(word) - 1, end - 1) for word, end in zip(self.words, ends, strict=True))

    def surface(self, span: Span) -> str:
        """The span's words as a reader sees them."""
        if self.text is not None and self.offsets is not None:
            return self.text[self.offsets[span.start][0] : self.offsets[span.end - 1][1]]
        return " ".join(self.words[span.start : span.end])


@dataclass(frozen=True, slots=True)
class Labeled:
    """A sentence with its spans: sorted, not overlapping, inside the sentence.

    `facets` holds, for each span, what a task knows about it beyond its label (`("cue:left", "distance:3")`);
    scores are broken down by it. Empty, or one tuple a span.
    """

    sentence: Sentence
    spans: tuple[Span, ...]
    facets: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        check_spans(self.spans, len(self.sentence.words), self.sentence.id)
        if self.facets and len(self.facets) != len(self.spans):
            raise ValueError(f"sentence {self.sentence.id} has {len(self.spans)} spans but {len(self.facets)} facets")


def check_spans(spans: Sequence[Span], length: int, where: str) -> None:
    """Raise ValueError unless `spans` are sorted, apart from each other and inside `length` words."""
    end = 0
    for span in spans:
        if span.start < end:
            raise ValueError(f"sentence {where}: spans must be sorted and must not overlap, but {span} does")
        end = span.end
    if end > length:
        raise ValueError(f"sentence {where} has {length} words, but {spans[-1]} ends after them")
