"""Tags to spans, under a named policy for sequences that the scheme forbids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from harness.decode.decoded import Decoded
from harness.errors import UnknownName
from harness.schemes import Chunk, Scheme, chunks


class Policy(StrEnum):
    """What becomes of a chunk that violates its scheme.

    `strict`     it is no span; what stands beside it is untouched. On IOB2 this is seqeval's strict mode.
    `conlleval`  it is a span all the same, as in the CoNLL shared tasks' script.
    `discard`    it is no span, and neither is the chunk that it runs on from (`B-PER I-LOC` gives nothing).
    """

    STRICT = "strict"
    CONLLEVAL = "conlleval"
    DISCARD = "discard"


def policy_of(name: str) -> Policy:
    """The policy of that name. Raises UnknownName."""
    try:
        return Policy(name)
    except ValueError:
        raise UnknownName("repair policy", name, [p.value for p in Policy]) from None


def decode_tags(tags: Sequence[str], scheme: Scheme = Scheme.IOB2, policy: Policy = Policy.STRICT) -> Decoded:
    """Read tags as spans. The report counts violations by kind, whatever the policy does with them.

    Raises ValueError on a tag that is none of the scheme's.
    """
    found = chunks(tags, scheme)
    report = Counter(chunk.violation for chunk in found if chunk.violation)
    if not report or policy is Policy.CONLLEVAL:
        kept = found
    elif policy is Policy.STRICT:
        kept = [chunk for chunk in found if not chunk.violation]
    else:
        kept = _discard(found)
    return Decoded(tuple(chunk.span for chunk in kept), dict(report))


def gold_changes(violations: Mapping[str, int], policy: Policy) -> dict[str, int]:
    """What a policy did to gold with these violations, by name: what conlleval repairs, the others drop."""
    done = "repaired" if policy is Policy.CONLLEVAL else "dropped"
    return {f"{done}-{name}": count for name, count in sorted(violations.items())}


def _discard(found: Sequence[Chunk]) -> list[Chunk]:
    kept: list[Chunk] = []
    previous_end = -1
    for chunk in found:
        if not chunk.violation:
            kept.append(chunk)
        elif not chunk.opened and kept and kept[-1].span.end == chunk.span.start == previous_end:
            kept.pop()
        previous_end = chunk.span.end
    return kept
