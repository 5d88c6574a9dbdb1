"""The protocol: how raw outputs of a split become rows and scores, and the line that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.breakdown import ERRORS, errors
from harness.decode import DECODE_VERSION, Decoded, Policy, decode
from harness.intervals import bootstrap_interval
from harness.outputs import RawOutput
from harness.scoring import Counts, Row, Score, row_of, score
from harness.spans import Labeled, Span
from harness.version import VERSION

LENGTHS = ((1, 1, "1"), (2, 2, "2"), (3, 3, "3"), (4, 10**9, "4+"))


@dataclass(frozen=True, slots=True)
class Judged:
    """A split after judgement: what was decoded, a row a sentence, and what is said of them all."""

    decoded: tuple[Decoded, ...]
    rows: tuple[Row, ...]
    summary: SplitScore


@dataclass(frozen=True, slots=True)
class SplitScore:
    """The scores of a split. Shares run from 0 to 100, counts are whole numbers.

    `coverage` is the share of the gold's words that the system saw. `errors` and `decoding` count classes of errors and
    named repairs.
    """

    signature: str
    sentences: int
    words: int
    f1: float
    precision: float
    recall: float
    macro_f1: float
    interval: tuple[float, float]
    coverage: float
    counts: dict[str, int]
    labels: dict[str, dict[str, float]]
    slices: dict[str, dict[str, float]]
    errors: dict[str, int]
    decoding: dict[str, int]


def signature(split: str, gold_hash: str, policy: Policy, limit: int | None = None) -> str:
    """One line that names everything the score depends on beside the outputs."""
    parts = ["span-f1", policy.value, "IOB2", "micro", split, f"gold:{gold_hash[:8]}", f"decode:{DECODE_VERSION}"]
    return "|".join([*parts, *([f"limit:{limit}"] if limit else []), f"h{VERSION}"])


def judge(
    gold: Sequence[Labeled],
    outputs: Sequence[RawOutput],
    labels: Mapping[str, str] | None,
    line: str,
    policy: Policy = Policy.STRICT,
    seen: Collection[tuple[str, ...]] | None = None,
) -> Judged:
    """Decode and score a split. `seen` are the mentions of train, to tell seen from unseen ones; `line` the signature.

    Raises ValueError where the number of outputs is not the number of sentences.
    """
    decoded = tuple(
        decode(output, labeled.sentence, labels, policy) for labeled, output in zip(gold, outputs, strict=True)
    )
    rows = tuple(
        row_of(lab.sentence.id, lab.sentence.document, lab.spans, result.spans, slices_of(lab, seen))
        for lab, result in zip(gold, decoded, strict=True)
    )
    return Judged(decoded, rows, _summary(gold, decoded, rows, line))


def mentions_of(train: Sequence[Labeled]) -> frozenset[tuple[str, ...]]:
    """The mentions of a training set, lower-cased, each with its label."""
    return frozenset(_mention(labeled, span) for labeled in train for span in labeled.spans)


def slices_of(labeled: Labeled, seen: Collection[tuple[str, ...]] | None) -> list[tuple[str, ...]]:
    """The slices that each gold span counts in: its facets, its length in words, and whether train mentions it."""
    found = []
    for i, span in enumerate(labeled.spans):
        size = span.end - span.start
        names = [f"length:{name}" for low, high, name in LENGTHS if low <= size <= high]
        if seen is not None:
            names.append("mention:seen" if _mention(labeled, span) in seen else "mention:unseen")
        found.append((*(labeled.facets[i] if labeled.facets else ()), *names))
    return found


def _mention(labeled: Labeled, span: Span) -> tuple[str, ...]:
    return (*(word.lower() for word in labeled.sentence.words[span.start : span.end]), span.label)


def _summary(gold: Sequence[Labeled], decoded: Sequence[Decoded], rows: Sequence[Row], line: str) -> SplitScore:
    total = score(rows)
    kinds: Counter[str] = Counter(dict.fromkeys(ERRORS, 0))
    repairs: Counter[str] = Counter()
    for labeled, result in zip(gold, decoded, strict=True):
        kinds.update(errors(labeled.spans, result.spans))
        repairs.update(result.report)
    words = sum(len(labeled.sentence.words) for labeled in gold)
    return summed(total, line, (len(gold), words), bootstrap_interval([rows]), kinds, repairs)


def summed(
    total: Score,
    line: str,
    size: tuple[int, int],
    interval: tuple[float, float],
    kinds: Counter[str],
    repairs: Counter[str],
) -> SplitScore:
    """What is said of a split of `size` (sentences, words) whose rows sum to `total`. The interval runs from 0 to 1."""
    (sentences, words), (low, high) = size, interval
    return SplitScore(
        signature=line,
        sentences=sentences,
        words=words,
        f1=100 * total.micro.f1,
        precision=100 * total.micro.precision,
        recall=100 * total.micro.recall,
        macro_f1=100 * total.macro_f1,
        interval=(100 * low, 100 * high),
        coverage=100 * (1 - repairs["unseen-word"] / words),
        counts={"gold": total.micro.gold, "predicted": total.micro.predicted, "matched": total.micro.matched},
        labels=_table(total.labels),
        slices=_table(total.slices),
        errors=dict(kinds),
        decoding=dict(sorted(repairs.items())),
    )


def _table(counts: Mapping[str, Counts]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "f1": 100 * c.f1,
            "precision": 100 * c.precision,
            "recall": 100 * c.recall,
            "gold": c.gold,
            "predicted": c.predicted,
            "matched": c.matched,
        }
        for name, c in counts.items()
    }
