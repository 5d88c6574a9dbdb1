"""BRAT folders: a `.txt` file and an `.ann` file of the same name for each document."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

from harness.tasks.words import Mention, add_text, sentence_of
from pydantic.dataclasses import dataclass

from harness.errors import DataError
from harness.files import lines_of, read_text
from harness.reading import Reading, Request
from harness.settings import CLOSED


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    encoding: str = "utf-8"


_TEXT_BOUND = re.compile(r"T\S*\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t")


def read(request: Request) -> Reading:
    """Read every `.txt` among the files with its `.ann`; each line of text with a word in it is a sentence.

    Only text-bound annotations (T lines) are mentions. One in several pieces covers all from its first character to
    its last (`discontinuous`), one that runs over a line break stays on the line where it begins (`across-lines`);
    both are counted.
    """
    options = request.options_as(Options)
    reading = Reading()
    for path, name in request.names().items():
        _read_document(path, name, options, request, reading)
    return reading


def _read_document(path: Path, name: str, options: Options, request: Request, reading: Reading) -> None:
    text = read_text(path, options.encoding)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    ann = path.with_suffix(".ann")
    if not ann.exists():
        raise DataError(
            ann, None, f"is missing; every {path.suffix} file needs its .ann (an empty one if it has no mentions)."
        )
    mentions: dict[int, list[Mention]] = defaultdict(list)
    for mention in _mentions(ann, options, len(text), reading):
        number = bisect_right(starts, mention.start) - 1
        start, end = starts[number], starts[number + 1] - 1
        if mention.start == end or not text[start:end].strip():
            reading.report["white-space-only"] += 1
            continue
        if mention.end > end:
            reading.report["across-lines"] += 1
        inside = Mention(mention.start - start, min(mention.end, end) - start, mention.label, mention.line)
        request.check_label(mention.label, ann, mention.line)
        mentions[number].append(inside)
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            sentence = sentence_of(line, f"{name}-{number + 1}", name)
            add_text(reading, request, sentence, mentions[number], ann, number + 1)


def _mentions(ann: Path, options: Options, length: int, reading: Reading) -> list[Mention]:
    found: list[Mention] = []
    if not ann.read_bytes().strip():
        return found
    for number, line in lines_of(read_text(ann, options.encoding)):
        if not line.startswith("T"):
            continue
        match = _TEXT_BOUND.match(line)
        if match is None:
            what = f"is no text-bound annotation: {line[:60]!r}."
            raise DataError(ann, number, what, "Expected: T1<TAB>Label start end<TAB>text.")
        offsets = [int(offset) for offset in re.split("[ ;]", match[2])]
        if len(offsets) > 2:
            reading.report["discontinuous"] += 1
        start, end = min(offsets), max(offsets)
        if not start < end <= length:
            raise DataError(
                ann, number, f"offsets [{start}, {end}) are not inside the text, which has {length} characters."
            )
        found.append(Mention(start, end, match[1], number))
    return found
