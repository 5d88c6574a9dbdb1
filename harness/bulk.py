"""Two column files scored as arrays: the plain case of `harness score`, in a small part of the time.

Gives exactly what reading, decoding and judging sentence by sentence gives, or nothing: files with anything out of the
ordinary (other schemes, comments, documents, irregular columns, mistakes) are left to that way, which also says what is
wrong and where. Suffixes of names: L lines, W words, N sentences, T words with a tag that is not O, S spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness.breakdown import ERRORS, errors
from harness.decode import Policy
from harness.gold import digest_of_gold
from harness.intervals import interval_of_sums
from harness.protocol import LENGTHS, SplitScore, signature, summed
from harness.schemes import OUTSIDE, Scheme, split_tag
from harness.scoring import Counts, Score
from harness.spans import Span

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_LONGEST_TAG = 32  # bytes
_PIECE = 2**19  # bytes of a file, at least
_UNUSUAL_SPACES = tuple(  # what str.isspace knows beyond ASCII, and the byte-order mark
    chr(code).encode()
    for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)
)
_MASKS = np.array([2 ** (8 * size) - 1 for size in range(9)], dtype=np.uint64)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole sentences of a column file, as `Columns` has them. `fields`: separators of a line."""

    words: bytes
    fields: int
    first_W: Array  # whether a word begins its sentence
    tagged_T: Array  # the word
    kind_T: Array  # number in `tags`
    tags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Columns:
    """A column file: its words as text, a line each and an empty one after a sentence; its tags that are not O."""

    words: bytes
    count: int  # of words
    begin_N: Array  # the first word of each sentence
    at_T: Array  # the word
    follows_T: Array  # whether the word before it is of the same sentence and has a tag too
    letter_T: Array  # B or I, as the byte
    label_T: Array  # number in `labels`
    labels: tuple[str, ...]

    def sentence(self, word_S: Array) -> Array:
        """The numbers of the sentences of words."""
        numbers: Array = np.searchsorted(self.begin_N, word_S, side="right") - 1
        return numbers


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
        pieces, others = _read(gold, threads), _read(pred, threads)  # both at once
        read, predicted = _columns(pieces), _columns(others)
    if read is None or predicted is None or read.words != predicted.words:
        return None
    labels = sorted({*read.labels, *predicted.labels})
    golds, preds = _spans(read, labels, policy), _spans(predicted, labels, policy)
    changes = {f"repaired-{name}": count for name, count in sorted(golds.violations.items())}
    sentences = len(read.begin_N)
    digest = digest_of_gold(read.words, golds.start_S, golds.end_S, [labels[i] for i in golds.label_S.tolist()])
    found_S = _same(golds, preds)  # of the gold's spans, which are predicted
    hit_S = _same(preds, golds)  # of the predicted ones, which are right
    by_sentence = [
        np.bincount(read.sentence(starts), minlength=sentences)
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
    return summed(score, line, sentences, read.count, interval, kinds, preds.violations), changes


def _read(path: Path, threads: ThreadPoolExecutor) -> Iterator[Piece | None]:
    """The pieces of a file, each of whole sentences and small enough for a processor's cache; None for what is odd."""
    try:
        plain = path.is_file() and path.suffix not in (".json", ".jsonl")  # what is no file could be read but once
        data = path.read_bytes() if plain else b""
        _ = data.isascii() or data.decode()
    except (OSError, UnicodeDecodeError):
        data = b""
    odd = (b"-DOCSTART-",) if data.isascii() else (b"-DOCSTART-", *_UNUSUAL_SPACES)
    if not data or any(text in data for text in odd):
        return iter([None])
    data += b"\n" * (not data.endswith(b"\n"))
    cuts = [0]
    while cuts[-1] < len(data):
        blank = data.find(b"\n\n", cuts[-1] + _PIECE)
        cuts.append(blank + 2 if blank >= 0 else len(data))
    return threads.map(lambda cut: _piece(data[cut[0] : cut[1]]), pairwise(cuts))


def _piece(data: bytes) -> Piece | None:
    """Regular lines of sentences: words first, tags last, one separator between any two fields."""
    bytes_ = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(bytes_ <= 32)  # white space, and control characters
    code = bytes_[at]
    mark_L = np.flatnonzero(code == 10)  # the ends of lines, among `at`
    end_L = at[mark_L]
    full_L = np.diff(end_L, prepend=-1) > 1
    mark_W = mark_L[full_L]
    separators = int(np.count_nonzero((code == 32) | (code == 9)))
    fields = separators // max(1, len(mark_W))
    touching = np.count_nonzero(np.diff(at, prepend=-1) == 1)  # white space behind white space: empty lines, or odd
    if (
        touching != len(mark_L) - len(mark_W)
        or not (np.diff(mark_L, prepend=-1)[full_L] == fields + 1).all()  # nor where there are control characters
        or (fields == 0 and len(mark_W))
    ):
        return None
    after_empty_L = np.append(True, ~full_L[:-1])
    end_W = at[mark_W]
    words = _words(bytes_, at[mark_W - fields], end_W, end_L[~full_L & after_empty_L])
    tags = _tags(data, at[mark_W - 1] + 1, end_W)
    return tags and Piece(words + b"\n" * bool(full_L[-1]), fields, after_empty_L[full_L], *tags)


def _words(bytes_: Array, stop_W: Array, end_W: Array, surplus: Array) -> bytes:
    """The lines without what is behind the words, and without surplus line ends."""
    steps = np.zeros(len(bytes_), dtype=np.int8)
    steps[stop_W] = 1
    steps[end_W] = -1
    kept = np.cumsum(steps, dtype=np.int8) == 0
    kept[surplus] = False
    text: bytes = bytes_[kept].tobytes()
    return text


def _tags(data: bytes, start_W: Array, end_W: Array) -> tuple[Array, Array, list[str]] | None:
    """Which words have a tag that is not O, the number of each one's tag, and the tags; None for an overlong one."""
    padded = data + bytes(_LONGEST_TAG)
    eights = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
    size_W = end_W - start_W
    tagged = np.flatnonzero((size_W > 1) | (eights[start_W] & _MASKS[1] != ord(OUTSIDE)))
    start_T, size_T = start_W[tagged], size_W[tagged]
    longest = int(size_T.max(initial=0))
    if longest > _LONGEST_TAG:
        return None
    code_T = np.zeros(len(tagged), dtype=np.uint64)
    values = [
        eights[start_T + done] & _MASKS[np.clip(size_T - done, 0, 8)] for done in range(0, longest, 8)
    ]  # the bytes of each tag as numbers, 0 behind its end
    for value in values:
        code_T = code_T * _MIX ^ value
    _, example, kind_T = np.unique(code_T, return_index=True, return_inverse=True)
    if not all(np.array_equal(value, value[example][kind_T]) for value in values):
        return None  # two tags of one code, which is next to impossible
    begins = start_T[example].tolist()
    return tagged, kind_T, [data[i : i + n].decode() for i, n in zip(begins, size_T[example].tolist(), strict=True)]


def _columns(pieces: Iterator[Piece | None]) -> Columns | None:
    """The pieces of a file as one; None where one is odd or unlike the others, or a tag is none of IOB2's."""
    known: list[Piece] = []
    for piece in pieces:
        if piece is None:
            return None
        if len(piece.first_W):
            known.append(piece)
    if len({piece.fields for piece in known}) != 1:
        return None
    try:
        parts = {tag: split_tag(tag, Scheme.IOB2) for piece in known for tag in piece.tags}
    except ValueError:
        return None
    labels = {label: number for number, label in enumerate(sorted({label for _, label in parts.values()}))}
    offsets = np.cumsum([0, *(len(piece.first_W) for piece in known)])
    first_W = np.concatenate([piece.first_W for piece in known])
    at_T = np.concatenate([piece.tagged_T + offset for piece, offset in zip(known, offsets[:-1], strict=True)])
    letters = [np.array([ord(parts[tag][0]) for tag in piece.tags], dtype=np.int64) for piece in known]
    numbers = [np.array([labels[parts[tag][1]] for tag in piece.tags], dtype=np.int64) for piece in known]
    return Columns(
        b"".join(piece.words for piece in known),
        len(first_W),
        np.flatnonzero(first_W),
        at_T,
        (np.diff(at_T, prepend=-1) == 1) & ~first_W[at_T],
        np.concatenate([letter[piece.kind_T] for letter, piece in zip(letters, known, strict=True)]),
        np.concatenate([number[piece.kind_T] for number, piece in zip(numbers, known, strict=True)]),
        tuple(labels),
    )


def _spans(read: Columns, labels: Sequence[str], policy: Policy) -> Spans:
    """What `harness.schemes.chunks` finds in IOB2, kept by `strict` or `conlleval`."""
    number = {label: i for i, label in enumerate(labels)}
    label_T = np.array([number[label] for label in read.labels], dtype=np.int64)[read.label_T]
    begins_T = ~read.follows_T | (read.letter_T == ord("B")) | (label_T != np.roll(label_T, 1))
    starts = np.flatnonzero(begins_T)
    lasts = np.append(starts[1:], len(begins_T)) - 1 if len(starts) else starts
    wrong = read.letter_T[starts] != ord("B")
    changed = wrong & read.follows_T[starts]
    found = {"label-change": int(changed.sum()), "no-begin": int((wrong & ~changed).sum())}
    violations = Counter({name: count for name, count in found.items() if count})
    keep = ~wrong if policy is Policy.STRICT else np.ones(len(starts), dtype=bool)
    starts, lasts = starts[keep], lasts[keep]
    return Spans(read.at_T[starts], read.at_T[lasts] + 1, label_T[starts], violations)


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
        numbers = read.sentence(spans.start_S[chosen]).tolist()
        values = zip(*(a[chosen].tolist() for a in (spans.start_S, spans.end_S, spans.label_S)), strict=True)
        for sentence, (start, end, label) in zip(numbers, values, strict=True):
            found.setdefault(sentence, ([], []))[side].append(Span(start, end, labels[label]))
    return list(found.values())
