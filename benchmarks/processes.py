"""Work in processes of their own on chosen cores, as the runs of a grid are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from harness.executors.local import ALLOCATOR


def begin_on(cores: Sequence[int], arguments: Sequence[str], kept: bool) -> subprocess.Popen[str]:
    """`python -m ...` on some cores, which is written to and read from; `kept` as a grid has its runs keep memory."""
    environment = (ALLOCATOR if kept else {}) | os.environ | {"OMP_NUM_THREADS": str(len(cores))}
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what it prints up to this line. Raises CalledProcessError where it ends without."""
    assert process.stdout
    if not any(printed == f"{line}\n" for printed in process.stdout):
        raise subprocess.CalledProcessError(process.wait(), process.args)


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Write it a line, and go on at once."""
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def last_line(process: subprocess.Popen[str]) -> str:
    """The last line that it prints. Raises CalledProcessError where it fails."""
    printed, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return printed.splitlines()[-1]
