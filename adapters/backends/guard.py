"""Ends the processes it is told of when the one that started it ends, however that ends.

python -m harness.adapters.backends.guard PID...        waits for the end of its standard input
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable

import psutil


def child_processes() -> set[int]:
    """The numbers of all processes that this one has started, and they in turn."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def guard(processes: Iterable[int]) -> subprocess.Popen[bytes]:
    """Have processes end with this one, also after `kill -9`. Returns the guard, which ends them when it is told to."""
    command = [sys.executable, "-m", __name__, *map(str, sorted(processes))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def main() -> None:
    """Wait, then end the processes named on the command line, if they are still the same."""
    guarded = []
    for pid in sys.argv[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            guarded.append(psutil.Process(int(pid)))
    sys.stdin.read()
    for process in guarded:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # checks that the number was not given to another process


if __name__ == "__main__":
    main()
