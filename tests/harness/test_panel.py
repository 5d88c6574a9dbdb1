"""The scorer panel and the grids of masks: numbers that are known from elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from conftest import Result
from harness.decode import decode_tags
from harness.mask_grids import MaskGrid, mask_grids
from harness.outputs import Spans, Tags, Text
from harness.panel import panel
from harness.responses import Format
from harness.spans import Labeled, Sentence, Span

TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=1, max_size=8)


def by_scorer(gold: list[Labeled], outputs: list[Any]) -> dict[str, float]:
    return {line.scorer: line.f1 for line in panel(gold, outputs, None)}


@given(TAGS, st.data())
def test_strict_is_seqevals_and_conlleval_is_its_default(tags: list[str], data: st.DataObject) -> None:
    predicted = data.draw(
        st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=len(tags), max_size=len(tags))
    )
    sentence = Sentence("s", tuple("abcdefgh"[: len(tags)]))
    gold_tags = _valid(tags)
    gold = [Labeled(sentence, decode_tags(gold_tags).spans)]
    found = by_scorer(gold, [Tags(tuple(predicted))])
    assert found["strict"] == pytest.approx(
        100 * float(f1_score([gold_tags], [predicted], mode="strict", scheme=IOB2, zero_division=0))
    )
    assert found["conlleval"] == pytest.approx(100 * float(f1_score([gold_tags], [predicted], zero_division=0)))


def _valid(tags: list[str]) -> list[str]:
    """Tags without what IOB2 forbids."""
    found: list[str] = []
    for tag in tags:
        runs_on = tag.startswith("I-") and found and found[-1][1:] == tag[1:]
        found.append(tag if runs_on or not tag.startswith("I-") else f"B-{tag[2:]}")
    return found


def test_a_bag_of_strings_does_not_ask_where() -> None:
    sentence = Sentence("s", ("Rome", "loves", "Rome"))
    gold = [Labeled(sentence, (Span(0, 1, "LOC"),))]
    found = by_scorer(gold, [Spans((Span(2, 3, "LOC"),))])
    assert (found["strict"], found["string-bag"]) == (0.0, 100.0)
    twice = by_scorer(gold, [Spans((Span(0, 1, "LOC"), Span(2, 3, "LOC")))])
    assert twice["string-bag"] == pytest.approx(100 * 2 / 3)  # the bag counts how often


def test_what_a_model_wrote_beside_the_sentence_is_in_the_bag() -> None:
    gold = [Labeled(Sentence("s", ("Rome",)), (Span(0, 1, "LOC"),))]
    written = Text("Rome:location;Paris:location;Rome:location", Format.LISTING)
    found = {line.scorer: line for line in panel(gold, [written], {"LOC": "location"})}
    assert found["strict"].precision == 100.0  # what could not be placed is a class of items, and no span
    assert found["string-bag"].precision == pytest.approx(100 / 3)


def test_score_prints_the_panel(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "gold").write_text("Ann B-PER\nLee I-PER\nand O\nBob B-PER\n", encoding="utf-8")
    (tmp_path / "pred").write_text("Ann B-PER\nLee I-PER\nand O\nBob I-PER\n", encoding="utf-8")
    result = harness("score", "--gold", tmp_path / "gold", "--pred", tmp_path / "pred", "--panel")
    assert result.code == 0, result.err
    scores = {line.split()[0]: float(line.split()[1]) for line in result.out.splitlines()[1:5]}
    assert scores == {"strict": 66.67, "conlleval": 100.0, "discard": 66.67, "string-bag": 66.67}


def entry(bits: str, f1: float, validation: float | None = None) -> Any:
    title = f"model-unmask-{bits} (lora.r=2)"
    return SimpleNamespace(
        first=SimpleNamespace(title=title), f1=f1, f1s=[f1], validation_f1s=[] if validation is None else [validation]
    )


def grid_of(f1s: dict[str, float], validation: dict[str, float] | None = None) -> MaskGrid:
    [grid] = mask_grids([entry(bits, f1, (validation or {}).get(bits)) for bits, f1 in f1s.items()])
    return grid


def test_the_gain_of_a_group_is_the_paired_test_over_the_other_groups() -> None:
    f1s = {format(i, "04b"): 50 + 3 * (i & 1) - 2 * (i >> 3) + 0.1 * (i % 5) for i in range(16)}
    grid = grid_of(f1s)
    assert grid.name == "model-unmask-**** (lora.r=2)"
    last = [(f1s[bits[:3] + "0"], f1s[bits]) for bits in f1s if bits[3] == "1"]
    gain = grid.gain(3)
    assert gain.pairs == 8
    assert gain.mean == pytest.approx(sum(new - old for old, new in last) / 8)
    assert gain.p == pytest.approx(ttest_rel([new for _, new in last], [old for old, _ in last]).pvalue)
    assert grid.gain(0).mean < 0 < gain.mean
    later = grid.later()
    assert later.pairs == 12 and later.mean > 0 and later.p < 0.05


def test_gray_code_changes_one_group_at_a_time() -> None:
    order = grid_of({format(i, "04b"): float(i) for i in range(16)}).gray()
    assert order[0] == "0000" and len(set(order)) == 16
    assert all(sum(a != b for a, b in zip(one, other, strict=True)) == 1 for one, other in itertools.pairwise(order))


def test_the_mask_is_chosen_by_validation_alone() -> None:
    f1s = {"00": 1.0, "01": 2.0, "10": 3.0, "11": 99.0}
    assert grid_of(f1s).chosen() is None
    assert grid_of(f1s, {"00": 5.0, "01": 9.0, "10": 7.0, "11": 6.0}).chosen() == "01"


def test_equal_gains_have_no_test_and_half_a_grid_is_none() -> None:
    assert math.isnan(grid_of({"00": 1.0, "01": 2.0, "10": 1.0, "11": 2.0}).gain(1).p)
    assert not mask_grids([entry("00", 1.0), entry("01", 1.0), entry("11", 1.0)])
