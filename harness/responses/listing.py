r"""The format `listing`: `text:label;text:label`, as in the paper, with escapes so that any text survives.

A backslash takes the meaning from the character behind it (`\;` `\:` `\#` `\\`), `\n` is a line break. `text#2:label`
is the second place of that text in the sentence; without a number it is the first that no other item takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.responses.item import Item

_ESCAPES = {"\\": "\\\\", ";": "\\;", ":": "\\:", "#": "\\#", "\n": "\\n", "\r": "\\r"}
_MEANT = {"n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PIECE = re.compile(r"(?:[^\\;\n]|\\.|\\$)+", re.DOTALL)
_COLON = re.compile(r"\\.|:", re.DOTALL)
_OCCURRENCE = re.compile(r"#([1-9][0-9]{0,5})\Z")
_BLANK = " \t\r\n"


def describe(attribute: str, name: str) -> str:
    """What a prompt says of this format; `name` is one of the labels' names."""
    return (
        f"Write them in one line as text:{attribute}, joined by ';', with text#2 for the second place of a text. "
        "Write nothing where there are none."
    )


def write(items: Sequence[Item], text: str) -> str:
    """The response that names these items of the sentence."""
    return ";".join(_item(item) for item in items)


def parse(response: str) -> tuple[list[Item], int]:
    """The items of a response, and the number of pieces that are none."""
    items: list[Item] = []
    broken = 0
    for match in _PIECE.finditer(response):
        piece = match[0].strip(_BLANK)
        if not piece:
            continue
        item = _parse_item(piece)
        if item is None:
            broken += 1
        else:
            items.append(item)
    return items, broken


def _item(item: Item) -> str:
    number = f"#{item.occurrence}" if item.occurrence else ""
    return f"{_escape(item.text)}{number}:{_escape(item.label)}"


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), text)


def _parse_item(piece: str) -> Item | None:
    """The last colon that is not escaped stands before the label."""
    colons = [match.start() for match in _COLON.finditer(piece) if match[0] == ":"]
    if not colons:
        return None
    text, label = piece[: colons[-1]].strip(_BLANK), _unescape(piece[colons[-1] + 1 :]).strip(_BLANK)
    literal = text
    text, occurrence = _numbered(text)
    text = _unescape(text) or literal
    if text == literal:
        return Item(text, label) if text and label else None
    return Item(text, label, occurrence, literal=literal) if label else None


def _numbered(text: str) -> tuple[str, int | None]:
    match = _OCCURRENCE.search(text)
    if match is None:
        return text, None
    before = text[: match.start()]
    escaped = (len(before) - len(before.rstrip("\\"))) % 2
    return (text, None) if escaped else (before, int(match[1]))
