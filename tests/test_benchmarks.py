"""Benchmarks refuse what they cannot measure as `harness` does: one paragraph, exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["training", "--task", "nope"], "Unknown task 'nope'"),
        (["training", "--task", "wnut17"], "--data"),
        (["quality", "--seeds", "0"], "--seeds"),
        (["quality", "--kept", "/no/such/folder/kept"], "/no/such/folder/kept cannot be written"),
        (["start", "--rounds", "0"], "'0' is no whole number of at least 1"),
        (["gpu", "--shape", "small", "--rounds", "-1"], "'-1' is no whole number of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
