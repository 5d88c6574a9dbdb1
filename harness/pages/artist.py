"""A process that draws figures beside this one, for boards that take long enough to pay for its start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

from harness.environment import usable_cores
from harness.pages.drawing import Map

MANY = 500  # runs: what reads fewer draws its figures sooner than a process starts


@contextmanager
def artist(runs: int) -> Iterator[Map]:
    """What `figures` draws with while the boards of that many runs are made: a process, if there is a core for it."""
    if runs < MANY or len(usable_cores()) == 1:
        yield map
        return
    pool = ProcessPoolExecutor(1, get_context("spawn"), _begin)
    try:
        pool.submit(_prepare)  # while records are read
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the process that was asked, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(0)


def _prepare() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401
