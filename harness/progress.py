"""How a grid is getting on: a live table on a terminal, a line for each run elsewhere."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.job import Job, Outcome, Started
from harness.record import Record
from harness.store import RunKey

_SHOWN = 8  # running runs on a terminal


class Progress:
    """Tells of every run of a grid as it starts and ends. To be used with `with`."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.titles = {job.key: f"[{i}/{len(jobs)}] {job.title}" for i, job in enumerate(jobs, 1)}
        self.running: dict[RunKey, float] = {}
        self.took: list[float] = []
        self.done = self.failed = 0
        self.console = Console(stderr=True)
        live = self.console.is_terminal and len(jobs) > 1
        self.live = Live(get_renderable=self.table, console=self.console, refresh_per_second=2) if live else None

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def started(self, event: Started) -> None:
        self.running[event.key] = time.monotonic()
        if not self.live:
            self.say(event.key, "")

    def stored(self, key: RunKey, record: Record, ran: bool) -> None:
        """A run is in the store: new, or from before."""
        begun = self.running.pop(key, None)
        if ran and begun is not None:
            self.took.append(time.monotonic() - begun)
        self.done += 1
        fit = record.cost["fit_seconds"]
        spent = f"trained in {fit:.0f} s, " if fit >= 1 else ""
        state = "new" if ran else "already in the store"
        self.say(key, f": F1 {record.scores['test'].f1:.2f} ({spent}{state})")

    def lost(self, outcome: Outcome) -> None:
        """A run failed."""
        self.running.pop(outcome.key, None)
        self.failed += 1
        self.say(outcome.key, f": failed: {outcome.error}")
        if outcome.trace:
            self._print(outcome.trace)

    def failed_before(self, key: RunKey, error: str) -> None:
        """A run failed when it was tried last, and is not tried now."""
        self.failed += 1
        self.say(key, f": failed before: {error}")

    def say(self, key: RunKey, what: str) -> None:
        self._print(f"{self.titles[key]}{what}")

    def _print(self, text: str) -> None:
        if self.live:
            self.console.print(Text(text))
        else:
            print(text, file=sys.stderr, flush=True)

    def table(self) -> RenderableType:
        """What the terminal shows below the lines of what has ended."""
        to_go = len(self.titles) - self.done - self.failed - len(self.running)
        head = Table("done", "running", "failed", "to go", "time left", box=None, padding=(0, 2, 0, 0))
        head.add_row(*map(str, (self.done, len(self.running), self.failed, to_go)), self.time_left())
        now = time.monotonic()
        lines = [
            Text(f"{self.titles[key]}  {_clock(now - begun)}", style="dim", no_wrap=True, overflow="ellipsis")
            for key, begun in list(self.running.items())[:_SHOWN]
        ]
        return Group(head, *lines)

    def time_left(self) -> str:
        """By what the runs took that have ended; unknown before the first has."""
        if not self.took:
            return "–"
        each, now = statistics.fmean(self.took), time.monotonic()
        under_way = sum(max(0.0, each - (now - begun)) for begun in list(self.running.values()))
        to_go = len(self.titles) - self.done - self.failed - len(self.running)
        return _clock((under_way + each * to_go) / max(1, len(self.running)))


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
