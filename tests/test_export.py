"""What leaves the house: model cards that a hub can read, and a bibliography that BibTeX can."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import ModelCard

from conftest import Result
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
