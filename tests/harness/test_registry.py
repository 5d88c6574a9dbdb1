"""Cards that come with installed packages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result

Harness = Callable[..., Result]


def test_cards_of_installed_packages_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harness: Harness
) -> None:
    (tmp_path / "their_cards").mkdir()
    (tmp_path / "their_cards/__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "their_cards/theirs.toml").write_text('name = "theirs"\nreader = "columns"\n', encoding="utf-8")
    info = tmp_path / "their_cards-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their_cards\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[harness.tasks]\ntheirs = their_cards:theirs\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert "theirs" in [task["task"] for task in json.loads(harness("ls", "tasks", "--json").out)]

    (tmp_path / "second").mkdir()
    info.rename(tmp_path / "second/more_cards-1.dist-info")
    [points] = tmp_path.glob("second/*/entry_points.txt")
    points.write_text("[harness.tasks]\nwnut17 = their_cards:theirs\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "second")
    refused = harness("ls", "tasks")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "two tasks called 'wnut17'" in refused.err and "'their_cards' brings one" in refused.err
