"""Ends what a process has started when that process ends, however it ends.

python -m harness.adapters.backends.guard PARENT [PID...]

watches what PARENT starts, but for itself and the processes named, until its standard input says that all are started;
ends them when its standard input ends. Says first which folder of temporary files goes with them.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from tempfile import TemporaryDirectory

import psutil

from harness.errors import UserError
from harness.processes import end

_EVERY = 0.5  # seconds


class Guard:
    """Has the processes that this one starts from now on, until `all_started`, end with it, also after `kill -9`.

    `folder` is for what they leave behind. Raises UserError where it cannot be started.
    """

    def __init__(self) -> None:
        before = sorted(child.pid for child in psutil.Process().children(recursive=True))
        command = [sys.executable, "-P", "-m", __name__, str(psutil.Process().pid), *map(str, before)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        os.register_at_fork(after_in_child=self._process.stdin.close)  # else it would not end with this process
        self.folder = self._process.stdout.readline().decode().removesuffix("\n")  # it watches from here on
        if not self.folder:
            self.end()
            raise UserError(
                "What would end the processes of this run with it could not be started, for what is said above."
            )

    def all_started(self) -> None:
        """Look for processes one last time."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"all\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """End what is left of the processes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main() -> None:
    """Watch, wait, and end the processes that are still the same."""
    parent = psutil.Process(int(sys.argv[1]))
    apart = {*map(int, sys.argv[2:]), psutil.Process().pid}
    with TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True) as folder:
        print(folder, flush=True)
        _end_with(parent, apart)


def _end_with(parent: psutil.Process, apart: set[int]) -> None:
    found: set[psutil.Process] = set()
    while True:
        said = bool(select.select([sys.stdin], [], [], _EVERY)[0]) and sys.stdin.readline()
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child for child in parent.children(recursive=True) if child.pid not in apart}
        if said is not False:
            break
    if said:
        sys.stdin.read()
    for process in list(found):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= set(process.children(recursive=True))  # the last ones, started between two looks
    for process in found:
        end(process)


if __name__ == "__main__":
    main()
