"""The process that draws figures ends with the one that it draws for, and leaves Ctrl-C to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

BUSY = """
import multiprocessing
import harness.pages.artist as module

module.usable_cores = lambda: [0, 1]
try:
    with module.artist(module.RUNS_WORTH_A_PROCESS) as draw:
        [*draw(abs, [-1])]
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        input()
        print(*draw(abs, [-2]))
except KeyboardInterrupt:
    print("interrupted")
except module.UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("how", "said"), [("", "2"), ("kill", ""), ("interrupt", "interrupted"), ("kill artist", "--no-figures")]
)
def test_the_artist_ends_with_its_parent(how: str, said: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert parent.stdout
    artist = psutil.Process(int(parent.stdout.readline()))
    try:
        if how == "kill":
            parent.kill()
        if how == "interrupt":
            os.killpg(parent.pid, signal.SIGINT)
        if how == "kill artist":
            artist.kill()
        printed, _ = parent.communicate("\n", timeout=60)  # the artist has its output open as well
    finally:
        parent.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            artist.kill()
    assert said in printed
    assert "Traceback" not in printed
