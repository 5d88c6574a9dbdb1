"""Grids of mask configurations: what unmasking each group of blocks brings, tested over all the others."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.board import Entry

_NAME = re.compile(r"-unmask-([01]+)")


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean difference of F1 (in points) over pairs of configurations, and the p-value of a paired t-test."""

    mean: float
    deviation: float
    p: float
    pairs: int


@dataclass(frozen=True, slots=True)
class MaskGrid:
    """All configurations of one decoder, each with its line of the board. `name` stands for the bits with `*`."""

    name: str
    entries: Mapping[str, Entry]

    @property
    def groups(self) -> int:
        return len(next(iter(self.entries)))

    def gray(self) -> list[str]:
        """The configurations in Gray-code order from all-causal: each differs from the one before in one group."""
        return [format(i ^ (i >> 1), f"0{self.groups}b") for i in range(2**self.groups)]

    def gain(self, group: int) -> Gain:
        """What unmasking one group brings, the others as they are: a two-sided test over their configurations."""
        with_it = [bits for bits in self.gray() if bits[group] == "1"]
        return self._gain([(_flipped(bits, group), bits) for bits in with_it], "two-sided")

    def later(self) -> Gain:
        """What moving the unmasking to the next later group brings: a one-sided test that it helps."""
        early = [(bits, g) for bits in self.gray() for g in range(self.groups - 1) if bits[g : g + 2] == "10"]
        return self._gain([(bits, f"{bits[:g]}01{bits[g + 2 :]}") for bits, g in early], "greater")

    def chosen(self) -> str | None:
        """The configuration that is best on validation."""
        scores = {bits: statistics.fmean(entry.validation_f1s or [-1]) for bits, entry in self.entries.items()}
        best = max(sorted(scores), key=scores.__getitem__)
        return best if scores[best] >= 0 else None

    def _gain(self, pairs: Sequence[tuple[str, str]], alternative: str) -> Gain:
        from scipy.stats import ttest_rel

        before, after = ([self.entries[bits].f1 for bits in side] for side in zip(*pairs, strict=True))
        gains = [new - old for old, new in zip(before, after, strict=True)]
        if len(set(gains)) == 1:  # a t-test divides by their deviation
            return Gain(gains[0], 0.0, float("nan"), len(gains))
        p = float(ttest_rel(after, before, alternative=alternative).pvalue)
        return Gain(statistics.fmean(gains), statistics.stdev(gains), p, len(gains))


def _flipped(bits: str, group: int) -> str:
    return f"{bits[:group]}{1 - int(bits[group])}{bits[group + 1 :]}"


def mask_grids(board: Sequence[Entry]) -> list[MaskGrid]:
    """The decoders of a board of which every configuration of two groups or more is there, and none twice."""
    found: dict[tuple[str, int], list[tuple[str, Entry]]] = defaultdict(list)
    for entry in board:
        if match := _NAME.search(entry.first.title):
            bits = match[1]
            name = entry.first.title.replace(match[0], f"-unmask-{'*' * len(bits)}", 1)
            found[name, len(bits)].append((bits, entry))
    return [
        MaskGrid(name, dict(lines))
        for (name, m), lines in sorted(found.items())
        if m > 1 and len(lines) == len(dict(lines)) == 2**m
    ]
