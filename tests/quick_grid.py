"""Grids of quick runs in forked processes, which start at once: for tests that need many of them.

python quick_grid.py whole|killed|crowd RUNS
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from harness.commands.run import RunOptions, run_grid
from harness.grid import Request

RUNS = 40


def requests(shares: range) -> list[Request]:
    """A gazetteer for each share of a hundred."""
    sizes = {"train": 40, "validation": 12, "test": 30}
    options = [{"options.sizes": sizes, "min_share": share / 100} for share in shares]
    return [Request(["gazetteer"], ["lookright"], set=one) for one in options]


def forked(runs: Path, asked: list[Request]) -> int:
    """The process that carries out a grid."""
    process = os.fork()
    if process:
        return process
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(run_grid(asked, RunOptions(None, runs, "local", 1, False, False)))


def whole(runs: Path) -> None:
    _, status = os.waitpid(forked(runs, requests(range(RUNS))), 0)
    assert status == 0


def killed(folder: Path) -> None:
    """The same grid, killed at fifty random moments and started again; in a new store whenever it came to its end."""
    draw = random.Random(13)
    kills = stores = 0
    while kills < 50:
        runs = folder / f"store-{stores}"
        process = forked(runs, requests(range(RUNS)))
        deadline = time.monotonic() + draw.uniform(0.1, 1.2)
        while time.monotonic() < deadline and os.waitpid(process, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        if time.monotonic() < deadline:
            stores += 1
            continue
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kills += 1
        print(stores, len(list(runs.glob("lookright/*/*/seed-*"))))  # what was there at the kill
    whole(folder / f"store-{stores}")


def crowd(runs: Path) -> None:
    """Fifty processes at once, each with a run of its own and one that all of them want."""
    processes = [forked(runs, requests(range(share, share + 1)) + requests(range(99, 100))) for share in range(50)]
    assert [os.waitpid(process, 0)[1] for process in processes] == [0] * 50


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
