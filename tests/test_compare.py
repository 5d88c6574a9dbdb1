"""`harness compare` over a real store: the difference, where it lies, and what is no comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result

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
