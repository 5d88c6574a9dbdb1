"""Tables for a terminal: plain columns, as wide as their content."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.board import Entry  # most commands print tables of other things, and start faster without it


def print_table(board: Sequence[Entry]) -> None:
    """The lines of a board in short."""
    sides = [name for name in ("cue:left", "cue:right") if name in board[0].first.scores["test"].slices]
    head = ["system", "F1", "±", "95% interval", *(name.replace("cue:", "F1 ") for name in sides), "P", "R", "seeds"]
    rows = []
    for entry in board:
        deviation = entry.seed_deviation
        cells = [entry.cell("slices", name) for name in sides]
        rows.append(
            [
                entry.first.title,
                f"{entry.f1:.2f}",
                "" if deviation is None else f"{deviation:.2f}",
                f"{entry.interval[0]:.1f}–{entry.interval[1]:.1f}",
                *("" if cell is None else f"{cell:.1f}" for cell in cells),
                f"{entry.mean('precision'):.1f}",
                f"{entry.mean('recall'):.1f}",
                str(len(entry.records)),
            ]
        )
    print(columns([head, *rows]))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lined-up columns; control characters in cells are shown as spaces."""
    cells = [["".join(" " if unicodedata.category(c) == "Cc" else c for c in cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def counts_text(counts: Mapping[str, int]) -> str:
    """Named counts on one line."""
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
