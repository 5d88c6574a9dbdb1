"""Why a score is not 100: every span that is not matched ends in exactly one class of error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.spans import Span

ERRORS = ("label", "boundary", "both", "missed", "spurious")
RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Pair:
    """A gold span, a predicted one, or both that belong together; `kind` is a class of error, or `right`."""

    kind: str
    gold: Span | None
    predicted: Span | None


def errors(gold: Sequence[Span], predicted: Sequence[Span]) -> Counter[str]:
    """Count the errors of one sentence, each unmatched span in one of `pairs`."""
    return Counter(pair.kind for pair in pairs(gold, predicted) if pair.kind != RIGHT)


def pairs(gold: Sequence[Span], predicted: Sequence[Span]) -> list[Pair]:
    """Every span of one sentence once.

    Unmatched predicted and gold spans are paired one to one: same words and another label (`label`), then overlapping
    with the same label (`boundary`), then overlapping with another (`both`). The rest is `missed` or `spurious`.
    """
    matched = set(gold) & set(predicted)
    found = [Pair(RIGHT, span, span) for span in gold if span in matched]
    left_gold = [span for span in gold if span not in matched]
    left_predicted = [span for span in predicted if span not in matched]
    for kind in ("label", "boundary", "both"):
        for span in list(left_predicted):
            partner = next((g for g in left_gold if _error(g, span) == kind), None)
            if partner is not None:
                found.append(Pair(kind, partner, span))
                left_gold.remove(partner)
                left_predicted.remove(span)
    found += [Pair("missed", span, None) for span in left_gold]
    return found + [Pair("spurious", None, span) for span in left_predicted]


def _error(gold: Span, predicted: Span) -> str:
    if not gold.overlaps(predicted):
        return ""
    if gold.label == predicted.label:
        return "boundary"
    return "label" if (gold.start, gold.end) == (predicted.start, predicted.end) else "both"
