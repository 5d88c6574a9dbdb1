"""Raw text to words by spaCy's English rules, and character spans onto those words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.align import words_covered
from harness.errors import DataError
from harness.reading import Reading, Request
from harness.spans import Sentence, Span

if TYPE_CHECKING:
    from spacy.language import Language


@cache
def _english() -> Language:
    import spacy

    return spacy.blank("en")


def sentence_of(text: str, id: str, document: str | None = None) -> Sentence:
    """Tokenize `text`. White space is no word. Raises ValueError where nothing else is there."""
    tokens = [token for token in _english().make_doc(text) if not token.is_space]
    offsets = tuple((token.idx, token.idx + len(token)) for token in tokens)
    return Sentence(id, tuple(token.text for token in tokens), document, text, offsets)


@dataclass(frozen=True, slots=True)
class Mention:
    """A labeled run of characters, end exclusive, and the line of the file that it comes from."""

    start: int
    end: int
    label: str
    line: int


def add_text(
    reading: Reading, request: Request, sentence: Sentence, mentions: Sequence[Mention], path: Path, line: int
) -> None:
    """Place mentions on the words of a tokenized sentence.

    One that does not end on word boundaries is snapped outward (`align=snap`) or dropped (`align=drop`), and counted.
    Raises DataError for offsets outside the text.
    """
    assert sentence.text is not None and sentence.offsets is not None
    spans: list[Span] = []
    for mention in mentions:
        if not 0 <= mention.start < mention.end <= len(sentence.text):
            size = len(sentence.text)
            what = f"offsets [{mention.start}, {mention.end}) are not inside the text, which has {size} characters."
            raise DataError(path, mention.line, what)
        request.check_label(mention.label, path, mention.line)
        covered = words_covered(mention.start, mention.end, sentence.offsets)
        if covered is None:
            reading.report["white-space-only"] += 1
            continue
        start, end, exact = covered
        if exact or request.align == "snap":
            spans.append(Span(start, end, mention.label))
        if not exact:
            reading.report["snapped" if request.align == "snap" else "dropped-off-boundary"] += 1
    reading.add(sentence, spans, path, line)
