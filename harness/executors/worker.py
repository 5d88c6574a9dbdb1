"""A process that carries out jobs: a line of JSON each on its standard input, a line with the outcome on its output.

python -m harness.executors.worker CORES

It ends when its standard input does, also in the middle of a run: nobody would hear of its outcome. What a run has
started ends with it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from queue import SimpleQueue

from harness.commands.quiet import quiet_libraries
from harness.environment import IMPORTED, rarely_collecting
from harness.job import Job, work
from harness.processes import end_group
from harness.store import Store


@rarely_collecting(IMPORTED)
def main() -> None:
    """Carry out jobs as they come."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.register_at_fork(after_in_child=answers.close)  # else the death of this process would not be noticed
    os.dup2(2, 1)  # what libraries print is no answer
    quiet_libraries()
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=[lines], daemon=True).start()
    while True:
        job = Job.from_json(lines.get())
        print(work(job, Store(job.runs)).to_json(), file=answers, flush=True)


def _listen(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    if os.getpgrp() == os.getpid():  # as `Local` starts it
        end_group(os.getpgrp())
    os._exit(0)


if __name__ == "__main__":
    main()
