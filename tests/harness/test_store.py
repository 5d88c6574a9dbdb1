"""What a run keeps beside its record; what a store does with runs that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from conftest import Result
from harness import store
from harness.errors import StoreError
from harness.intervals import sums_by_unit
from harness.record import row_to_json
from harness.scoring import Row, row_of
from harness.spans import Span


@pytest.fixture
def rows() -> list[Row]:
    spans = [Span(0, 1, "PER"), Span(2, 4, "LOC")]
    return [row_of("s1", None, spans, spans[:1]), row_of("s2", None, [], spans), row_of("s3", None, spans, [])]


def test_sums_are_read_as_written_and_as_numpy_reads_them(tmp_path: Path, rows: list[Row]) -> None:
    store.write_sums(tmp_path, rows)  # and no rows, which could be summed again
    assert store.read_sums(tmp_path).tolist() == [[2, 1, 1], [0, 2, 0], [2, 0, 0]]
    assert np.array_equal(store.read_sums(tmp_path), np.load(tmp_path / store.SUMS))


@pytest.mark.parametrize("left", [None, b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", "cut"])
def test_sums_that_are_missing_or_broken_come_from_the_rows(
    tmp_path: Path, rows: list[Row], left: bytes | str | None
) -> None:
    store.write_sums(tmp_path, rows)
    path = tmp_path / store.SUMS
    whole = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(whole[:-8] if isinstance(left, str) else left)
    lines = [json.dumps({**row_to_json(row), "split": "test"}) for row in rows]
    (tmp_path / store.ROWS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert np.array_equal(store.read_sums(tmp_path), sums_by_unit(rows))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[]\n", b"{\n", None])
def test_rows_that_are_missing_or_broken_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / store.ROWS).write_bytes(content)
    with pytest.raises(StoreError, match=f"{store.ROWS} is no readable list of rows"):
        store.read_sums(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "", '{"schema"', '{"schema": 1, "task": "../evil"}', '{"schema": 1}'])
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / store.RECORD).write_text(content)
    with pytest.raises(StoreError, match=f"{store.RECORD} is no readable record"):
        store.read_record(tmp_path)


def test_all_who_see_a_store_agree_on_its_mark(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        marks = set(threads.map(lambda _: store.Store(tmp_path).mark(), range(32)))
    assert len(marks) == 1
    assert store.Store(tmp_path).has_mark(marks.pop()) and not store.Store(tmp_path / "other").has_mark("")


def test_a_broken_run_of_another_seed_stops_no_run_but_is_said(tmp_path: Path, harness: Callable[..., Result]) -> None:
    run = ("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path)
    expected = harness(*run).out
    [whole] = tmp_path.glob("lookright/*/*/seed-120")
    broken = whole.with_name("seed-121") / "record.json"
    broken.parent.mkdir()
    broken.write_text("{", encoding="utf-8")
    again = harness(*run)
    assert (again.code, again.out, str(broken) in again.err) == (0, expected, True)
    (whole / "record.json").write_text("{", encoding="utf-8")
    asked = harness(*run)
    assert (asked.code, str(whole) in asked.err) == (2, True)
