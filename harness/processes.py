"""Ending processes, and what they have started."""

from __future__ import annotations

import contextlib
import os

import psutil

_TRACKER = "resource_tracker"  # of multiprocessing's, and of those written after it


def end(process: psutil.Process) -> None:
    """Kill a process, unless it frees the shared memory of others when they have ended, and then ends by itself."""
    with contextlib.suppress(psutil.Error):  # it has ended by itself, or is another user's
        if _TRACKER not in " ".join(process.cmdline()):
            process.kill()  # checks that the number was not given to another process


def end_group(group: int) -> None:
    """End the processes of a group but for this one."""
    for _ in range(2):  # one may have been started while the others were looked for
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):  # it has ended by itself
                if process.pid != os.getpid() and os.getpgid(process.pid) == group:
                    end(process)
