"""The tasks on real data, where it is at hand, and the counts that their publishers give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Result
from harness.dataset import load_dataset
from harness.decode import decode
from harness.outputs import Text
from harness.responses import Format, names_of, write
from harness.task import task_card

FOLDERS = {
    "wnut17": "wnut17", "tsa-md": "tsa_md", "geneva": "geneva", "litbank-events": "litbank_events", "uner-ewt": "uner_en_ewt",
}  # fmt: skip


def options(shared_data: Path, task: str) -> list[str]:
    extra = ["--set", 'files.train=["dev.iob2"]'] if task == "uner-ewt" else []  # its train is not among the data
    return ["--task", task, "--data", str(shared_data / FOLDERS[task]), *extra]


def checked(harness: Callable[..., Result], *arguments: str) -> dict[str, Any]:
    result = harness("check", *arguments, "--json")
    assert result.code == 0, result.err
    (content,) = json.loads(result.out)["tasks"].values()
    return content["splits"]


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("wnut17", {"train": (3394, 1975), "validation": (1009, 836), "test": (1287, 1079)}),
        ("uner-ewt", {"validation": (2001, 966), "test": (2077, 1088)}),
        ("geneva", {"train": (564, 1200), "validation": (783, 1442), "test": (933, 1893)}),
        ("tsa-md", {"test": (191, 311)}),
    ],
)
def test_published_counts_come_out(
    task: str, counts: dict[str, tuple[int, int]], shared_data: Path, harness: Callable[..., Result]
) -> None:
    splits = checked(harness, *options(shared_data, task))
    for name, (sentences, spans) in counts.items():
        split = splits[name]
        assert (split["sentences"], split["spans"] + split["changes"].get("overlapping", 0)) == (sentences, spans)
        assert split.get("as_published", True)


def test_sentences_that_stand_in_train_as_well_are_counted(
    shared_data: Path, tmp_path: Path, harness: Callable[..., Result]
) -> None:
    splits = checked(harness, *options(shared_data, "geneva"))
    assert [split["also_in_train"] for split in splits.values()] == [None, 120, 165]
    assert harness("run", "-s", "gazetteer", *options(shared_data, "geneva"), "--runs", tmp_path / "runs").code == 0
    assert harness("leaderboard", "--runs", tmp_path / "runs", "--out", tmp_path / "out", "--no-figures").code == 0
    facts = "train 564, validation 783 (120 of them in train as well), test 933 (165 of them in train as well)."
    assert facts in (tmp_path / "out" / "geneva.md").read_text(encoding="utf-8")
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text(CONLL, encoding="utf-8")
    (tmp_path / "eng.testb").write_text(CONLL.replace("rejects", "rejected"), encoding="utf-8")
    splits = checked(harness, "--task", "ner", "--data", str(tmp_path))
    assert [split["also_in_train"] for split in splits.values()] == [None, 3, 2]


def test_held_out_splits_are_whole_and_apart(shared_data: Path, harness: Callable[..., Result]) -> None:
    splits = checked(harness, *options(shared_data, "litbank-events"))
    assert sum(split["sentences"] for split in splits.values()) == 8562
    assert sum(split["spans"] for split in splits.values()) == 7849
    assert [split["documents"] for split in splits.values()] == [80, 10, 10]
    assert all(split["spans_by_label"] == {"EVENT": split["spans"]} for split in splits.values())
    reviews = checked(harness, *options(shared_data, "tsa-md"))
    assert (reviews["train"]["sentences"] + reviews["validation"]["sentences"], reviews["validation"]["sentences"]) == (
        761,
        76,
    )


@pytest.mark.parametrize("task", FOLDERS)
def test_the_oracle_reaches_100_on_real_data(
    task: str, shared_data: Path, tmp_path: Path, harness: Callable[..., Result]
) -> None:
    result = harness("run", "-s", "oracle", *options(shared_data, task), "--runs", tmp_path, "--json")
    scores = json.loads(result.out)[0]["scores"]
    assert {split: score["f1"] for split, score in scores.items()} == {"validation": 100.0, "test": 100.0}
    assert not scores["test"]["decoding"]


CONLL = """\
-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

Rome NNP I-NP I-LOC
Paris NNP B-NP B-LOC
"""


def test_conll_2003s_own_files_are_counted_by_label(tmp_path: Path, harness: Callable[..., Result]) -> None:
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text(CONLL, encoding="utf-8")
    for split in checked(harness, "--task", "ner", "--data", str(tmp_path)).values():
        assert (split["sentences"], split["words"], split["documents"], split["spans"]) == (3, 8, 2, 5)
        assert split["spans_by_label"] == {"LOC": 2, "ORG": 1, "MISC": 1, "PER": 1}
        assert (split["changes"], split["as_published"]) == ({}, False)
    chunks = checked(harness, "--task", "chunking", "--data", str(tmp_path))
    assert chunks["test"]["spans_by_label"] == {"NP": 5, "VP": 1}


def test_data_is_found_by_task_under_harness_data(
    tmp_path: Path, harness: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ner").mkdir()
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / "ner" / name).write_text(CONLL, encoding="utf-8")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    assert "as published" in harness("check", "--task", "ner").out


def test_a_word_more_changes_the_hash(tmp_path: Path, harness: Callable[..., Result]) -> None:
    hashes = []
    for text in (CONLL, CONLL.replace("rejects", "rejected")):
        for name in ("eng.train", "eng.testa", "eng.testb"):
            (tmp_path / name).write_text(text, encoding="utf-8")
        hashes.append(checked(harness, "--task", "ner", "--data", str(tmp_path))["test"]["hash"])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("format", list(Format))
@pytest.mark.parametrize("task", ["lookright", *FOLDERS])
def test_no_format_loses_any_gold(task: str, format: Format, shared_data: Path) -> None:
    """The oracle's ceiling is 100 on every split: each response that the gold makes is read as the gold."""
    changed = {"files.train": ["dev.iob2"]} if task == "uner-ewt" else {}
    dataset = load_dataset(task_card(task, changed), shared_data / FOLDERS[task] if task in FOLDERS else None)
    names = names_of(dataset.labels)
    for split in dataset.splits.values():
        for one in split.sentences:
            response = write(one.spans, one.sentence, names, format)
            assert decode(Text(response, format), one.sentence, dataset.labels).spans == one.spans
