"""`harness leaderboard`: boards, figures and pages for each task in the store."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board import Entry, entries, groups
from harness.environment import rarely_collecting
from harness.errors import UnknownName, UserError
from harness.files import write_whole
from harness.pages.artist import artist
from harness.pages.bibtex import bibliography
from harness.pages.content import Content, content
from harness.pages.drawing import Figure, Map
from harness.pages.figures import figures
from harness.pages.files import as_lines, csv_text, latex_text
from harness.pages.html import IndexLine, board_page, index_page
from harness.pages.markdown import markdown
from harness.pages.runs import write_run_pages
from harness.record import Record
from harness.store import Store, by_task


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """What `harness leaderboard` was asked."""

    runs: Path
    tasks: Sequence[str]
    out: Path
    figures: bool
    run_pages: bool
    data: Path | None
    json: bool


@dataclass(frozen=True, slots=True)
class _Planned:
    """A task's boards as they will be written. `figures` are those of each section, and can be read once."""

    runs: Sequence[tuple[Path, Record]]
    boards: Mapping[str, Sequence[Entry]]
    said: Content
    lines: Mapping[str, Any]
    figures: Sequence[Iterator[Figure]]


@rarely_collecting(0)  # records stay until the end: looking through them took a third of the time to read them
def write_boards(options: BoardOptions) -> None:
    """Write the boards of each task; print their paths, or the boards as JSON."""
    folders = Store(options.runs).folders()
    with artist(len(folders)) if options.figures else nullcontext() as draw:
        _write_boards(options, folders, draw)


def _write_boards(options: BoardOptions, folders: Sequence[Path], draw: Map | None) -> None:
    if not folders:
        raise UserError(
            f"The store {options.runs} has no finished run yet; harness run fills it, --runs DIR names another."
        )
    if options.data and not options.data.is_dir():
        raise UserError(f"--data {options.data} is no folder; it must be the one that holds the files of the tasks.")
    boards: dict[str, Mapping[str, Sequence[Entry]]] = {}
    planned: dict[str, _Planned] = {}
    for task, found in by_task(folders):  # figures of one are drawn while the next one is read
        if task == "index":
            raise UserError("No task may be called index: the page of that name leads to all boards.")
        boards[task] = entries(found)
        if not options.tasks or any(fnmatch.fnmatch(task, pattern) for pattern in options.tasks):
            planned[task] = _plan(task, found, boards[task], draw)
    for pattern in options.tasks:
        if not fnmatch.filter(boards, pattern):
            raise UnknownName("task in the store", pattern, boards)
    written = {task: _write(plan, options) for task, plan in planned.items()}
    there = [task for task in boards if (options.out / f"{task}.html").exists()]
    write_whole(options.out / "index.html", index_page([_index_line(task, boards[task]) for task in there]))
    if options.json:
        print(json.dumps(written, indent=2, ensure_ascii=False))
    else:
        print("\n".join(str(options.out / f"{task}.{kind}") for task in written for kind in ("md", "html")))


def _plan(
    task: str, found: Sequence[tuple[Path, Record]], boards: Mapping[str, Sequence[Entry]], draw: Map | None
) -> _Planned:
    """Everything about a task that is to be written; its figures may still be being drawn."""
    letters = {signature: groups(board) for signature, board in boards.items()}
    said = content(task, boards, letters)
    return _Planned(found, boards, said, as_lines(boards, letters), figures(said, draw) if draw else [])


def _write(plan: _Planned, options: BoardOptions) -> Mapping[str, Any]:
    """Write everything about a task; its board's lines."""
    links = write_run_pages(plan.runs, plan.boards, options.out, options.data) if options.run_pages else {}
    drawn = [list(section) for section in plan.figures]
    _write_texts(options.out / plan.said.task, plan, drawn, links)
    for figure in (figure for section in drawn for figure in section):
        write_whole(options.out / figure.path("svg"), figure.svg)
        write_whole(options.out / figure.path("png"), figure.png)
    return plan.lines


def _write_texts(
    out: Path,
    plan: _Planned,
    drawn: Sequence[Sequence[Figure]],
    links: Mapping[str, str],
) -> None:
    said, lines = plan.said, plan.lines
    texts = {
        "md": markdown(said, drawn),
        "html": board_page(said, drawn, links),
        "csv": csv_text(lines),
        "json": json.dumps(lines, indent=1, ensure_ascii=False) + "\n",
        "tex": latex_text(said),
        "bib": bibliography([record for _, record in plan.runs]),
    }
    for kind, text in texts.items():
        write_whole(out.with_name(f"{out.name}.{kind}"), text)


def _index_line(task: str, boards: Mapping[str, Sequence[Entry]]) -> IndexLine:
    board = next(iter(boards.values()))
    ranked = [entry for entry in board if not entry.first.sees_gold] or board
    runs = sum(len(entry.records) for entry in ranked)
    return IndexLine(task, ranked[0].first.title, f"{ranked[0].f1:.2f}", len(ranked), runs)
