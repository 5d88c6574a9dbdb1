"""What leaves the house: model cards that a hub can read, and a bibliography that BibTeX can."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from conftest import Result
from harness.errors import UserError
from harness.store import Store
from test_cli import tiny

Harness = Callable[..., Result]


def test_a_trained_run_leaves_with_card_weights_and_citations(
    tiny_decoder: Path, tmp_path: Path, harness: Harness
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    made = harness("run", "-s", "smollm2-unmask-01", "-t", "lookright", "--save", "--runs", runs, *tiny(tiny_decoder))
    assert made.code == 0, made.err
    assert harness("export", "smollm2-unmask-01", "--runs", runs, "--out", out).code == 0
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "README.md", "citations.bib", "record.json", "trained.safetensors",
    }  # fmt: skip
    card = ModelCard.load(out / "README.md")
    [f1, precision, recall] = card.data.eval_results or []
    assert (f1.metric_type, precision.metric_type, recall.metric_type) == ("f1", "precision", "recall")
    assert f1.dataset_name == "lookright" and f1.dataset_split == "test" and 0 <= f1.metric_value <= 100
    assert card.data.license == "apache-2.0"
    assert "| positive |" in card.content and "Looking Right is Sometimes Right" in card.content
    keys = re.findall(r"^@misc\{(\w+),$", (out / "citations.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(keys)) == len(keys)
    assert {"dukic2024looking", "hu2022lora", "allal2025smollm2"} <= set(keys)
    again = harness("export", "smollm2-unmask-01", "--runs", runs, "--out", out)
    assert again.code == 2 and "not empty" in again.err


def test_an_export_is_whole_or_not_there(tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    assert harness("run", "-s", "gazetteer", "-t", "lookright", "--limit", 20, "--runs", runs).code == 0
    [record] = runs.glob("lookright/*/*/seed-*/record.json")
    (record.parent / "weights").mkdir()
    (record.parent / "weights" / "a").symlink_to(tmp_path / "nowhere")
    failed = harness("export", "gazetteer", "--runs", runs, "--out", out)
    assert failed.code == 2 and str(record.parent) in failed.err and "No such file" in failed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    (record.parent / "weights" / "a").unlink()
    assert harness("export", "gazetteer", "--runs", runs, "--out", out).code == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert harness("export", "gazetteer", "--runs", runs, "--out", ".").code == 0
    assert {path.name for path in Path().iterdir()} == {path.name for path in out.iterdir()}


def test_a_run_is_found_by_its_whole_name_where_that_begins_another(tmp_path: Path, harness: Harness) -> None:
    assert harness("run", "-s", "gazetteer", "-t", "lookright", "--limit", 20, "--runs", tmp_path).code == 0
    [folder] = tmp_path.glob("lookright/*/*/seed-*")
    shutil.copytree(folder, folder.with_name(f"{folder.name}0"))
    name = str(folder.relative_to(tmp_path))
    assert Store(tmp_path).find(name) == Store(tmp_path).find(f"{name}/") == folder
    with pytest.raises(UserError, match="2 runs"):
        Store(tmp_path).find(folder.parent.name)


def test_a_bibliography_balances_its_braces(tmp_path: Path, harness: Harness) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(
        'name = "mine"\nreader = "spans-json"\ncitation = "A { brace, 50% & more_of it. \\\\input{x}"\n'
        '[files]\ntrain = ["t.jsonl"]\ntest = ["t.jsonl"]\n[holdout]\nvalidation = 0.5\n[options]\nwords = "words"\n',
        encoding="utf-8",
    )
    line = '{"words": ["Ann"], "spans": [{"start": 0, "end": 1, "label": "PER"}]}\n'
    (tmp_path / "t.jsonl").write_text(line * 2, encoding="utf-8")
    runs = tmp_path / "runs"
    assert harness("run", "-s", "gazetteer", "-t", card, "--data", tmp_path, "--runs", runs).code == 0
    assert harness("leaderboard", "--runs", runs, "--out", tmp_path / "out", "--no-figures").code == 0
    for name in ("mine.bib", "mine.tex"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
    bib = (tmp_path / "out/mine.bib").read_text(encoding="utf-8")
    assert r"50\% \& more\_of it" in bib and r"\input" not in bib
