"""A process that draws figures beside this one, for boards that take long enough to pay for its start."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context, parent_process

from threadpoolctl import threadpool_limits

from harness.environment import usable_cores
from harness.errors import UserError
from harness.pages.drawing import Map

RUNS_WORTH_A_PROCESS = 500  # boards of fewer have their figures drawn sooner than a process starts


@contextmanager
def artist(count: int) -> Iterator[Map]:
    """What `figures` draws with while the boards of that many runs are made: a process, if there is a core for it.

    Raises UserError where the process is ended from outside.
    """
    if count < RUNS_WORTH_A_PROCESS or len(usable_cores()) == 1:
        yield map
        return
    pool = ProcessPoolExecutor(1, get_context("spawn"), _begin)
    try:
        with _deaf():
            pool.submit(_prepare)  # while records are read
        with threadpool_limits(len(usable_cores()) - 1, "blas"):  # whose threads wait busily, on the artist's core too
            yield pool.map
    except BrokenProcessPool as error:
        raise UserError(
            "The process that draws the figures was ended, perhaps for lack of memory; --no-figures does without."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C to the one that was asked."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    atexit.register(os._exit, 0)  # its modules need not be taken apart, which is waited for
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(0)


def _prepare() -> None:
    for name in ("figure", "backends.backend_agg", "backends.backend_svg"):
        import_module(f"matplotlib.{name}")
