"""`harness compare` over a real store: the difference, where it lies, and what is no comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result
from test_cli import tiny

Harness = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, harness: Harness) -> Path:
    harness("run", "-s", "gazetteer", "-s", "oracle", "-t", "lookright", "--limit", 90, "--runs", tmp_path / "runs")
    return tmp_path / "runs"


def test_the_difference_is_the_boards(store: Path, harness: Harness) -> None:
    found = json.loads(harness("compare", "gazetteer", "oracle", "-t", "lookright", "--runs", store, "--json").out)
    assert found["f1"][1] == 100
    assert found["difference"] == pytest.approx(100 - found["f1"][0])
    assert found["interval"][0] <= found["difference"] <= found["interval"][1] + 1e-9
    assert found["p"] == pytest.approx(1 / 10_001)
    assert {one["better"] for one in found["sentences"]} == {"oracle"}
    for one in found["sentences"]:
        assert one["said"][1] == one["gold"]
    back = json.loads(harness("compare", "oracle", "gazetteer", "-t", "lookright", "--runs", store, "--json").out)
    assert back["difference"] == -found["difference"]
    [board] = json.loads(harness("leaderboard", "--runs", store, "--out", store, "--json").out)["lookright"].values()
    assert [line["f1"] for line in board] == [found["f1"][1], found["f1"][0]]
    assert [line["group"] for line in board] == ["–", "a"]


def test_people_can_read_it(store: Path, harness: Harness) -> None:
    result = harness("compare", "gazetteer", "oracle", "-t", "lookright", "--runs", store)
    assert result.code == 0
    assert "difference +" in result.out
    assert "p = 0.0001" in result.out
    assert "oracle is better" in result.out


def test_a_system_does_not_differ_from_itself(store: Path, harness: Harness) -> None:
    found = json.loads(harness("compare", "gazetteer", "gazetteer", "-t", "lookright", "--runs", store, "--json").out)
    assert (found["difference"], found["p"], found["sentences"]) == (0, 1, [])


def test_what_is_no_comparison_is_refused(store: Path, harness: Harness) -> None:
    unknown = harness("compare", "gazeteer", "oracle", "-t", "lookright", "--runs", store)
    assert unknown.code == 2
    assert "gazetteer" in unknown.err
    other = harness("compare", "gazetteer", "oracle", "-t", "wnut17", "--runs", store)
    assert other.code == 2
    assert "no finished run" in other.err
    harness("run", "-s", "gazetteer", "-t", "lookright", "--limit", 60, "--runs", store / "apart")
    harness("run", "-s", "oracle", "-t", "lookright", "--limit", 90, "--runs", store / "apart")
    apart = harness("compare", "gazetteer", "oracle", "-t", "lookright", "--runs", store / "apart")
    assert apart.code == 2
    assert "share no board" in apart.err


def test_runs_with_several_seeds(tiny_decoder: Path, tmp_path: Path, harness: Harness) -> None:
    """Their mean is compared, and a store without its data at hand shows places for words."""
    systems = ["-s", "smollm2-unmask-00", "-s", "smollm2-unmask-11", "--seeds", "3"]
    ran = harness("run", *systems, "-t", "lookright", "--runs", tmp_path / "runs", *tiny(tiny_decoder))
    assert ran.code == 0, ran.err
    [board] = json.loads(
        harness("leaderboard", "--runs", tmp_path / "runs", "--out", tmp_path, "--json").out
    )["lookright"].values()  # fmt: skip
    best, other = (line["system"] for line in board)
    found = json.loads(harness("compare", other, best, "-t", "lookright", "--runs", tmp_path / "runs", "--json").out)
    assert found["seeds"] == [3, 3]
    assert found["difference"] == pytest.approx(board[0]["f1"] - board[1]["f1"])
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    same = json.loads(harness("compare", best, best, "-t", "lookright", "--runs", tmp_path / "runs", "--json").out)
    assert same["sentences"] == []


def test_the_same_sentences_in_other_documents_are_another_board(tmp_path: Path, harness: Harness) -> None:
    sentences = [f"Ann{i} x x I-PER\nsaw x x O\nRome x x I-LOC\n" for i in range(6)]
    for folder, mark in (("plain", ""), ("documents", "-DOCSTART- -X- O O\n\n")):
        (tmp_path / folder).mkdir()
        text = "\n".join(mark * (i % 2 == 0) + sentence for i, sentence in enumerate(sentences))
        for name in ("eng.train", "eng.testa", "eng.testb"):
            (tmp_path / folder / name).write_text(text, encoding="utf-8")
    runs = tmp_path / "runs"
    harness("run", "-s", "gazetteer", "-t", "ner", "--data", tmp_path / "plain", "--runs", runs)
    harness("run", "-s", "oracle", "-t", "ner", "--data", tmp_path / "documents", "--runs", runs)
    boards = json.loads(harness("leaderboard", "--runs", runs, "--out", tmp_path, "--json").out)["ner"]
    assert ["|units:" in line for line in boards] == [False, True]
    refused = harness("compare", "gazetteer", "oracle", "-t", "ner", "--runs", runs)
    assert refused.code == 2
    assert "share no board" in refused.err


def test_a_comparison_needs_no_data(tmp_path: Path, harness: Harness) -> None:
    text = "\n".join(f"Ann{i} x x I-PER\nsaw x x O\nRome x x I-LOC\n" for i in range(6))
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text(text.replace("Ann", "Bob" if name == "eng.testb" else "Ann"), encoding="utf-8")
    runs = tmp_path / "runs"
    harness("run", "-s", "gazetteer", "-s", "oracle", "-t", "ner", "--data", tmp_path, "--runs", runs)
    with_data = harness("compare", "gazetteer", "oracle", "-t", "ner", "--runs", runs, "--data", tmp_path)
    (tmp_path / "eng.testb").write_text("broken", encoding="utf-8")
    for data in ([], ["--data", tmp_path]):
        without = harness("compare", "gazetteer", "oracle", "-t", "ner", "--runs", runs, *data)
        assert without.code == 0
        assert without.out.splitlines()[:9] == with_data.out.splitlines()[:9]
        assert "shows the sentences and their gold" in without.out
    for path in runs.glob("*/*/*/*/predictions.jsonl"):
        path.write_text('{"id"', encoding="utf-8")
    refused = harness("compare", "gazetteer", "oracle", "-t", "ner", "--runs", runs)
    assert (refused.code, "is no readable list of predictions" in refused.err) == (2, True)
