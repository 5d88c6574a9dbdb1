r"""The format `inline`: the sentence with its mentions marked, `<person>Ann</person> is in <location>Rome</location>`.

`\<` and `\\` are the characters themselves. Marks do not nest: one that opens inside another breaks the outer one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.responses.item import Item

_TOKEN = re.compile(r"\\[\\<>]|<(?P<close>/?)(?P<label>[^<>\\\n]+)>")
_BLANK = " \t\r\n"
_SPECIAL = re.compile(r"[\\<]")


def describe(attribute: str, name: str) -> str:
    """What a prompt says of this format; `name` is one of the labels' names."""
    return (
        f"Repeat the sentence with each of them between marks that name its {attribute}: <{name}>...</{name}>. "
        "Write \\< for < itself."
    )


def write(items: Sequence[Item], text: str) -> str:
    """The sentence's `text` with these items marked; they come in its order and say where they start."""
    parts: list[str] = []
    at = 0
    for item in items:
        start = item.start or 0
        parts += [_escape(text[at:start]), f"<{item.label}>", _escape(item.text), f"</{item.label}>"]
        at = start + len(item.text)
    return "".join([*parts, _escape(text[at:])])


def parse(response: str) -> tuple[list[Item], int]:
    """The items of a response, and the number of marks without a partner."""
    items: list[Item] = []
    broken = length = at = 0
    label: str | None = None
    begun = 0
    inside: list[str] = []

    def take(text: str) -> None:
        nonlocal length
        length += len(text)
        if label is not None:
            inside.append(text)

    for token in _TOKEN.finditer(response):
        take(response[at : token.start()])
        at = token.end()
        if token["label"] is None:
            take(token[0][1])
        elif token["close"]:
            text = "".join(inside)
            if label is not None and label == token["label"].strip() and text.strip(_BLANK):
                items.append(Item(text.strip(_BLANK), label, None, begun))
            else:
                broken += 1
            label, inside = None, []
        else:
            broken += label is not None
            label, inside, begun = token["label"].strip(), [], length
    take(response[at:])
    return items, broken + (label is not None)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
