"""The embedded models, really trained: what the demo shows in minutes, here in its smallest form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SIZES = '{"train": 192, "validation": 8, "test": 30}'


def harness(*arguments: object) -> str:
    """Run in a process of its own, as a user does."""
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def trained(runs: Path, system: str, *pairs: str) -> dict[str, Any]:
    options = [part for pair in (f"options.sizes={SIZES}", *pairs) for part in ("--set", pair)]
    record: dict[str, Any] = json.loads(
        harness("run", "-s", system, "-t", "lookright", "--runs", runs, "--save", "--json", *options)
    )[0]
    return record


def predicted_again(runs: Path, record: dict[str, Any], tmp_path: Path) -> tuple[list[Any], list[Any]]:
    """The spans of the stored run, and those that `harness predict` gives for the same words."""
    from harness.dataset import load_dataset
    from harness.task import task_card

    (folder,) = runs.glob(f"*/*/{record['identity']}/seed-120")
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    data = load_dataset(task_card("lookright", {"options.sizes": json.loads(SIZES)}))
    text = tmp_path / "text.txt"
    words = [" ".join(labeled.sentence.words) for labeled in data.splits["test"].sentences]
    text.write_text("\n".join(words), encoding="utf-8")
    found = [json.loads(line)["spans"] for line in harness("predict", folder, text, "--words").splitlines()]
    return (
        [line["spans"] for line in lines if line["split"] == "test"],
        [[[span["start"], span["end"], span["label"]] for span in spans] for spans in found],
    )


def losses(runs: Path) -> list[float]:
    (path,) = runs.glob("lookright/*/*/seed-120/train.jsonl")
    return [json.loads(line)["loss"] for line in path.read_text(encoding="utf-8").splitlines()]


def ends(values: list[float]) -> tuple[float, float]:
    """The mean of the first three and of the last three."""
    return sum(values[:3]) / 3, sum(values[-3:]) / 3


@pytest.mark.real
def test_smollm2_learns_and_comes_back_as_it_was(tmp_path: Path) -> None:
    record = trained(tmp_path / "runs", "smollm2-unmask-0011", "train.epochs=2", "train.min_updates=0")
    first, last = ends(losses(tmp_path / "runs"))
    assert last < first / 4
    assert record["cost"]["parameters"] > 130e6
    stored, again = predicted_again(tmp_path / "runs", record, tmp_path)
    assert sum(map(len, stored)) > 10
    assert again == stored


@pytest.mark.real
def test_nf4_qlora_trains_on_smollm2(tmp_path: Path) -> None:
    record = trained(
        tmp_path / "runs", "smollm2-unmask-01", "model.quantization=nf4", "train.min_updates=0", "train.epochs=1"
    )
    first, last = ends(losses(tmp_path / "runs"))
    assert last < first / 2
    assert record["settings"]["model"]["quantization"] == "nf4"


@pytest.mark.real
def test_minilm_learns(tmp_path: Path) -> None:
    trained(tmp_path / "runs", "minilm", "train.min_updates=60")
    first, last = ends(losses(tmp_path / "runs"))
    assert last < first / 4
