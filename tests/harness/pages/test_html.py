"""What a page says, seen without a browser."""

from __future__ import annotations

import re

from harness.pages.content import Content, Section, Table
from harness.pages.html import board_page
from harness.pages.markdown import text


def test_somebody_s_text_is_no_markup() -> None:
    assert [text(value) for value in ("- a", "1. b", "$x$", "a - b", "-1")] == [
        r"\- a",
        r"1\. b",
        r"\$x\$",
        "a - b",
        "-1",
    ]


def test_a_label_that_is_called_as_a_column_is_sorted_as_a_label() -> None:
    tables = [
        Table("board", "", ["", "system", "F1", "group"], [], ascending=(0, 3)),
        Table("labels", "F1 by label", ["system", "group", "p", "step"], []),
    ]
    page = board_page(Content("mine", "", "", [Section("", "", [], tables, [])]), [[]], {})
    ways = re.findall(r'data-first="(\w+)"><button type="button">(\w*)', page)
    assert [name for way, name in ways if way == "ascending"] == ["place", "system", "group", "system"]
    assert [name for way, name in ways if way == "descending"] == ["F1", "group", "p", "step"]
