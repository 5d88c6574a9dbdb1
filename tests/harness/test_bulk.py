"""Files scored as arrays: the same numbers as sentence by sentence, and nothing at all where files are not plain."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import bulk
from harness.bulk import score_columns
from harness.commands.judge_files import judged
from harness.commands.score import ScoreOptions
from harness.decode import Policy
from harness.errors import UserError
from harness.protocol import SplitScore

LABELS = ("PER", "LOC", "a-very-long-label-of-23-x", "é")
TAGS = ("O", *(f"{letter}-{label}" for label in LABELS for letter in "BI"))


def options(gold: Path, pred: Path) -> ScoreOptions:
    return ScoreOptions(gold, pred, "IOB2", "IOB2", -1, -1, "white-space", "", "strict", False)


def write(path: Path, sentences: list[list[str]], middle: str = "", blank: str = "\n") -> Path:
    lines = ["".join(f"w{i}ü{middle} {tag}\n" for i, tag in enumerate(tags)) for tags in sentences]
    path.write_text(blank.join(lines), encoding="utf-8")
    return path


def said(result: tuple[SplitScore, dict[str, int]] | None) -> str | None:
    """Everything that is printed of a result, in its order."""
    return json.dumps([asdict(result[0]), result[1]]) if result else None


def noisy(draw: random.Random, tags: list[str], noise: float) -> list[str]:
    return [draw.choice(TAGS) if draw.random() < noise else tag for tag in tags]


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.CONLLEVAL])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("piece", [1, 50, 2**20])
def test_arrays_and_sentences_score_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy, noise: float, piece: int
) -> None:
    monkeypatch.setattr(bulk, "_PIECE", piece)
    draw = random.Random(f"{policy}{noise}")
    for number in range(40):
        gold = [[draw.choice(TAGS) for _ in range(draw.randint(1, 12))] for _ in range(draw.randint(1, 30))]
        predicted = [noisy(draw, tags, noise) for tags in gold]
        middle, blank = draw.choice(["", "\tNN x"]), draw.choice(["\n", "\n\n"])
        paths = (
            write(tmp_path / "g.conll", gold, middle, blank),
            write(tmp_path / "p.conll", predicted, draw.choice(["", " y"]), draw.choice(["\n", "\n\n\n"])),
        )
        found = score_columns(*paths, policy)
        assert found and said(found) == said(judged(options(*paths), policy)), number


def test_all_outside_scores_alike(tmp_path: Path) -> None:
    paths = write(tmp_path / "g.conll", [["O", "O"]]), write(tmp_path / "p.conll", [["O", "B-PER"]])
    for gold, pred in (paths, (paths[0], paths[0]), paths[::-1]):
        assert score_columns(gold, pred, Policy.STRICT) == judged(options(gold, pred), Policy.STRICT)


LINES = (
    "\n",
    "a O\n",
    "b B-X\n",
    "b I-X\n",
    "a I-Y\n",
    "c\tB-Y\n",
    "a x O\n",
    "a X\n",
    "aO\n",
    " a O\n",
    "a O \n",
    "é B-é\n",
)


@pytest.mark.parametrize("piece", [1, 2**20])
@given(lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=8), end=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_of_any_lines_score_alike_or_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, lines: list[str], end: bool
) -> None:
    monkeypatch.setattr(bulk, "_PIECE", piece)
    path = tmp_path / "g.conll"
    path.write_text("".join(lines)[: None if end else -1], encoding="utf-8")
    try:
        expected = said(judged(options(path, path), Policy.STRICT))
    except UserError:
        expected = None
    found = said(score_columns(path, path, Policy.STRICT))
    assert found in (expected, None)
    plain = all(line in LINES[:5] for line in lines) and any(line != "\n" for line in lines)
    assert found or not plain


@pytest.mark.parametrize("piece", [1, 2**20])
@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n", "a O\r\nb O\r\n", "a\u00a0b O\n", "-DOCSTART- O\n\na O\n", "a  O\n", " a O\n", "a O \n", "a O\nb\n",
        "a O\nb x O\n", "a O\n\nb x O\n", "a O\n\nb\n", "a X\n", "a o\n", "a B_PER\n", "a S-PER\n", "a -PER\n", "\ufeffa O\n", "a\u2003 O\n", "a O\n \nb O\n", "a\x0b O\n",
        f"a B-{'x' * 40}\n", "aO\n",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, piece: int
) -> None:
    monkeypatch.setattr(bulk, "_PIECE", piece)
    odd, plain = tmp_path / "odd.conll", tmp_path / "plain.conll"
    odd.write_bytes(text.encode())
    plain.write_text("a O\n", encoding="utf-8")
    assert score_columns(odd, plain, Policy.STRICT) is None
    assert score_columns(plain, odd, Policy.STRICT) is None


def test_other_words_bytes_and_kinds_of_file_are_left_too(tmp_path: Path) -> None:
    plain, other = tmp_path / "a.conll", tmp_path / "b.conll"
    plain.write_text("a O\nb O\n", encoding="utf-8")
    for content in (b"a O\nc O\n", b"a O\n\nb O\n", b"a O\nb O\nc O\n", b"a O\n\xff O\n"):
        other.write_bytes(content)
        assert score_columns(plain, other, Policy.STRICT) is None
    assert score_columns(plain, tmp_path / "none.conll", Policy.STRICT) is None
    assert score_columns(tmp_path / ("a" * 300), plain, Policy.STRICT) is None
    os.mkfifo(tmp_path / "pipe")
    assert score_columns(plain, tmp_path / "pipe", Policy.STRICT) is None  # left unread
    assert score_columns(plain, plain, Policy.DISCARD) is None
    assert score_columns(plain, plain, Policy.STRICT) is not None
