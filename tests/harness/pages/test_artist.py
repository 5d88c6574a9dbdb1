"""The process that draws figures ends with the one that it draws for."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

BUSY = """
import multiprocessing
import harness.pages.artist as module

module.usable_cores = lambda: [0, 1]
with module.artist(module.MANY) as draw:
    [*draw(abs, [-1])]
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    input()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_the_artist_ends_with_its_parent(killed: bool) -> None:
    parent = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    artist = psutil.Process(int(parent.stdout.readline()))
    if killed:
        parent.kill()
    parent.communicate("\n" if not killed else None, timeout=30)  # the artist has its output open as well
    artist.wait(timeout=30)
