"""What a run started ends with it, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

STARTS_AND_GUARDS = """
import subprocess, sys, time
from harness.adapters.backends.guard import child_processes, guard
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
guard(child_processes())
print(child.pid, flush=True)
time.sleep(600)
"""


def test_children_end_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTS_AND_GUARDS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    assert psutil.pid_exists(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
