"""Work in processes of their own on chosen cores, as the runs of a grid are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.errors import UserError
from harness.executors.local import ALLOCATOR


@contextmanager
def running_on(cores: Sequence[int], arguments: Sequence[str], kept: bool) -> Iterator[subprocess.Popen[str]]:
    """`python -m ...` on some cores, which is written to and read from; it does not outlive the `with`.

    `kept`: it keeps memory as a grid has its runs do. Raises UserError where processes cannot be bound to cores.
    """
    if not shutil.which("taskset"):
        raise UserError("This benchmark binds processes to cores by taskset (of util-linux), which is not here.")
    environment = (ALLOCATOR if kept else {}) | os.environ | {"OMP_NUM_THREADS": str(len(cores))}
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


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


def told() -> None:
    """Wait, in such a process, for a line; end where none will come, since whoever began it is gone."""
    if not sys.stdin.readline():
        sys.exit(1)


def last_line(process: subprocess.Popen[str]) -> str:
    """The last line that it prints. Raises CalledProcessError where it fails."""
    printed, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return printed.splitlines()[-1]
