"""JSON with spans: an array or lines of objects, each with a text or words and a list of labeled spans.

The names of the fields are options, so that most corpora (TSA-MD, ACE, OneIE's layout) need a card and no code.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness.tasks.fields import field, named, words
from harness.tasks.words import Mention, add_text, sentence_of
from pydantic.dataclasses import dataclass

from harness.errors import CardError, DataError
from harness.files import json_items
from harness.reading import Reading, Request
from harness.settings import CLOSED
from harness.spans import Sentence, Span


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    """Field names; a dot goes into an object. Give `text` for character offsets, `words` for word offsets."""

    text: str = ""
    words: str = ""
    id: str = ""
    document: str = ""
    spans: str = "spans"
    start: str = "start"
    end: str = "end"
    label: str = "label"
    end_inclusive: bool = False
    encoding: str = "utf-8"


def read(request: Request) -> Reading:
    """Read span JSON. Raises DataError for missing fields, wrong types and offsets outside the sentence."""
    options = request.options_as(Options)
    if bool(options.text) == bool(options.words):
        raise CardError("The span-JSON reader takes the name of a text field or of a words field: exactly one of them.")
    reading = Reading()
    for path, name in request.names().items():
        on_line: Counter[int] = Counter()
        for line, item in json_items(path, options.encoding):
            on_line[line] += 1
            place = f"{name}-{line}" + (f".{on_line[line]}" if on_line[line] > 1 else "")
            sentence_id = named(item, options.id, path, line) or place
            _add(reading, request, options, item, (path, line), sentence_id)
    return reading


def _add(reading: Reading, request: Request, options: Options, item: Any, at: tuple[Path, int], id: str) -> None:
    path, line = at
    document = named(item, options.document, path, line)
    mentions = [_mention(span, options, path, line) for span in field(item, options.spans, list, path, line)]
    if options.text:
        try:
            sentence = sentence_of(field(item, options.text, str, path, line), id, document)
        except ValueError as error:
            raise DataError(path, line, f"{error}.") from None
        add_text(reading, request, sentence, mentions, path, line)
        return
    sentence = Sentence(id, words(item, options.words, path, line), document)
    spans = [_span(mention, request, path) for mention in mentions]
    reading.add(sentence, spans, path, line)


def _mention(span: Any, options: Options, path: Path, line: int) -> Mention:
    if isinstance(span, list) and len(span) == 3:
        span = {options.start: span[0], options.end: span[1], options.label: span[2]}
    start = field(span, options.start, int, path, line)
    end = field(span, options.end, int, path, line) + options.end_inclusive
    if not 0 <= start < end:
        raise DataError(path, line, f"offsets [{start}, {end}) hold nothing.")
    return Mention(start, end, field(span, options.label, str, path, line), line)


def _span(mention: Mention, request: Request, path: Path) -> Span:
    return Span(mention.start, mention.end, request.check_label(mention.label, path, mention.line))
