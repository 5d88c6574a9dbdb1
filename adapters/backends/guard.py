"""Ends the processes it is told of when the one that started it ends, however that ends.

python -m harness.adapters.backends.guard PID...        waits for the end of its standard input
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import psutil


def guard_children() -> subprocess.Popen[bytes]:
    """Have all that this process started so far end with it, also after `kill -9`. Returns the guard."""
    children = [str(child.pid) for child in psutil.Process().children(recursive=True)]
    command = [sys.executable, "-m", __name__, *children]
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
