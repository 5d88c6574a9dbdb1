"""Boards in markdown, as GitHub shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.pages.content import Content, Section, Table
from harness.pages.drawing import Figure


def markdown(content: Content, figures: Sequence[Sequence[Figure]] = ()) -> str:
    """A board's page; `figures` are those of each section, which lie beside it."""
    parts = [f"# {text(content.task)}", text(content.description), text(content.provenance)]
    for number, section in enumerate(content.sections):
        parts += _section(section, figures[number] if figures else ())
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section, figures: Sequence[Figure]) -> list[str]:
    parts = [f"## `{section.signature}`", text(section.facts)]
    for table in section.tables:
        parts += [f"### {text(table.title)}" if table.title else "", _table(table), text(table.note)]
    if figures:
        parts += ["### Figures", *(f"![{text(figure.title)}]({figure.path('svg')})" for figure in figures)]
    return parts


def _table(table: Table) -> str:
    lines = [list(map(text, table.head)), ["---"] * len(table.head)]
    lines += [[text(cell.text) for cell in row] for row in table.rows]
    lines += [[f"*{text(cell.text)}*" for cell in row] for row in table.last]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text(value: str) -> str:
    """Somebody's text as text: nothing in it is markup."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", " ".join(value.split()))
    return re.sub(r"^(\d*)([-+.)]) ", r"\1\\\2 ", escaped).replace("&", "&amp;")  # no list either
