"""The figures of a board, as SVG and PNG."""

from __future__ import annotations

import io
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.board import Entry
from harness.mask_grids import MaskGrid
from harness.pages.content import Content, Section

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#888888"  # told apart by all eyes
_LINES = 8  # systems of a figure with a line each
_STRIP = (20, 12)  # systems and labels of the heat strip


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure. `title` says in words what it shows."""

    name: str
    title: str
    svg: str
    png: bytes

    def path(self, kind: str) -> str:
        """Its file, beside the board."""
        return f"figures/{self.name}.{kind}"


def figures(content: Content) -> list[list[Figure]]:
    """The figures of each section of a board that has something to draw."""
    found = []
    for number, section in enumerate(content.sections, 1):
        name = content.task if number == 1 else f"{content.task}-{number}"
        found.append([_drawn(f"{name}-{kind}", title, draw) for kind, title, draw in _wanted(content.task, section)])
    return found


def _wanted(task: str, section: Section) -> Iterator[tuple[str, str, Any]]:
    for number, grid in enumerate(section.grids):
        kind = "masks" if number == 0 else f"masks-{number + 1}"
        yield kind, f"{task}: F1 of {grid.name} by mask configuration", lambda grid=grid: _masks(grid)
        yield f"{kind}-gain", f"{task}: gain in F1 by group of {grid.name}", lambda grid=grid: _gains(grid)
    board = section.board
    if sum(_seconds(entry) > 0 for entry in board) > 1:
        yield "cost", f"{task}: F1 against cost", lambda: _cost(board)
    test = board[0].first.scores["test"]
    cues = [name for name in test.slices if name.startswith("cue-distance:")]
    if cues:
        yield "cues", f"{task}: F1 by side and distance of the cue", lambda: _cues(board, cues)
    if len(test.labels) > 1 and len(board) > 1:
        yield "labels", f"{task}: F1 by label", lambda: _labels(board)


def _masks(grid: MaskGrid) -> Any:
    """F1 of every configuration in Gray-code order, with a band of one standard deviation over seeds."""
    figure, axes = _axes(6.4, 3.2)
    order = grid.gray()
    places = range(len(order))
    entries = [grid.entries[bits] for bits in order]
    for label, colour, marker, scores in (
        ("test", _BLUE, "o", [entry.f1s for entry in entries]),
        ("validation", _ORANGE, "s", [entry.validation_f1s for entry in entries]),
    ):
        if all(scores):
            means = [statistics.fmean(one) for one in scores]
            around = [statistics.stdev(one) if len(one) > 1 else 0.0 for one in scores]
            axes.plot(places, means, color=colour, marker=marker, markersize=4, label=label)
            low = [mean - deviation for mean, deviation in zip(means, around, strict=True)]
            high = [mean + deviation for mean, deviation in zip(means, around, strict=True)]
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_xticks(places, order, rotation=60, family="monospace", fontsize=8)
    axes.set_xlabel("unmasked groups, the first nearest the input")
    axes.set_ylabel("micro F1")
    axes.legend(frameon=False)
    return figure


def _gains(grid: MaskGrid) -> Any:
    """The mean gain of unmasking each group, and its standard deviation over pairs of configurations."""
    figure, axes = _axes(4.2, 2.8)
    gains = [grid.gain(group) for group in range(grid.groups)]
    names = [f"group {group + 1}" for group in range(grid.groups)]
    axes.bar(names, [gain.mean for gain in gains], color=_BLUE, width=0.6)
    axes.errorbar(
        names, [gain.mean for gain in gains], [gain.deviation for gain in gains], fmt="none", ecolor="black", capsize=4
    )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("gain in micro F1")
    axes.set_xlabel("unmasked, from the input to the output")
    return figure


def _seconds(entry: Entry) -> float:
    """Seconds to train and to answer validation and test."""
    return (entry.cost("fit_seconds") or 0.0) + (entry.cost("predict_seconds") or 0.0)


def _cost(board: Sequence[Entry]) -> Any:
    """F1 over seconds; the line joins the systems that none beats in both."""
    from matplotlib.ticker import NullFormatter

    figure, axes = _axes(6.4, 3.6)
    points = [(max(_seconds(entry), 1e-2), entry.f1, entry.first.title) for entry in board]
    points.sort(key=lambda point: (point[0], -point[1]))  # of the same cost, only the best can be ahead
    best = -math.inf
    front = []
    for seconds, f1, title in points:
        if f1 > best:
            best = f1
            front.append((seconds, f1, title))
    on_front = {title for _, _, title in front}
    axes.scatter([p[0] for p in points], [p[1] for p in points], color=_GREY, s=14, zorder=2)
    axes.plot([p[0] for p in front], [p[1] for p in front], color=_BLUE, marker="o", markersize=5, zorder=3)
    for seconds, f1, title in points:
        if title in on_front or len(points) <= _LINES:
            axes.annotate(_short(title), (seconds, f1), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    narrow = points[-1][0] < 10 * points[0][0]  # a decade or less has no room for ticks but between powers of ten
    axes.xaxis.set_minor_formatter("{x:g}" if narrow else NullFormatter())
    axes.margins(x=0.2, y=0.15)
    axes.set_xlabel("seconds to train and to answer")
    axes.set_ylabel("micro F1")
    return figure


def _cues(board: Sequence[Entry], cues: Sequence[str]) -> Any:
    """F1 from cues far to the left, over the mention, to cues far to the right."""
    figure, axes = _axes(6.4, 3.6)
    sides = [name.removeprefix("cue-distance:").split() for name in cues]
    ordered = sorted(sides, key=lambda side: (1 if side[0] == "right" else -1) * int(side[1].split("-")[0]))
    for number, entry in enumerate(_spread_out(board)):
        f1s = [entry.cell("slices", f"cue-distance:{' '.join(side)}") for side in ordered]
        style = ("-", "--", ":")[number % 3]
        axes.plot(
            range(len(ordered)), [math.nan if f1 is None else f1 for f1 in f1s], style,
            marker="osv^Dx*P"[number % 8], markersize=4, label=_short(entry.first.title),
        )  # fmt: skip
    axes.axvline(sum(side[0] == "left" for side in ordered) - 0.5, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(ordered)), [f"{side[1]}\n{side[0]}" for side in ordered], fontsize=8)
    axes.set_xlabel("words between the mention and the cue, and the side of it that the cue is on")
    axes.set_ylabel("F1")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _spread_out(board: Sequence[Entry]) -> Sequence[Entry]:
    """As many systems as a figure shows, from the first to the last."""
    if len(board) <= _LINES:
        return board
    return [board[round(i * (len(board) - 1) / (_LINES - 1))] for i in range(_LINES)]


def _labels(board: Sequence[Entry]) -> Any:
    """F1 of each system and label as a strip of shades with the number in it."""
    systems, most = _STRIP
    shown = board[:systems]
    gold = board[0].first.scores["test"].labels
    names = sorted(gold, key=lambda name: -gold[name]["gold"])[:most]
    cells = [[entry.cell("labels", name) for name in names] for entry in shown]
    figure, axes = _axes(1.6 + 0.75 * len(names), 0.8 + 0.26 * len(shown))
    values = [[0.0 if f1 is None else f1 for f1 in row] for row in cells]
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for y, row in enumerate(values):
        for x, f1 in enumerate(row):
            colour = "white" if f1 > 60 else "black"
            axes.text(x, y, f"{f1:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), [_short(name, 14) for name in names], rotation=30, ha="right", fontsize=7)
    axes.set_yticks(range(len(shown)), [_short(entry.first.title) for entry in shown], fontsize=7)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    return figure


def _short(name: str, most: int = 34) -> str:
    """A name as a figure shows it: text that matplotlib does not read as mathematics."""
    line = " ".join(name.split())
    cut = line if len(line) <= most else f"{line[: most - 1]}…"
    return cut.replace("$", r"\$")


def _axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _drawn(name: str, title: str, draw: Any) -> Figure:
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = draw()
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)  # once is enough, else every kind of file is drawn once more for it
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Figure(name, title, _embeddable(svg.getvalue(), name), png.getvalue())


def _embeddable(svg: str, name: str) -> str:
    """An SVG that can stand in a page beside others: no prologue, and identifiers of its own."""
    body = svg[svg.index("<svg") :]
    mark = re.sub(r"\W", "-", name)
    body = re.sub(r'\bid="', f'id="{mark}-', body)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", body)
