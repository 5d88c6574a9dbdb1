"""Benchmarks refuse what they cannot measure as `harness` does; what a GPU measures, a CPU can rehearse."""

from __future__ import annotations

import runpy
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
        (["training", "--system", "gazetteer"], "can be compared"),
        (["training", "--system", "smollm2-unmask-0011"], "can be compared"),
        (["quality", "--seeds", "0"], "--seeds"),
        (
            ["quality", "--task", "lookright", "--kept", "/no/such/folder/kept"],
            "/no/such/folder/kept cannot be written",
        ),
        (["quality", "--task", "lookright", "--kept", "README.md"], "README.md:1: this is not what came of"),
        (["instruct", "--rounds", "100"], "All rounds together take 9,600 sentences of lookright, and there are 900"),
        (["generation", "--prompts", "512"], "All rounds together take 2,048 sentences, and there are 1,400"),
        (["start", "--rounds", "0"], "'0' is no whole number of at least 1"),
        (["gpu", "--shape", "small", "--rounds", "-1"], "'-1' is no whole number of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *options = arguments
    monkeypatch.setattr(sys, "argv", [f"benchmarks.{name}", *options])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)  # runpy warns of modules that are there
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_the_table_of_a_gpu_is_rehearsed_in_small_and_not_kept() -> None:
    kept = sorted((ROOT / "benchmarks" / "results").rglob("*"))
    rehearsal = ["benchmarks.gpu", "--shape", "small", "--seconds", "1", "--rounds", "1", "--compile", "off"]
    done = subprocess.run([sys.executable, "-m", *rehearsal], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["harness", "harness, weights stay packed", "the paper's loop, NF4 weights"]
    assert sorted((ROOT / "benchmarks" / "results").rglob("*")) == kept
