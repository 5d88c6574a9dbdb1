"""How a generative model writes the mentions of a sentence: one writer, one strict parser and one description a format.

No parser executes anything, and each takes time linear in the length of the response.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import ModuleType
from typing import Any

from harness.errors import UnknownName
from harness.places import Places, Reading
from harness.responses import inline, listing, objects
from harness.responses.item import Item
from harness.spans import Sentence, Span

__all__ = ["Format", "Item", "describe", "format_of", "items_of", "names_of", "parse", "schema", "write"]


class Format(StrEnum):
    """The response formats."""

    LISTING = "listing"
    JSON = "json"
    INLINE = "inline"


_MODULES: dict[Format, ModuleType] = {Format.LISTING: listing, Format.JSON: objects, Format.INLINE: inline}


def format_of(name: str) -> Format:
    """The format of that name. Raises UnknownName."""
    try:
        return Format(name)
    except ValueError:
        raise UnknownName("response format", name, [f.value for f in Format]) from None


def names_of(labels: Mapping[str, str]) -> dict[str, str]:
    """What each label is called in prompts and responses: its words, or itself where another label has the same.

    No two names are equal, whatever their case: what would be is numbered.
    """
    often = Counter(_plain(words).casefold() for words in labels.values())
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label, words in labels.items():
        wanted = _plain(words) if often[_plain(words).casefold()] == 1 else _plain(label)
        name, number = wanted or "label", 2
        while name.casefold() in taken:
            name, number = f"{wanted or 'label'} {number}", number + 1
        found[label] = name
        taken.add(name.casefold())
    return found


def write(spans: Sequence[Span], sentence: Sentence, names: Mapping[str, str], format: Format) -> str:
    """The response that says exactly these spans of a sentence. `names` are those of the labels."""
    return str(_MODULES[format].write(items_of(spans, sentence, names), sentence.shown))


def describe(format: Format, attribute: str, names: Mapping[str, str]) -> str:
    """What a prompt says of a format."""
    return str(_MODULES[format].describe(attribute, next(iter(names.values()))))


def schema(names: Mapping[str, str]) -> dict[str, Any]:
    """The JSON schema of the format json."""
    return objects.schema(list(names.values()))


def parse(response: str, format: Format) -> tuple[list[Item], int]:
    """The items of a response in order, and the number of pieces that are no item. Never raises."""
    items, broken = _MODULES[format].parse(response)
    return items, broken


def items_of(spans: Sequence[Span], sentence: Sentence, names: Mapping[str, str]) -> list[Item]:
    """Spans as items, numbered where their text also stands elsewhere, unless all its places have the same label."""
    places = Places(sentence)
    found = []
    same = Counter((sentence.surface(span), span.label) for span in spans)
    for span in spans:
        text = sentence.surface(span)
        where = places.find(text, Reading.EXACT)
        number = None if len(where) == same[text, span.label] else where.index((span.start, span.end)) + 1
        found.append(Item(text, names[span.label], number, places.start(span.start)))
    return found


def _plain(name: str) -> str:
    """A name without what a format would read as markup or as a break."""
    return " ".join(re.sub(r"[<>\\]", " ", name).split()).lstrip("/ ")
