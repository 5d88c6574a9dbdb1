"""Tags and spans: one codec for IO, IOB1, IOB2, BIOES, BILOU and BMEWO.

Every scheme is spelled in the same five canonical letters: B (first word of several), I (middle), E (last), S (only
word), O (outside). A scheme is the letters it uses and how it writes them. `chunks` reads any sequence of tags, valid
or not, the way conlleval does, and says of every chunk what is wrong with it; a repair policy
(`harness.decode.tags`) then decides which chunks become spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UnknownName
from harness.spans import Span

OUTSIDE = "O"


class Scheme(StrEnum):
    IO = "IO"
    IOB1 = "IOB1"
    IOB2 = "IOB2"
    BIOES = "BIOES"
    BILOU = "BILOU"
    BMEWO = "BMEWO"


# canonical letter -> the letter the scheme writes
_WRITTEN = {
    Scheme.IO: {"I": "I"},
    Scheme.IOB1: {"B": "B", "I": "I"},
    Scheme.IOB2: {"B": "B", "I": "I"},
    Scheme.BIOES: {"B": "B", "I": "I", "E": "E", "S": "S"},
    Scheme.BILOU: {"B": "B", "I": "I", "E": "L", "S": "U"},
    Scheme.BMEWO: {"B": "B", "I": "M", "E": "E", "S": "W"},
}
_CANONICAL = {scheme: {written: letter for letter, written in table.items()} for scheme, table in _WRITTEN.items()}
_ALSO = {"BIO": "IOB2"}  # what most call it
_CLOSED = frozenset({Scheme.BIOES, Scheme.BILOU, Scheme.BMEWO})  # schemes that also mark where a chunk ends


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of tags read as one mention. `violation` names what the scheme forbids in it, or is empty."""

    span: Span
    opened: bool  # began with a tag that may begin a chunk
    violation: str = ""


def scheme_of(name: str) -> Scheme:
    """The scheme of that name (any case). Raises UnknownName."""
    try:
        return Scheme(_ALSO.get(name.upper(), name.upper()))
    except ValueError:
        raise UnknownName("tag scheme", name, [s.value for s in Scheme]) from None


def tags_of(labels: Iterable[str], scheme: Scheme = Scheme.IOB2) -> tuple[str, ...]:
    """Every tag of the scheme for these labels, O first: the classes of a tagger."""
    return (OUTSIDE, *(f"{written}-{label}" for label in labels for written in _WRITTEN[scheme].values()))


def encode(spans: Sequence[Span], length: int, scheme: Scheme = Scheme.IOB2) -> list[str]:
    """Write sorted, non-overlapping spans as `length` tags. IO cannot tell two touching mentions of a label apart."""
    tags = [OUTSIDE] * length
    previous: Span | None = None
    for span in spans:
        touching = previous is not None and previous.end == span.start and previous.label == span.label
        letters = _letters(span.end - span.start, scheme, touching)
        tags[span.start : span.end] = [f"{_WRITTEN[scheme][letter]}-{span.label}" for letter in letters]
        previous = span
    return tags


def _letters(size: int, scheme: Scheme, touching: bool) -> str:
    if scheme is Scheme.IO or (scheme is Scheme.IOB1 and not touching):
        return "I" * size
    if scheme not in _CLOSED:
        return "B" + "I" * (size - 1)
    return "S" if size == 1 else "B" + "I" * (size - 2) + "E"


def split_tag(tag: str, scheme: Scheme) -> tuple[str, str]:
    """`B-PER` -> ("B", "PER") in canonical letters, `O` -> ("O", ""). Raises ValueError on any other form."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    written, dash, label = tag.partition("-")
    letter = _CANONICAL[scheme].get(written)
    if not dash or not label or letter is None:
        letters = ", ".join(f"{letter}-LABEL" for letter in _CANONICAL[scheme])
        raise ValueError(f"{tag!r} is no tag of {scheme} ({letters} or O)")
    return letter, label


def chunks(tags: Sequence[str], scheme: Scheme) -> list[Chunk]:
    """Read a tag sequence as chunks, leniently, noting every violation. Raises ValueError on a malformed tag."""
    parsed = [split_tag(tag, scheme) for tag in tags]
    parsed.append((OUTSIDE, ""))
    found: list[Chunk] = []
    start = -1
    before, before_label = OUTSIDE, ""
    for i, (letter, label) in enumerate(parsed):
        begins = letter != OUTSIDE and (before in "OES" or letter in "BS" or label != before_label)
        if start >= 0 and (begins or letter == OUTSIDE):
            found.append(_chunk(parsed, start, i, scheme))
            start = -1
        if begins:
            start = i
        before, before_label = letter, label
    return found


def _chunk(parsed: Sequence[tuple[str, str]], start: int, end: int, scheme: Scheme) -> Chunk:
    first, label = parsed[start]
    last = parsed[end - 1][0]
    span = Span(start, end, label)
    if scheme is Scheme.IO:
        return Chunk(span, opened=True)
    if scheme is Scheme.IOB1:
        touching = start > 0 and parsed[start - 1][1] == label
        needless = first == "B" and not touching
        return Chunk(span, opened=True, violation="needless-begin" if needless else "")
    if first not in "BS":
        after_other = start > 0 and parsed[start - 1][0] in "BI"
        return Chunk(span, opened=False, violation="label-change" if after_other else "no-begin")
    if scheme in _CLOSED and last not in "ES":
        return Chunk(span, opened=True, violation="no-end")
    return Chunk(span, opened=True)
