"""Column files as they stand on disk: words and tags by sentence, with the line of each word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from harness.errors import DataError
from harness.files import lines_of, read_text
from harness.settings import CLOSED

DOCUMENT_START = "-DOCSTART-"
Separator = Literal["white-space", "tab", "space"]
_SEPARATORS = {"white-space": re.compile("[ \t]+"), "tab": re.compile("\t"), "space": re.compile(" ")}


@pydantic_dataclass(frozen=True, slots=True, config=CLOSED)
class Layout:
    """Columns count from 0; negative ones from the right. `columns` is their number; by default that of line one."""

    word: int = 0
    tag: int = -1
    columns: int | None = None
    separator: Separator = "white-space"
    comment: str = ""
    document_comment: str = "# newdoc id"
    encoding: str = "utf-8"


@dataclass(slots=True)
class ColumnSentence:
    """Words and tags of a sentence as the file has them, and the file's line of each."""

    words: list[str]
    tags: list[str]
    lines: list[int]
    document: str | None


def column_sentences(path: Path, layout: Layout, name: str = "") -> Iterator[ColumnSentence]:
    """The sentences of a column file: a word a line, empty lines between them, `-DOCSTART-` lines between documents,
    which are called by `name`, the file's stem by default, and their number.

    Raises DataError naming file and line for a wrong number of columns, an empty word, bad encoding, an empty file.
    """
    width = layout.columns
    document: str | None = None
    documents = 0
    at = ColumnSentence([], [], [], None)
    for number, line in lines_of(read_text(path, layout.encoding)):
        starts_document = line.startswith(DOCUMENT_START)
        is_comment = bool(layout.comment) and line.startswith(layout.comment)
        if is_comment or starts_document or not line.strip():
            if at.words and not is_comment:
                yield at
                at = ColumnSentence([], [], [], None)
            if starts_document:
                documents += 1
                document = f"{name or path.stem}-{documents}"
            elif is_comment and layout.document_comment and line.startswith(layout.document_comment):
                document = line.removeprefix(layout.document_comment).lstrip(" =").strip()
            continue
        fields = _SEPARATORS[layout.separator].split(line.strip(" ") if layout.separator == "white-space" else line)
        width = width or len(fields)
        word, tag = _word_and_tag(path, number, line, fields, layout, width)
        at.words.append(word)
        at.tags.append(tag)
        at.lines.append(number)
        at.document = document
    if at.words:
        yield at


def _word_and_tag(path: Path, number: int, line: str, fields: list[str], layout: Layout, width: int) -> tuple[str, str]:
    if len(fields) != width:
        fix = (
            f"Columns end at {layout.separator}: --separator and --comment of harness score, --set separator=tab and "
            "comment=TEXT for a file of predictions, --set options.separator=tab and options.comment=TEXT for a task "
            "say otherwise."
        )
        what = f"{len(fields)} column{'s' * (len(fields) != 1)} where {width} were expected: {line[:60]!r}."
        raise DataError(path, number, what, fix)
    try:
        word, tag = fields[layout.word], fields[layout.tag]
    except IndexError:
        wanted = next(one for one in (layout.word, layout.tag) if not -width <= one < width)
        raise DataError(
            path, number, f"there is no column {wanted} (they count from 0): the line has {width}."
        ) from None
    if not word.strip():
        raise DataError(path, number, "the word is empty.")
    return word, tag
