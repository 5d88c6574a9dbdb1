"""Scores as sums of rows: one row a sentence, so that every interval and every test reuses the same numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.spans import Span


@dataclass(frozen=True, slots=True)
class Counts:
    """How many spans are in the gold, were predicted, and are in both."""

    gold: int = 0
    predicted: int = 0
    matched: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.gold + other.gold, self.predicted + other.predicted, self.matched + other.matched)

    @property
    def precision(self) -> float:
        return self.matched / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.matched / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1, in the order of operations that seqeval uses."""
        p, r = self.precision, self.recall
        return 2.0 * p * r / (p + r) if p + r else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one sentence adds to every score.

    `labels` counts by label. `slices` counts by anything else a mention can be sorted by (`cue:left`, `mention:seen`).
    """

    sentence: str
    document: str | None
    labels: Mapping[str, Counts]
    slices: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        return sum(self.labels.values(), Counts())


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over rows: `micro` is the headline; `macro_f1` averages over the labels in gold or predictions."""

    micro: Counts
    labels: Mapping[str, Counts]
    slices: Mapping[str, Counts]

    @property
    def macro_f1(self) -> float:
        return sum(c.f1 for c in self.labels.values()) / len(self.labels) if self.labels else 0.0


def row_of(
    sentence: str,
    document: str | None,
    gold: Sequence[Span],
    predicted: Sequence[Span],
    slices: Sequence[Sequence[str]] = (),
) -> Row:
    """Count one sentence. `slices` names, for each gold span, the slices that it belongs to.

    In a slice, a predicted span counts where it overlaps a gold span of that slice (once, however many it overlaps);
    spans that overlap no gold belong to no slice.
    """
    golds = set(gold)
    by_label: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for span in gold:
        by_label[span.label][0] += 1
    for span in predicted:
        counts = by_label[span.label]
        counts[1] += 1
        counts[2] += span in golds
    labels = {label: Counts(*counts) for label, counts in sorted(by_label.items())}
    return Row(sentence, document, labels, _slice_counts(gold, predicted, slices))


def _slice_counts(
    gold: Sequence[Span], predicted: Sequence[Span], slices: Sequence[Sequence[str]]
) -> dict[str, Counts]:
    members: dict[str, list[Span]] = defaultdict(list)
    for span, names in zip(gold, slices, strict=bool(slices)):
        for name in names:
            members[name].append(span)
    return {
        name: Counts(
            gold=len(spans),
            predicted=sum(any(p.overlaps(g) for g in spans) for p in predicted),
            matched=sum(p in spans for p in predicted),
        )
        for name, spans in sorted(members.items())
    }


def score(rows: Iterable[Row]) -> Score:
    """Sum rows to a score."""
    labels: dict[str, Counts] = {}
    slices: dict[str, Counts] = {}
    for row in rows:
        for name, counts in row.labels.items():
            labels[name] = labels.get(name, Counts()) + counts
        for name, counts in row.slices.items():
            slices[name] = slices.get(name, Counts()) + counts
    return Score(sum(labels.values(), Counts()), dict(sorted(labels.items())), dict(sorted(slices.items())))
