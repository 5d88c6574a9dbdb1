"""What a task's card says of its files is taken at its word, or refused in one paragraph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result
from test_bad_input import CARD, GOOD, refused


def test_patterns_of_files_must_stay_in_their_folder(tmp_path: Path, harness: Callable[..., Result]) -> None:
    text = CARD.format(reader="columns", options="").replace('"train.txt"', '"/etc/*.conf"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    refused(harness("check", "-t", tmp_path / "mine.toml", "--data", tmp_path), ["/etc/*.conf", "relative"])


def test_names_of_cards_cannot_leave_their_folder(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "mine.toml").write_text('name = "../evil"\nreader = "columns"\n', encoding="utf-8")
    refused(harness("check", "-t", tmp_path / "mine.toml"), ["../evil"])


def test_patterns_of_files_are_alternatives(tmp_path: Path, harness: Callable[..., Result]) -> None:
    card = CARD.format(reader="columns", options="").replace('["train.txt"]', '["train.txt", "more.txt", "trai*.txt"]')
    (tmp_path / "mine.toml").write_text(card, encoding="utf-8")
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text(GOOD, encoding="utf-8")
    check = ("check", "--task", tmp_path / "mine.toml", "--data", tmp_path)
    assert harness(*check).code == 0
    (tmp_path / "more.txt").write_text(GOOD, encoding="utf-8")
    refused(harness(*check), ["'train.txt' and 'more.txt'", "alternatives", str(tmp_path)])


def test_files_of_a_split_that_is_held_out_are_refused(tmp_path: Path, harness: Callable[..., Result]) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(reader="columns", options="").replace("validation = 0.5", ""), encoding="utf-8")
    for name in ("train", "test", "dev"):
        (tmp_path / f"{name}.txt").write_text(GOOD, encoding="utf-8")
    check = ("check", "--task", card, "--data", tmp_path, "--set")
    assert harness(*check, 'files.validation=["dev.txt"]').code == 0
    assert harness(*check, "holdout.validation=0.5").code == 0
    refused(
        harness(*check, 'files.validation=["dev.txt"]', "--set", "holdout.validation=0.5"), ["validation has files"]
    )


def test_splits_come_from_one_folder(
    tmp_path: Path, harness: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(reader="columns", options=""), encoding="utf-8")
    (tmp_path / "old" / "mine").mkdir(parents=True)
    (tmp_path / "new").mkdir()
    for path in ("new/train.txt", "old/mine/train.txt", "old/mine/test.txt"):
        (tmp_path / path).write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "old"))
    assert harness("check", "--task", card).code == 0
    refused(harness("check", "--task", card, "--data", tmp_path / "new"), ["missing: test: test.txt"])


def test_no_task_is_called_as_the_page_of_all_boards(tmp_path: Path, harness: Callable[..., Result]) -> None:
    text = CARD.format(reader="columns", options="").replace('"mine"', '"index"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    refused(harness("check", "--task", tmp_path / "mine.toml", "--data", tmp_path), ["mine.toml", "called index"])


def test_patterns_of_files_must_be_patterns(tmp_path: Path, harness: Callable[..., Result]) -> None:
    text = CARD.format(reader="columns", options="").replace('"train.txt"', '"**.txt"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    refused(harness("check", "-t", tmp_path / "mine.toml", "--data", tmp_path), ["'**.txt'", "names no files"])


def test_a_split_without_files_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    text = CARD.format(reader="columns", options="").replace("validation = 0.5", "")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    refused(
        harness("check", "-t", tmp_path / "mine.toml", "--data", tmp_path), ["files.validation or holdout.validation"]
    )
