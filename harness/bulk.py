"""Two column files scored as arrays: the plain case of `harness score`, in a small part of the time.

Gives exactly what reading, decoding and judging sentence by sentence gives, or nothing: files with anything out of the
ordinary (other schemes, comments, documents, irregular columns, mistakes) are left to that way, which also says what is
wrong and where. Suffixes of names: W words, S spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness.breakdown import ERRORS, errors
from harness.dataset import digest_of_gold
from harness.decode import Policy
from harness.intervals import interval_of_sums
from harness.protocol import LENGTHS, SplitScore, signature, summed
from harness.schemes import OUTSIDE, Scheme, split_tag
from harness.scoring import Counts, Score
from harness.spans import Span

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_LONGEST_TAG = 32  # bytes
_UNUSUAL = (b"\r", b"-DOCSTART-", *(bytes([code]) for code in (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x1F)))
_UNUSUAL_SPACES = tuple(  # what str.isspace knows beyond ASCII, and the byte-order mark
    chr(code).encode()
    for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)
)
_MASKS = np.array([2 ** (8 * size) - 1 for size in range(9)], dtype=np.uint64)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_O, _B = 0, 1  # places in the letters of IOB2


@dataclass(frozen=True, slots=True)
class Columns:
    """A column file: its words as text, a line each and an empty line after each sentence; its tags; its sentences."""

    words: bytes
    sentence_W: Array  # number of the sentence
    first_W: Array  # whether a word begins its sentence
    letter_W: Array
    label_W: Array  # number in `labels`, -1 outside
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of a file: words counted over the whole file, labels by number."""

    start_S: Array
    end_S: Array
    label_S: Array
    violations: Counter[str]


def score_columns(gold: Path, pred: Path, policy: Policy) -> tuple[SplitScore, dict[str, int]] | None:
    """The scores of two files in IOB2, and what was repaired in the gold; None where they are not the plain case."""
    if policy is Policy.DISCARD:
        return None
    with ThreadPoolExecutor(2) as threads:
        read, predicted = threads.map(_read, (gold, pred))
    if read is None or predicted is None or read.words != predicted.words:
        return None
    labels = sorted({*read.labels, *predicted.labels})
    golds, preds = _spans(read, labels, policy), _spans(predicted, labels, policy)
    changes = {f"repaired-{name}": count for name, count in golds.violations.items()}
    sentences = int(read.sentence_W[-1]) + 1
    digest = digest_of_gold(read.words, golds.start_S, golds.end_S, [labels[i] for i in golds.label_S.tolist()])
    found_S = _same(golds, preds)  # of the gold's spans, which are predicted
    hit_S = _same(preds, golds)  # of the predicted ones, which are right
    by_sentence = [
        np.bincount(read.sentence_W[starts], minlength=sentences)
        for starts in (golds.start_S, preds.start_S, golds.start_S[found_S])
    ]
    by_label = [
        np.bincount(numbers, minlength=len(labels)).tolist()
        for numbers in (golds.label_S, preds.label_S, golds.label_S[found_S])
    ]
    counts = {label: Counts(*row) for label, row in zip(labels, zip(*by_label, strict=True), strict=True)}
    used = {label: one for label, one in counts.items() if one.gold or one.predicted}
    score = Score(sum(used.values(), Counts()), used, _lengths(golds, preds, found_S))
    kinds = _errors(read, labels, golds, preds, found_S, hit_S)
    interval = interval_of_sums(np.stack(by_sentence, 1))
    line = signature(gold.stem, digest, policy)
    return summed(score, line, sentences, len(read.sentence_W), interval, kinds, preds.violations), changes


def _read(path: Path) -> Columns | None:
    """The columns of a regular file: words first, tags last, one separator between any two fields."""
    if path.suffix in (".json", ".jsonl"):
        return None
    try:
        data = path.read_bytes()
        _ = data.isascii() or data.decode()
    except (OSError, UnicodeDecodeError):
        return None
    unusual = _UNUSUAL if data.isascii() else _UNUSUAL + _UNUSUAL_SPACES
    if not data or any(text in data for text in unusual):
        return None
    data += b"\n" * (not data.endswith(b"\n"))
    bytes_ = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(bytes_ == 10)
    starts = np.concatenate([[0], ends[:-1] + 1])
    full = ends > starts
    separators = np.flatnonzero((bytes_ == 32) | (bytes_ == 9))
    start_W, end_W = starts[full], ends[full]
    fields = len(separators) // len(start_W) if len(start_W) else 0
    if not fields or fields * len(start_W) != len(separators):
        return None
    at = separators.reshape(len(start_W), fields)
    inside = (at[:, 0] > start_W).all() and (at[:, -1] < end_W - 1).all() and (np.diff(at, axis=1) > 1).all()
    tags = _tags(data, at[:, -1] + 1, end_W) if inside else None
    if tags is None:
        return None
    gap_W = np.cumsum(~full)[full]
    first_W = np.concatenate([[True], gap_W[1:] != gap_W[:-1]])
    return Columns(_words(bytes_, start_W, at[:, 0], end_W, first_W), np.cumsum(first_W) - 1, first_W, *tags)


def _words(bytes_: Array, start_W: Array, stop_W: Array, end_W: Array, first_W: Array) -> bytes:
    """The words alone, each with the end of its line, and the empty line after each sentence."""
    steps = np.zeros(len(bytes_) + 2, dtype=np.int8)
    steps[start_W] += 1
    steps[stop_W] -= 1
    kept = np.cumsum(steps, dtype=np.int8)[: len(bytes_)].astype(bool)
    kept[end_W] = True
    after = end_W[:-1][first_W[1:]] + 1  # the line end of the empty line behind a sentence
    kept[after] = True
    text: bytes = bytes_[kept].tobytes()
    return text + b"\n"


def _tags(data: bytes, start_W: Array, end_W: Array) -> tuple[Array, Array, tuple[str, ...]] | None:
    """Letters, numbers of labels, and the labels; None for a tag that is none of IOB2's."""
    size_W = end_W - start_W
    if int(size_W.max()) > _LONGEST_TAG:
        return None
    padded = data + bytes(_LONGEST_TAG)
    eights = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
    values = [_eight(eights, start_W, size_W, done) for done in range(0, int(size_W.max()), 8)]
    code_W = values[0]
    for value in values[1:]:
        code_W = code_W * _MIX ^ value
    kinds = np.unique(code_W)
    kind_W = np.searchsorted(kinds, code_W)
    example = np.empty(len(kinds), dtype=np.int64)
    example[kind_W] = np.arange(len(kind_W))
    if not all(np.array_equal(value, value[example][kind_W]) for value in values):
        return None  # two tags of one code, which is next to impossible
    tags = [data[start_W[i] : end_W[i]].decode() for i in example.tolist()]
    try:
        split = [split_tag(tag, Scheme.IOB2) for tag in tags]
    except ValueError:
        return None
    labels = tuple(sorted({label for _, label in split if label}))
    letters = np.array([(OUTSIDE, "B", "I").index(letter) for letter, _ in split], dtype=np.int8)
    numbers = np.array([labels.index(label) if label else -1 for _, label in split])
    return letters[kind_W], numbers[kind_W], labels


def _eight(eights: Array, start_W: Array, size_W: Array, done: int) -> Array:
    """Eight bytes of each tag as a number, behind the first `done`; what is over its end is 0."""
    value: Array = eights[start_W + done] & _MASKS[np.clip(size_W - done, 0, 8)]
    return value


def _spans(read: Columns, labels: Sequence[str], policy: Policy) -> Spans:
    """What `harness.schemes.chunks` finds in IOB2, kept by `strict` or `conlleval`."""
    number = np.array([*(labels.index(label) for label in read.labels), -1])
    label_W, letter_W = number[read.label_W], read.letter_W
    before_W = np.where(read.first_W, _O, np.roll(letter_W, 1))
    begins_W = (letter_W != _O) & ((before_W == _O) | (letter_W == _B) | (label_W != np.roll(label_W, 1)))
    starts = np.flatnonzero(begins_W)
    borders = np.append(np.flatnonzero(begins_W | (letter_W == _O) | read.first_W), len(letter_W))
    ends = borders[np.searchsorted(borders, starts, side="right")]
    wrong = letter_W[starts] != _B
    changed = wrong & (before_W[starts] != _O)
    found = {"label-change": int(changed.sum()), "no-begin": int((wrong & ~changed).sum())}
    keep = ~wrong if policy is Policy.STRICT else np.ones(len(starts), dtype=bool)
    violations = Counter({name: count for name, count in found.items() if count})
    return Spans(starts[keep], ends[keep], label_W[starts[keep]], violations)


def _same(spans: Spans, others: Spans) -> Array:
    """Of each span, whether it is among the others."""
    if not len(others.start_S):
        return np.zeros(len(spans.start_S), dtype=bool)
    at = np.minimum(np.searchsorted(others.start_S, spans.start_S), len(others.start_S) - 1)
    same: Array = (
        (others.start_S[at] == spans.start_S)
        & (others.end_S[at] == spans.end_S)
        & (others.label_S[at] == spans.label_S)
    )
    return same


def _touches(spans: Spans, chosen: Array, others: Spans) -> Array:
    """Of each of `others`, whether it overlaps one of the chosen spans."""
    starts = np.append(spans.start_S[chosen], np.iinfo(np.int64).max)
    at = np.searchsorted(spans.end_S[chosen], others.start_S, side="right")  # the first that ends behind its start
    touched: Array = starts[at] < others.end_S
    return touched


def _lengths(golds: Spans, preds: Spans, found_S: Array) -> dict[str, Counts]:
    size_S = golds.end_S - golds.start_S
    slices = {}
    for low, high, name in LENGTHS:
        chosen = (size_S >= low) & (size_S <= high)
        if chosen.any():
            overlapping = int(_touches(golds, chosen, preds).sum())
            slices[f"length:{name}"] = Counts(int(chosen.sum()), overlapping, int((chosen & found_S).sum()))
    return slices


def _errors(
    read: Columns, labels: Sequence[str], golds: Spans, preds: Spans, found_S: Array, hit_S: Array
) -> Counter[str]:
    """Counts by class. Only spans that overlap a wrong one need to be looked at one by one."""
    same_words = Spans(preds.start_S, preds.end_S, np.zeros_like(preds.label_S), Counter())
    unlabeled = Spans(golds.start_S, golds.end_S, np.zeros_like(golds.label_S), Counter())
    relabeled_S = _same(unlabeled, same_words) & ~found_S
    mislabel_S = _same(same_words, unlabeled) & ~hit_S
    left_gold, left_pred = ~found_S & ~relabeled_S, ~hit_S & ~mislabel_S
    near_gold = left_gold & _touches(preds, left_pred, golds)
    near_pred = left_pred & _touches(golds, left_gold, preds)
    kinds: Counter[str] = Counter(dict.fromkeys(ERRORS, 0))
    kinds["label"] = int(mislabel_S.sum())
    kinds["missed"] = int((left_gold & ~near_gold).sum())
    kinds["spurious"] = int((left_pred & ~near_pred).sum())
    for gold, predicted in _by_sentence(read, labels, golds, near_gold, preds, near_pred):
        kinds.update(errors(gold, predicted))
    return kinds


def _by_sentence(
    read: Columns, labels: Sequence[str], golds: Spans, near_gold: Array, preds: Spans, near_pred: Array
) -> list[tuple[list[Span], list[Span]]]:
    found: dict[int, tuple[list[Span], list[Span]]] = {}
    for side, (spans, chosen) in enumerate(((golds, near_gold), (preds, near_pred))):
        numbers = read.sentence_W[spans.start_S[chosen]].tolist()
        values = zip(*(a[chosen].tolist() for a in (spans.start_S, spans.end_S, spans.label_S)), strict=True)
        for sentence, (start, end, label) in zip(numbers, values, strict=True):
            found.setdefault(sentence, ([], []))[side].append(Span(start, end, labels[label]))
    return list(found.values())
