"""Why a score is not 100: every span that is not matched ends in exactly one class of error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.spans import Span

ERRORS = ("label", "boundary", "both", "missed", "spurious")


def errors(gold: Sequence[Span], predicted: Sequence[Span]) -> Counter[str]:
    """Count the errors of one sentence.

    Unmatched predicted and gold spans are paired one to one: same words and another label (`label`), then overlapping
    with the same label (`boundary`), then overlapping with another (`both`). The rest is `missed` or `spurious`.
    """
    matched = set(gold) & set(predicted)
    left_gold = [span for span in gold if span not in matched]
    left_predicted = [span for span in predicted if span not in matched]
    found: Counter[str] = Counter()
    for name in ("label", "boundary", "both"):
        for span in list(left_predicted):
            partner = next((g for g in left_gold if _error(g, span) == name), None)
            if partner is not None:
                found[name] += 1
                left_gold.remove(partner)
                left_predicted.remove(span)
    found["missed"] += len(left_gold)
    found["spurious"] += len(left_predicted)
    return found


def _error(gold: Span, predicted: Span) -> str:
    if not gold.overlaps(predicted):
        return ""
    if gold.label == predicted.label:
        return "boundary"
    return "label" if (gold.start, gold.end) == (predicted.start, predicted.end) else "both"
