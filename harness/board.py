"""Leaderboards: lines of systems, best first, made from the store and from nothing else."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from harness.decode.text import ITEM, LOST, PLACED
from harness.intervals import Spread, Sums, spread_of_sums
from harness.record import Record
from harness.significance import exchanges_for, holm, mean_table, randomization_tests, rank_groups
from harness.store import read_sums

NONE = "–"
LEVEL = 0.05
MOST_TESTED = 100  # systems of a board: all their pairs are tested in a minute


@dataclass(frozen=True)  # without slots: what is cached needs a place
class Entry:
    """A line of a board: the runs of one system that differ in their seed only.

    `spread` is that of F1 (0 to 1) over test sets like this one, the runs as they are; `tables` holds the gold,
    predicted and matched counts by unit, one table a run.
    """

    records: tuple[Record, ...]
    spread: Spread
    tables: tuple[Sums, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def key(self) -> str:
        """What no other line of the store has."""
        return f"{self.first.system}/{self.first.identity}"

    @property
    def f1s(self) -> list[float]:
        return [record.scores["test"].f1 for record in self.records]

    @property
    def f1(self) -> float:
        return statistics.fmean(self.f1s)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of F1, in percent."""
        return 100 * self.spread.low, 100 * self.spread.high

    @property
    def seed_deviation(self) -> float | None:
        """The standard deviation of F1 over seeds, on this test set; None for a single run."""
        return statistics.stdev(self.f1s) if len(self.f1s) > 1 else None

    @property
    def sample_deviation(self) -> float:
        """The standard deviation of F1 over test sets like this one, with these runs."""
        return 100 * self.spread.deviation

    def mean(self, name: str) -> float:
        """The mean over seeds of a field of the test score."""
        return statistics.fmean([float(getattr(record.scores["test"], name)) for record in self.records])

    def cost(self, name: str) -> float | None:
        """The mean over seeds of a cost, or None where a run does not have it."""
        values = [record.cost.get(name) for record in self.records]
        return statistics.fmean([v for v in values if v is not None]) if None not in values else None

    def cell(self, table: str, name: str) -> float | None:
        """The mean F1 of a label or slice, or None where a run does not have it. `table`: labels or slices."""
        return self._cells[table].get(name)

    @cached_property
    def _cells(self) -> dict[str, dict[str, float | None]]:
        found = {}
        for table in ("labels", "slices"):
            runs = [getattr(record.scores["test"], table) for record in self.records]
            names = {name for run in runs for name in run}
            found[table] = {
                name: statistics.fmean([run[name]["f1"] for run in runs]) if all(name in run for run in runs) else None
                for name in names
            }
        return found

    @property
    def validation_f1s(self) -> list[float]:
        """F1 on validation of each run that has it."""
        scores = [record.scores.get("validation") for record in self.records]
        return [score.f1 for score in scores if score is not None]

    @cached_property
    def generated(self) -> dict[str, float]:
        """The mean over seeds of how many generated items ended in each class; empty where nothing was generated."""
        counts = [record.scores["test"].decoding for record in self.records]
        found = {name: statistics.fmean([one.get(ITEM + name, 0) for one in counts]) for name in (*PLACED, *LOST)}
        return found if any(found.values()) else {}

    def noted(self, name: str) -> float | None:
        """The mean over seeds of what the systems noted of their cost."""
        values = [record.cost["notes"].get(name) for record in self.records]
        return statistics.fmean(values) if values and None not in values else None


def entries(found: Iterable[tuple[Path, Record]]) -> dict[str, list[Entry]]:
    """The lines of a task's board, from all its runs, by signature, whole data first, each list best first.

    The same sentences in other documents are no pairs: they get a board of their own, named by its units.
    """
    runs: dict[tuple[str, str, str], list[tuple[Path, Record]]] = defaultdict(list)
    for folder, record in found:
        runs[record.scores["test"].signature, record.identity, record.system].append((folder, record))
    boards: dict[str, dict[bytes, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for (signature, *_), members in sorted(runs.items()):
        members.sort(key=lambda member: member[1].seed)
        tables = tuple(read_sums(folder) for folder, _ in members)
        entry = Entry(tuple(record for _, record in members), spread_of_sums(*tables), tables)
        boards[signature][tables[0][:, 0].tobytes()].append(entry)
    named: dict[str, list[Entry]] = {}
    for signature in sorted(boards, key=lambda line: ("limit:" in line, line)):
        for units, board in sorted(boards[signature].items(), key=lambda item: (-len(item[1]), item[0])):
            line = signature if signature not in named else f"{signature}|units:{sha256(units).hexdigest()[:8]}"
            named[line] = sorted(board, key=lambda entry: (-entry.f1, entry.first.title, entry.first.identity))
    return named


def groups(board: Sequence[Entry]) -> list[str]:
    """The letters of each line's rank groups: lines that share one could not be told apart by this test set.

    Lines that see the gold have none, and no line of a board that is too long to test all pairs, or of too many groups.
    """
    tested = [entry for entry in board if not entry.first.sees_gold]
    if len(tested) > MOST_TESTED:
        return [NONE] * len(board)
    tests = randomization_tests([mean_table(entry.tables) for entry in tested], exchanges_for(len(tested), LEVEL))
    corrected = holm(list(tests.values()))
    apart = [pair for pair, p in zip(tests, corrected, strict=True) if p < LEVEL]
    found = rank_groups(len(tested), apart)
    if not found:
        return [NONE] * len(board)
    letters = iter(found)
    return [NONE if entry.first.sees_gold else next(letters) for entry in board]
