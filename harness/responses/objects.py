"""The format `json`: a list of objects, `[{"text": "Rome", "label": "location"}]`.

`"occurrence": 2` says that the second place of that text is meant. An object that holds the list
(`{"mentions": [...]}`) is taken as the list. What is no JSON, or cut off, costs the objects that it spoils alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from harness.responses.item import Item

_FENCE = re.compile(r"^\s*+```\w*|```\s*+$")
_STRING = r'"(?:[^"\\]|\\.)*+"'
_MEMBER = rf"{_STRING}\s*+:\s*+(?:{_STRING}|[-+.\w]++)\s*+,?\s*+"
_OPENED = re.compile(
    rf"(?P<wrapper>\{{\s*+{_STRING}\s*+:\s*+\[(?=\s*+[{{\]]))|(?P<object>\{{\s*+(?:{_MEMBER})*+\}})|\{{", re.DOTALL
)


def describe(attribute: str, name: str) -> str:
    """What a prompt says of this format; `name` is one of the labels' names."""
    shape = json.dumps([{"text": "...", "label": name}], ensure_ascii=False)
    return (
        f"Answer with a JSON list alone, as in {shape}, where the label is the {attribute}, or with [] for none. Add "
        '"occurrence": 2 for the second place of the same text.'
    )


def write(items: Sequence[Item], text: str) -> str:
    """The response that names these items of the sentence."""
    return json.dumps([_object(item) for item in items], ensure_ascii=False)


def schema(labels: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a response that uses these names of labels; any number of mentions."""
    mention = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "label": {"type": "string", "enum": list(labels)},
            "occurrence": {"type": "integer", "minimum": 1},
        },
        "required": ["text", "label"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": mention}


def parse(response: str) -> tuple[list[Item], int]:
    """The items of a response, and the number of objects that are none."""
    items: list[Item] = []
    broken = 0
    wrapped = False
    for match in _OPENED.finditer(response):
        if match["wrapper"]:
            wrapped = True
        elif item := _item(match["object"]):
            items.append(item)
        else:
            broken += 1
    if not items and not wrapped and _FENCE.sub("", response).strip() in ("", "[]", "{}"):
        return [], 0
    return items, broken or int(not items and not wrapped)


def _object(item: Item) -> dict[str, Any]:
    number = {"occurrence": item.occurrence} if item.occurrence else {}
    return {"text": item.text, "label": item.label, **number}


def _item(text: str | None) -> Item | None:
    if text is None:
        return None
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    written, label, occurrence = value.get("text"), value.get("label"), value.get("occurrence")
    if not isinstance(written, str) or not isinstance(label, str) or not written or not label:
        return None
    return Item(written, label, occurrence if isinstance(occurrence, int) and occurrence > 0 else None)
