"""One set of outputs under every scorer in use: how much of a gap between two papers is protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.decode import Policy, decode
from harness.decode.text import named_texts
from harness.outputs import RawOutput, Text
from harness.scoring import Counts
from harness.spans import Labeled, Span

STRING_BAG = "string-bag"
WHAT = {
    Policy.STRICT.value: "exact spans, invalid tag sequences are no spans: seqeval's strict mode, and ours",
    Policy.CONLLEVAL.value: "exact spans, invalid tag sequences are spans all the same",
    Policy.DISCARD.value: "exact spans, invalid tag sequences take their neighbours with them",
    STRING_BAG: "texts and labels of a sentence as a bag: where they stand does not count",
}


@dataclass(frozen=True, slots=True)
class PanelLine:
    """What one scorer says, in percent."""

    scorer: str
    f1: float
    precision: float
    recall: float


def panel(gold: Sequence[Labeled], outputs: Sequence[RawOutput], labels: Mapping[str, str] | None) -> list[PanelLine]:
    """Micro F1, precision and recall by every scorer. Policies differ on tags alone.

    Raises ValueError where the number of outputs is not the number of sentences.
    """
    found = {}
    for policy in Policy:
        spans = [decode(output, one.sentence, labels, policy).spans for one, output in zip(gold, outputs, strict=True)]
        found[policy.value] = sum(map(_spans, gold, spans), Counts())
        if policy is Policy.STRICT:
            bags = [_bag(*both, labels) for both in zip(outputs, gold, spans, strict=True)]
            found[STRING_BAG] = sum(map(_strings, gold, bags), Counts())
    return [_line(name, found[name]) for name in WHAT]


def _line(scorer: str, counts: Counts) -> PanelLine:
    return PanelLine(scorer, 100 * counts.f1, 100 * counts.precision, 100 * counts.recall)


def _spans(gold: Labeled, spans: Sequence[Span]) -> Counts:
    return Counts(len(gold.spans), len(spans), len(set(gold.spans) & set(spans)))


def _bag(
    output: RawOutput, one: Labeled, spans: Sequence[Span], labels: Mapping[str, str] | None
) -> list[tuple[str, str]]:
    """What was said of a sentence as texts: every item that a model wrote, or the texts of spans."""
    if isinstance(output, Text):
        return named_texts(output, labels)
    return [(one.sentence.surface(span), span.label) for span in spans]


def _strings(gold: Labeled, said: Sequence[tuple[str, str]]) -> Counts:
    wanted = Counter((gold.sentence.surface(span), span.label) for span in gold.spans)
    given = Counter(said)
    return Counts(wanted.total(), given.total(), (wanted & given).total())
