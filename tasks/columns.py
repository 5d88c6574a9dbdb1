"""Column files as a task: tags in any scheme, repaired by a named policy where the scheme forbids them."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from harness.columns import ColumnSentence, Layout, column_sentences
from harness.decode import Policy, decode_tags, gold_changes
from harness.errors import DataError
from harness.reading import Reading, Request
from harness.schemes import OUTSIDE, Scheme, split_tag
from harness.settings import CLOSED
from harness.spans import Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options(Layout):
    """The layout, and the tags in it. `bare` tags have no prefix: each marks a mention of one word."""

    document_per_file: bool = False
    scheme: Scheme = Scheme.IOB2
    bare: bool = False
    repair: Policy = Policy.CONLLEVAL


def read(request: Request) -> Reading:
    """Read column files. Gold tags that their scheme forbids are repaired by `options.repair` and counted."""
    options = request.options_as(Options)
    reading = Reading()
    for path, name in request.names().items():
        for found in column_sentences(path, options, name):
            _add(reading, request, options, found, path, name)
    return reading


def _add(reading: Reading, request: Request, options: Options, found: ColumnSentence, path: Path, name: str) -> None:
    tags = [f"B-{tag}" if options.bare and tag != OUTSIDE else tag for tag in found.tags]
    for tag, line in zip(tags, found.lines, strict=True):
        try:
            label = split_tag(tag, options.scheme)[1]
        except ValueError as error:
            raise DataError(
                path, line, f"{error}.", "Name another scheme with --set options.scheme=NAME (score: --gold-scheme)."
            ) from None
        if label:
            request.check_label(label, path, line)
    decoded = decode_tags(tags, options.scheme, options.repair)
    reading.report.update(gold_changes(decoded.report, options.repair))
    document = name if options.document_per_file else found.document
    sentence = Sentence(f"{name}-{found.lines[0]}", tuple(found.words), document)
    reading.add(sentence, decoded.spans, path, found.lines[0])
