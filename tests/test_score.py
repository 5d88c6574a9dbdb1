"""`harness score`: any two files, the whole protocol."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from conftest import Result
from harness.schemes import tags_of

Harness = Callable[..., Result]


def random_tags(draw: random.Random, count: int) -> list[list[str]]:
    tags = tags_of(("PER", "LOC"))
    return [[draw.choice(tags) for _ in range(draw.randint(1, 9))] for _ in range(count)]


def write_columns(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text(
        "\n\n".join("\n".join(f"w{i} {tag}" for i, tag in enumerate(s)) for s in sentences) + "\n", encoding="utf-8"
    )
    return path


def test_score_on_files_is_seqevals_strict_score(tmp_path: Path, harness: Harness) -> None:
    draw = random.Random(5)
    for _ in range(20):
        gold = random_tags(draw, 30)
        predicted = [[draw.choice([tag, *tags_of(("PER", "LOC"))]) for tag in sentence] for sentence in gold]
        paths = [
            "--gold",
            write_columns(tmp_path / "g.conll", gold),
            "--pred",
            write_columns(tmp_path / "p.conll", predicted),
        ]
        found = json.loads(harness("score", *paths, "--json").out)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert found["f1"] == 100 * f1_score(gold, predicted, mode="strict", scheme=IOB2)


def test_what_was_invalid_in_the_gold_of_a_file_is_told(tmp_path: Path, harness: Harness) -> None:
    path = write_columns(tmp_path / "g.conll", [["I-PER", "B-LOC"]])
    strict, lenient = (
        json.loads(harness("score", "--gold", path, "--pred", path, "--policy", policy, "--json").out)
        for policy in ("strict", "conlleval")
    )
    assert (strict["counts"]["gold"], lenient["counts"]["gold"]) == (1, 2)
    assert (strict["gold_changes"], lenient["gold_changes"]) == ({"dropped-no-begin": 1}, {"repaired-no-begin": 1})
    assert "gold changed: dropped-no-begin 1 (is --gold-scheme" in harness("score", "--gold", path, "--pred", path).out


def test_score_splits_columns_where_it_is_told(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "g.tsv").write_text("New York\tB-LOC\nof\u00a0old\tO\n", encoding="utf-8")
    arguments = ["score", "--gold", tmp_path / "g.tsv", "--pred", tmp_path / "g.tsv"]
    assert harness(*arguments).code == 2
    assert "micro  100.00" in harness(*arguments, "--separator", "tab").out


def test_score_reads_other_schemes_columns_and_json(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "gold.txt").write_text("Ann NNP I-PER\nLee NNP I-PER\nBo NNP B-PER\n", encoding="utf-8")
    (tmp_path / "pred.txt").write_text("Ann B-PER x\nLee E-PER x\nBo S-PER x\n", encoding="utf-8")
    (tmp_path / "pred.jsonl").write_text(
        '{"spans": [[0, 2, "PER"], {"start": 2, "end": 3, "label": "LOC"}]}\n', encoding="utf-8"
    )
    gold = ["score", "--gold", tmp_path / "gold.txt", "--gold-scheme", "IOB1", "--json"]
    one = json.loads(harness(*gold, "--pred", tmp_path / "pred.txt", "--pred-scheme", "BIOES", "--pred-column", 1).out)
    two = json.loads(harness(*gold, "--pred", tmp_path / "pred.jsonl").out)
    assert (one["f1"], two["f1"], two["errors"]["label"]) == (100.0, 50.0, 1)


def test_score_takes_characters_on_text(tmp_path: Path, harness: Harness) -> None:
    gold = {"id": 1, "text": "Ann Lee ran.", "spans": [{"start": 0, "end": 7, "label": "PER"}]}
    (tmp_path / "gold.jsonl").write_text(json.dumps(gold), encoding="utf-8")
    pred = {"id": "1", "unit": "characters", "spans": [[0, 6, "PER"], [4, 7, "LOC"], [90, 99, "PER"]]}
    (tmp_path / "pred.jsonl").write_text(json.dumps(pred), encoding="utf-8")
    found = json.loads(
        harness("score", "--gold", tmp_path / "gold.jsonl", "--pred", tmp_path / "pred.jsonl", "--json").out
    )
    assert (found["f1"], found["decoding"]) == (100.0, {"snapped": 1, "outside-sentence": 1, "overlapping": 1})


def test_score_prints_a_table(tmp_path: Path, harness: Harness) -> None:
    path = write_columns(tmp_path / "g.conll", [["B-PER", "I-PER", "O"]])
    result = harness("score", "--gold", path, "--pred", path)
    assert "micro  100.00" in result.out
    assert "span-f1|strict" in result.out


def test_gold_in_json_may_hold_triples_and_its_hash_is_of_its_content(tmp_path: Path, harness: Harness) -> None:
    gold = {"words": ["Ann", "ran"], "spans": [[0, 1, "PER"]]}
    signatures = []
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text(json.dumps(gold), encoding="utf-8")
        found = json.loads(harness("score", "--gold", tmp_path / name, "--pred", tmp_path / name, "--json").out)
        signatures.append(found["signature"].split("gold:")[1])
        assert found["f1"] == 100.0
    assert signatures[0] == signatures[1]


def test_comment_lines_are_left_out_where_they_are_named(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "g.iob2").write_text("# sent_id = 7 of many\n1\tAnn\tB-PER\n", encoding="utf-8")
    files = ["--gold", tmp_path / "g.iob2", "--pred", tmp_path / "g.iob2"]
    assert harness("score", *files).code == 2
    assert "micro  100.00" in harness("score", *files, "--comment", "# ").out


def test_half_characters_in_labels_are_labels(tmp_path: Path, harness: Harness) -> None:
    line = json.dumps({"words": ["a", "b"], "spans": [[0, 1, "\ud800"]]})
    for name in ("gold.jsonl", "pred.jsonl"):
        (tmp_path / name).write_text(line + "\n", encoding="utf-8")
    result = harness("score", "--gold", tmp_path / "gold.jsonl", "--pred", tmp_path / "pred.jsonl")
    assert result.code == 0, result.err
    assert "100.00" in result.out


def test_json_is_json_on_streams_that_lack_characters(tmp_path: Path) -> None:
    (tmp_path / "gold.txt").write_text("Ann B-Größe😀\n", encoding="utf-8")
    command = ["-m", "harness", "score", "--gold", "gold.txt", "--pred", "gold.txt", "--json"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=ascii_only, capture_output=True, check=True)
    assert list(json.loads(done.stdout.decode("ascii"))["labels"]) == ["Größe😀"]
