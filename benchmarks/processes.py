"""Work in processes of their own, one on each core, as the runs of a grid are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from harness.executors.local import ALLOCATOR


def alone_on(core: int, arguments: Sequence[str], ours: bool) -> str:
    """The last line of what `python -m ...` prints, on one core; ours keeps memory as a grid has its processes do."""
    environment = (ALLOCATOR if ours else {}) | os.environ | {"OMP_NUM_THREADS": "1"}
    command = ["taskset", "-c", str(core), sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()[-1]
