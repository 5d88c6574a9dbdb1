"""The figures of a board: what they show, in plain numbers. How they are drawn stands in `harness.pages.drawing`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from harness.board import Entry
from harness.mask_grids import MaskGrid
from harness.pages import drawing
from harness.pages.content import Content, Section
from harness.pages.drawing import Figure, Map, Plot, drawn

_LINES = 8  # systems of a figure with a line each
_STRIP = (20, 12)  # systems and labels of the heat strip


def figures(content: Content, apply: Map = map) -> list[Iterator[Figure]]:
    """The figures of each section of a board that has something to draw, by `apply`; each section's are read once."""
    found = []
    for number, section in enumerate(content.sections, 1):
        name = content.task if number == 1 else f"{content.task}~{number}"
        plots = [Plot(f"{name}-{kind}", f"{content.task}: {shows}", draw) for kind, shows, draw in _wanted(section)]
        found.append(apply(drawn, plots))
    return found


def _wanted(section: Section) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """What a section has to show: the kind of figure, what it shows, and how it is drawn."""
    for number, grid in enumerate(section.grids):
        kind = "masks" if number == 0 else f"masks-{number + 1}"
        yield kind, f"F1 of {grid.name} by mask configuration", partial(drawing.masks, grid.gray(), _by_split(grid))
        gains = [(gain.mean, gain.deviation) for gain in map(grid.gain, range(grid.groups))]
        yield f"{kind}-gain", f"gain in F1 by group of {grid.name}", partial(drawing.gains, gains)
    board = section.board
    if sum(_seconds(entry) > 0 for entry in board) > 1:
        points = [(max(_seconds(entry), 1e-2), entry.f1, entry.first.title) for entry in board]
        yield "cost", "F1 against cost", partial(drawing.cost, points)
    test = board[0].first.scores["test"]
    cues = [name for name in test.slices if name.startswith("cue-distance:")]
    if cues:
        yield "cues", "F1 by side and distance of the cue", _of_cues(board, cues)
    if len(test.labels) > 1 and len(board) > 1:
        yield "labels", "F1 by label", _of_labels(board)


def _by_split(grid: MaskGrid) -> dict[str, list[list[float]]]:
    """F1 of every configuration in Gray-code order, on both splits, one a seed."""
    entries = [grid.entries[bits] for bits in grid.gray()]
    return {"test": [one.f1s for one in entries], "validation": [one.validation_f1s for one in entries]}


def _seconds(entry: Entry) -> float:
    """Seconds to train and to answer validation and test."""
    return (entry.cost("fit_seconds") or 0.0) + (entry.cost("predict_seconds") or 0.0)


def _of_cues(board: Sequence[Entry], cues: Sequence[str]) -> Callable[[], Any]:
    """What draws F1 from cues far to the left, over the mention, to cues far to the right."""
    sides = [name.removeprefix("cue-distance:").split() for name in cues]
    ordered = sorted(sides, key=lambda side: (1 if side[0] == "right" else -1) * int(side[1].split("-")[0]))
    lines = [
        (entry.first.title, [entry.cell("slices", f"cue-distance:{' '.join(side)}") for side in ordered])
        for entry in _spread_out(board)
    ]
    return partial(drawing.cues, ordered, lines)


def _spread_out(board: Sequence[Entry]) -> Sequence[Entry]:
    """As many systems as a figure shows, from the first to the last."""
    if len(board) <= _LINES:
        return board
    return [board[round(i * (len(board) - 1) / (_LINES - 1))] for i in range(_LINES)]


def _of_labels(board: Sequence[Entry]) -> Callable[[], Any]:
    """What draws F1 of the first systems and the most frequent labels."""
    systems, most = _STRIP
    gold = board[0].first.scores["test"].labels
    names = sorted(gold, key=lambda name: -gold[name]["gold"])[:most]
    values = [[entry.cell("labels", name) or 0.0 for name in names] for entry in board[:systems]]
    return partial(drawing.labels, names, [entry.first.title for entry in board[:systems]], values)
