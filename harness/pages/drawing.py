"""How the figures of a board are drawn, as SVG and PNG."""

from __future__ import annotations

import io
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#888888"  # told apart by all eyes
_NAMED = 8  # systems in a figure of costs that all have their names in it


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


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure that is yet to be drawn. `draw` is a partial of a function below, which another process can be sent."""

    name: str
    title: str
    draw: Callable[[], Any]


Map: TypeAlias = Callable[[Callable[[Plot], Figure], Sequence[Plot]], Iterator[Figure]]  # as the builtin


def masks(order: Sequence[str], by_split: Mapping[str, Sequence[Sequence[float]]]) -> Any:
    """F1 of every configuration, with a band of one standard deviation over seeds."""
    figure, axes = _axes(6.4, 3.2)
    places = range(len(order))
    for (label, scores), colour, marker in zip(by_split.items(), (_BLUE, _ORANGE), "os", strict=True):
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


def gains(of_groups: Sequence[tuple[float, float]]) -> Any:
    """The mean gain of unmasking each group, and its standard deviation over pairs of configurations."""
    figure, axes = _axes(4.2, 2.8)
    names = [f"group {group}" for group, _ in enumerate(of_groups, 1)]
    means, deviations = zip(*of_groups, strict=True)
    axes.bar(names, means, color=_BLUE, width=0.6)
    axes.errorbar(names, means, deviations, fmt="none", ecolor="black", capsize=4)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("gain in micro F1")
    axes.set_xlabel("unmasked, from the input to the output")
    return figure


def cost(systems: Sequence[tuple[float, float, str]]) -> Any:
    """F1 over seconds, of titles; the line joins the systems that none beats in both."""
    from matplotlib.ticker import NullFormatter

    figure, axes = _axes(6.4, 3.6)
    points = sorted(systems, key=lambda point: (point[0], -point[1]))  # of the same cost, only the best can be ahead
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
        if title in on_front or len(points) <= _NAMED:
            axes.annotate(_short(title), (seconds, f1), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    narrow = points[-1][0] < 10 * points[0][0]  # a decade or less has no room for ticks but between powers of ten
    axes.xaxis.set_minor_formatter("{x:g}" if narrow else NullFormatter())
    axes.margins(x=0.2, y=0.15)
    axes.set_xlabel("seconds to train and to answer")
    axes.set_ylabel("micro F1")
    return figure


def cues(sides: Sequence[Sequence[str]], lines: Sequence[tuple[str, Sequence[float | None]]]) -> Any:
    """F1 of titles, by side and distance of the cue."""
    figure, axes = _axes(6.4, 3.6)
    for number, (title, f1s) in enumerate(lines):
        style = ("-", "--", ":")[number % 3]
        axes.plot(
            range(len(sides)), [math.nan if f1 is None else f1 for f1 in f1s], style,
            marker="osv^Dx*P"[number % 8], markersize=4, label=_short(title),
        )  # fmt: skip
    axes.axvline(sum(side[0] == "left" for side in sides) - 0.5, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(sides)), [f"{side[1]}\n{side[0]}" for side in sides], fontsize=8)
    axes.set_xlabel("words between the mention and the cue, and the side of it that the cue is on")
    axes.set_ylabel("F1")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def labels(names: Sequence[str], titles: Sequence[str], values: Sequence[Sequence[float]]) -> Any:
    """F1 of each system and label as a strip of shades with the number in it."""
    figure, axes = _axes(1.6 + 0.75 * len(names), 0.8 + 0.26 * len(titles))
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for y, row in enumerate(values):
        for x, f1 in enumerate(row):
            colour = "white" if f1 > 60 else "black"
            axes.text(x, y, f"{f1:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), [_short(name, 14) for name in names], rotation=30, ha="right", fontsize=7)
    axes.set_yticks(range(len(titles)), [_short(title) for title in titles], fontsize=7)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    return figure


def _short(name: str, most: int = 34) -> str:
    """A name as a figure shows it: text that matplotlib does not read as mathematics, nor XML refuses."""
    line = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    cut = line if len(line) <= most else f"{line[: most - 1]}…"
    return cut.replace("$", r"\$")


def _axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def drawn(plot: Plot) -> Figure:
    """Draw a figure."""
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": "harness", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = plot.draw()
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)  # once is enough, else every kind of file is drawn once more for it
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Figure(plot.name, plot.title, _embeddable(svg.getvalue(), plot.name), png.getvalue())


def _embeddable(svg: str, name: str) -> str:
    """An SVG that can stand in a page beside others: no prologue, and identifiers of its own."""
    body = svg[svg.index("<svg") :]
    mark = re.sub(r"\W", "-", name)
    body = re.sub(r'\bid="', f'id="{mark}-', body)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", body)
