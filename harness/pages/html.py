"""Boards as HTML: each page a file of its own, which asks nobody for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from harness.pages.content import Content
from harness.pages.drawing import Figure


@dataclass(frozen=True, slots=True)
class IndexLine:
    """What the index says of a task's board, whose file has the task's name."""

    task: str
    best: str
    f1: str
    systems: int
    runs: int


def board_page(content: Content, figures: Sequence[Sequence[Figure]], links: Mapping[str, str]) -> str:
    """The page of a task; `links` leads from a system's name to the page of its run, where there is one."""
    drawn = figures or [[] for _ in content.sections]
    title = f"{content.task}: leaderboard"
    values = {"title": title, "content": content, "figures": drawn, "links": links}
    return render("board.html", values, "board.js")


def index_page(lines: Sequence[IndexLine]) -> str:
    """The page that leads to all boards."""
    return render("index.html", {"title": "Leaderboards", "lines": lines})


def render(template: str, values: Mapping[str, Any], script: str = "") -> str:
    """A template filled in: everything is escaped but our own style and script, and figures that we drew."""
    from markupsafe import Markup

    own = {"style": Markup(_text("style.css")), "script": Markup(_text(script)) if script else ""}
    return str(_environment().get_template(template).render(**own, **values))


def _text(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
