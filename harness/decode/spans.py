"""Spans as a system returned them, placed on the words of the sentence."""

from __future__ import annotations

from collections import Counter

from harness.align import without_overlaps, words_covered
from harness.decode.decoded import Decoded
from harness.outputs import Spans
from harness.spans import Sentence, Span


def decode_spans(output: Spans, sentence: Sentence) -> Decoded:
    """Place word or character spans: off-boundary ones are snapped outward, overlaps resolved, all of it counted.

    Of overlapping spans the higher score stays, then the longer, then the first. Raises ValueError for character
    spans on a sentence without text.
    """
    report: Counter[str] = Counter()
    placed: list[Span] = []
    scores: list[float] = []
    for i, span in enumerate(output.spans):
        word_span = _in_words(span, sentence, report) if output.unit == "characters" else span
        if word_span is None or word_span.end > len(sentence.words):
            report["outside-sentence"] += 1
            continue
        placed.append(word_span)
        scores.append(output.scores[i] if output.scores else 0.0)
    kept, dropped = without_overlaps(placed, scores.__getitem__)
    if dropped:
        report["overlapping"] = len(dropped)
    return Decoded(tuple(placed[i] for i in kept), dict(report))


def _in_words(span: Span, sentence: Sentence, report: Counter[str]) -> Span | None:
    if sentence.offsets is None or sentence.text is None:
        raise ValueError(f"sentence {sentence.id} has no text for character spans")
    covered = words_covered(span.start, span.end, sentence.offsets)
    if covered is None or span.end > len(sentence.text):
        return None
    start, end, exact = covered
    if not exact:
        report["snapped"] += 1
    return Span(start, end, span.label)
