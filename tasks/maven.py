"""MAVEN: JSON lines, one document a line, with its sentences and the event mentions that point into them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from harness.tasks.fields import field, words
from pydantic.dataclasses import dataclass

from harness.errors import DataError
from harness.files import json_items
from harness.reading import Reading, Request
from harness.settings import CLOSED
from harness.spans import Sentence, Span


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    encoding: str = "utf-8"


def read(request: Request) -> Reading:
    """Read MAVEN documents: `content[].tokens` and `events[].mention[].{sent_id, offset}`, ends exclusive."""
    options = request.options_as(Options)
    reading = Reading()
    for path in request.paths:
        for line, document in json_items(path, options.encoding):
            _add(reading, request, document, path, line)
    return reading


def _add(reading: Reading, request: Request, document: Any, path: Path, line: int) -> None:
    name = field(document, "id", str, path, line)
    content = field(document, "content", list, path, line)
    spans: dict[int, list[Span]] = defaultdict(list)
    for event in field(document, "events", list, path, line):
        label = request.check_label(field(event, "type", str, path, line), path, line)
        for mention in field(event, "mention", list, path, line):
            sentence, span = _mention(mention, label, path, line)
            if not 0 <= sentence < len(content):
                raise DataError(path, line, f"sent_id {sentence} is not among the document's {len(content)} sentences.")
            spans[sentence].append(span)
    for number, sentence in enumerate(content):
        tokens = words(sentence, "tokens", path, line)
        reading.add(Sentence(f"{name}-{number}", tokens, name), spans[number], path, line)


def _mention(mention: Any, label: str, path: Path, line: int) -> tuple[int, Span]:
    sentence = field(mention, "sent_id", int, path, line)
    offset = field(mention, "offset", list, path, line)
    if len(offset) != 2 or not all(isinstance(o, int) for o in offset) or not 0 <= offset[0] < offset[1]:
        raise DataError(path, line, f"the offset must be two rising word numbers, not {offset!r:.60}.")
    return sentence, Span(offset[0], offset[1], label)
