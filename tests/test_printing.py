"""Standard output that goes nowhere, or nowhere any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LISTING = f"{Path(sys.executable).with_name('harness')} ls systems"
FULL = Path("/dev/full")


@pytest.mark.parametrize("into", ["| true", "| head -1 > /dev/null", ">&-"])
def test_a_reader_that_goes_away_is_no_failure(into: str) -> None:
    command = f"{LISTING} {into}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not FULL.exists(), reason="no disk is always full here")
@pytest.mark.parametrize("how", ["", "--json"])
def test_a_full_disk_is_said_in_one_paragraph(how: str) -> None:
    done = subprocess.run(["bash", "-c", f"{LISTING} {how} > {FULL}"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "harness: What was being written is not whole: No space left on device.\n"
