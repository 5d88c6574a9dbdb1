"""SemEval-2014 Task 4 XML: `<sentence><text>` with `<aspectTerm term polarity from to>`, offsets in characters."""

from __future__ import annotations

import xml.sax
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from harness.tasks.words import Mention, add_text, sentence_of
from pydantic.dataclasses import dataclass

from harness.errors import DataError
from harness.reading import Reading, Request
from harness.settings import CLOSED


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    """None: XML names its own encoding."""


def read(request: Request) -> Reading:
    """Read restaurant or laptop reviews. Raises DataError for broken XML, with its line, and for wrong offsets."""
    request.options_as(Options)
    reading = Reading()
    for path, name in request.names().items():
        handler = _Sentences(path, name, request, reading)
        try:
            xml.sax.parse(str(path), handler)
        except xml.sax.SAXParseException as error:
            raise DataError(path, error.getLineNumber(), f"broken XML: {error.getMessage()}.") from error
        except (ValueError, LookupError) as error:
            raise DataError(path, 1, f"XML in an encoding that is not read: {error}.", "Save it as UTF-8.") from error
        if not handler.seen:
            raise DataError(path, None, "holds no <sentence> element.", "Is this a SemEval-2014 Task 4 file?")
    return reading


class _Sentences(ContentHandler):
    """Collects one sentence at a time."""

    def __init__(self, path: Path, name: str, request: Request, reading: Reading) -> None:
        super().__init__()
        self.path, self.name, self.request, self.reading = path, name, request, reading
        self.seen = 0
        self.id = self.text = ""
        self.line = 0
        self.in_text = False
        self.mentions: list[Mention] = []
        self.locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self.locator = locator

    def here(self) -> int:
        return (self.locator.getLineNumber() if self.locator else None) or 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        if name == "sentence":
            self.seen += 1
            self.id = attrs.get("id") or f"{self.name}-{self.seen}"
            self.text, self.mentions, self.line = "", [], self.here()
        elif name == "text":
            self.in_text = True
        elif name == "Opinions":
            what = "<Opinions> are of SemEval-2015 or 2016, whose files are in another format than those of 2014."
            raise DataError(self.path, self.here(), what, "Write them as <aspectTerm> or as span JSON.")
        elif name == "aspectTerm":
            self.mentions.append(self.mention(attrs))

    def characters(self, content: str) -> None:
        if self.in_text:
            self.text += content

    def endElement(self, name: str) -> None:  # noqa: N802
        if name == "text":
            self.in_text = False
        elif name == "sentence":
            try:
                sentence = sentence_of(self.text, self.id)
            except ValueError as error:
                raise DataError(self.path, self.line, f"{error}.") from None
            add_text(self.reading, self.request, sentence, self.mentions, self.path, self.line)

    def mention(self, attrs: AttributesImpl) -> Mention:
        line = self.here()
        try:
            return Mention(int(attrs["from"]), int(attrs["to"]), attrs["polarity"], line)
        except KeyError as error:
            raise DataError(self.path, line, f"<aspectTerm> has no attribute {error.args[0]!r}.") from None
        except ValueError:
            what = f"<aspectTerm> needs whole numbers, not from={attrs['from']!r} to={attrs['to']!r}."
            raise DataError(self.path, line, what) from None
