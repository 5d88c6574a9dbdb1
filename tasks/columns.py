"""Column files: one word a line, its tag in one of the columns, an empty line between sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from harness.decode import Policy, decode_tags
from harness.errors import DataError
from harness.files import lines_of, read_text
from harness.reading import Reading, Request
from harness.schemes import OUTSIDE, Scheme, split_tag
from harness.settings import CLOSED, build
from harness.spans import Sentence, Span

DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    """Columns count from 0; negative ones from the right. `bare` tags have no prefix: each tagged word is a mention."""

    word: int = 0
    tag: int = -1
    columns: int | None = None
    separator: Literal["white-space", "tab", "space"] = "white-space"
    scheme: Scheme = Scheme.IOB2
    bare: bool = False
    comment: str = ""
    document_comment: str = "# newdoc id"
    document_per_file: bool = False
    repair: Policy = Policy.CONLLEVAL
    encoding: str = "utf-8"


def read(request: Request) -> Reading:
    """Read column files. Gold tags that their scheme forbids are repaired by `options.repair` and counted."""
    options = build(Options, request.options, "the column reader's options")
    reading = Reading()
    for path in request.paths:
        _File(path, options, request, reading).read()
    return reading


class _File:
    """One pass over one file: the words of the sentence at hand, and where it began."""

    def __init__(self, path: Path, options: Options, request: Request, reading: Reading) -> None:
        self.path, self.options, self.request, self.reading = path, options, request, reading
        self.width = options.columns
        self.document: str | None = path.stem if options.document_per_file else None
        self.documents = 0
        self.words: list[str] = []
        self.tags: list[str] = []
        self.first_line = 0

    def read(self) -> None:
        for number, line in lines_of(read_text(self.path, self.options.encoding)):
            if not line.strip():
                self.finish()
            elif self.options.comment and line.startswith(self.options.comment):
                self.comment(line)
            elif line.startswith(DOCUMENT_START):
                self.finish()
                self.documents += 1
                self.document = f"{self.path.stem}-{self.documents}"
            else:
                self.word(line, number)
        self.finish()

    def comment(self, line: str) -> None:
        marker = self.options.document_comment
        if marker and line.startswith(marker):
            self.document = line.removeprefix(marker).lstrip(" =").strip()

    def word(self, line: str, number: int) -> None:
        separator = {"white-space": None, "tab": "\t", "space": " "}[self.options.separator]
        fields = line.split(separator)
        self.width = self.width or len(fields)
        if len(fields) != self.width:
            what = f"{len(fields)} columns where {self.width} were expected: {line[:60]!r}."
            fix = f"Columns are split at {self.options.separator}; --set options.separator=tab changes that."
            raise DataError(self.path, number, what, fix)
        try:
            word, tag = fields[self.options.word], fields[self.options.tag]
        except IndexError:
            raise DataError(self.path, number, f"no column {self.options.tag}: the line has {len(fields)}.") from None
        if not word.strip():
            raise DataError(self.path, number, "the word is empty.")
        if not self.words:
            self.first_line = number
        self.words.append(word)
        self.tags.append(self.checked(tag, number))

    def checked(self, tag: str, number: int) -> str:
        if self.options.bare and tag != OUTSIDE:
            tag = f"B-{tag}"
        try:
            label = split_tag(tag, self.options.scheme)[1]
        except ValueError as error:
            raise DataError(self.path, number, f"{error}.", "--set options.scheme=NAME names another scheme.") from None
        if label:
            self.request.check_label(label, self.path, number)
        return tag

    def finish(self) -> None:
        if not self.words:
            return
        decoded = decode_tags(self.tags, self.options.scheme, self.options.repair)
        for violation, count in decoded.report.items():
            self.reading.report[f"repaired-{violation}"] += count
        id = f"{self.path.stem}-{self.first_line}"
        spans: tuple[Span, ...] = decoded.spans
        self.reading.add(Sentence(id, tuple(self.words), self.document), spans, self.path, self.first_line)
        self.words, self.tags = [], []
