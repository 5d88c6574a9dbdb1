"""The only place where what a system returned becomes spans. Every step names and counts what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from harness.decode.decoded import Decoded
from harness.decode.spans import decode_spans
from harness.decode.tags import Policy, decode_tags, gold_changes, policy_of
from harness.decode.text import decode_text
from harness.outputs import RawOutput, Tags, Text
from harness.spans import Sentence

__all__ = ["DECODE_VERSION", "Decoded", "Policy", "decode", "decode_tags", "gold_changes", "policy_of"]

DECODE_VERSION = 1


def decode(
    output: RawOutput, sentence: Sentence, labels: Mapping[str, str] | None, policy: Policy = Policy.STRICT
) -> Decoded:
    """Turn a raw output into spans on the sentence's words.

    `labels` maps the task's labels to their words. Spans of labels that it does not have (None: it has any) are
    dropped and counted as `unknown-label`. Words that the system declares unseen are counted; spans that touch them are
    dropped, so that they are scored as O.
    Raises ValueError when the output does not fit the sentence (a bug of the system, not of the model).
    """
    if isinstance(output, Tags):
        if len(output.labels) != len(sentence.words):
            raise ValueError(
                f"sentence {sentence.id} has {len(sentence.words)} words, but the system returned "
                f"{len(output.labels)} tags"
            )
        decoded = decode_tags(output.labels, output.scheme, policy)
    elif isinstance(output, Text):
        decoded = decode_text(output, sentence, labels)
    else:
        decoded = decode_spans(output, sentence)
    unseen = set(output.unseen)
    if not unseen <= set(range(len(sentence.words))):
        raise ValueError(f"sentence {sentence.id} has no word {max(unseen, key=abs)}, which was declared unseen")
    report = Counter(decoded.report)
    if unseen:
        report["unseen-word"] = len(unseen)
    kept = []
    for span in decoded.spans:
        if labels is not None and span.label not in labels:
            report["unknown-label"] += 1
        elif unseen.isdisjoint(range(span.start, span.end)):
            kept.append(span)
    return Decoded(tuple(kept), dict(report))
