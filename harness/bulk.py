"""Two column files scored as arrays: the plain case of `harness score`, in a small part of the time.

Gives exactly what reading, decoding and judging sentence by sentence gives, or nothing: files with anything out of the
ordinary (other schemes, comments, documents, irregular columns, mistakes) are left to that way, which also says what is
wrong and where. Suffixes of names: W words, F fields of a line and its end, 2 from and to, N sentences, T words with a
tag that is not O, S spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness.breakdown import ERRORS, errors
from harness.decode import Policy, gold_changes
from harness.gold import digest_of_gold
from harness.intervals import interval_of_sums
from harness.protocol import LENGTHS, SplitScore, signature, summed
from harness.schemes import OUTSIDE, Scheme, split_tag
from harness.scoring import Counts, Score
from harness.spans import Span

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_LONGEST_TAG = 32  # bytes
_PIECE = 2**20  # bytes of a file, at least
_DOCUMENT = b"DOCSTART"  # in dashes, which are everywhere and take longer to look for
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

    def chosen(self, chosen_S: Array) -> Spans:
        """Some of them, by a mask, without what was violated."""
        return Spans(self.start_S[chosen_S], self.end_S[chosen_S], self.label_S[chosen_S], Counter())


def score_columns(gold: Path, pred: Path, policy: Policy) -> tuple[SplitScore, dict[str, int]] | None:
    """The scores of two files in IOB2, and what was changed of the gold; None where they are not the plain case."""
    if policy is Policy.DISCARD:
        return None
    with ThreadPoolExecutor(2) as threads:
        pieces, others = _read(gold, threads), _read(pred, threads)  # both at once
        read, predicted = _columns(pieces), _columns(others)
        if read is None or predicted is None or read.words != predicted.words:
            return None
        labels = sorted({*read.labels, *predicted.labels})
        golds, preds = _spans(read, labels, policy), _spans(predicted, labels, policy)
        digest = threads.submit(_digest, read, labels, golds)
        found_S = _same(golds, preds)  # of the gold's spans, which are predicted
        hit_S = _same(preds, golds)  # of the predicted ones, which are right
        sentences = len(read.begin_N)
        gold_S, pred_S = read.sentence(golds.start_S), read.sentence(preds.start_S)
        by_sentence = [np.bincount(numbers, minlength=sentences) for numbers in (gold_S, pred_S, gold_S[found_S])]
        interval = threads.submit(interval_of_sums, np.stack(by_sentence, 1))
        kinds = _errors(read, labels, golds, preds, found_S, hit_S)
        score = _score(labels, golds, preds, found_S)
        line = signature(gold.stem, digest.result(), policy)
        found = summed(score, line, (sentences, read.count), interval.result(), kinds, preds.violations)
    return found, gold_changes(golds.violations, policy)


def _digest(read: Columns, labels: Sequence[str], golds: Spans) -> str:
    return digest_of_gold(read.words, golds.start_S, golds.end_S, [labels[i] for i in golds.label_S.tolist()])


def _score(labels: Sequence[str], golds: Spans, preds: Spans, found_S: Array) -> Score:
    by_label = [
        np.bincount(numbers, minlength=len(labels)).tolist()
        for numbers in (golds.label_S, preds.label_S, golds.label_S[found_S])
    ]
    counts = {label: Counts(*row) for label, row in zip(labels, zip(*by_label, strict=True), strict=True)}
    used = {label: one for label, one in counts.items() if one.gold or one.predicted}
    return Score(sum(used.values(), Counts()), used, _lengths(golds, preds, found_S))


def _read(path: Path, threads: ThreadPoolExecutor) -> Iterator[Piece | None]:
    """The pieces of a file, each of whole sentences and small enough for a processor's cache; None for what is odd."""
    data = _content(path)
    if data is None:
        return iter([None])
    size = len(data) - _LONGEST_TAG
    cuts = [0]
    while cuts[-1] < size:
        blank = data.find(b"\n\n", cuts[-1] + _PIECE)
        cuts.append(blank + 2 if blank >= 0 else size)
    return threads.map(lambda cut: _piece(data, *cut), pairwise(cuts))


def _content(path: Path) -> bytearray | None:
    """A file with the end of its last line, and zeros behind it, so that any tag can be read in eights."""
    try:
        if not path.is_file() or path.suffix in (".json", ".jsonl"):  # what is no file could be read but once
            return None
        size = path.stat().st_size
        data = bytearray(size + 1 + _LONGEST_TAG)  # into which it is read: bytes would be copied for their longer end
        with path.open("rb") as stream:
            read = stream.readinto(memoryview(data)[:size])
    except OSError:
        return None
    if not size or read != size:  # empty, or changing
        return None
    if data[size - 1] == ord("\n"):
        del data[-1]
    else:
        data[size] = ord("\n")
    return data


def _piece(data: bytearray, first: int, after: int) -> Piece | None:
    """A piece of a file: regular lines of sentences, words first, tags last, one separator between any two fields."""
    if _is_odd(data[first:after]):
        return None
    bytes_ = np.frombuffer(data, np.uint8, after - first, first)
    white = bytes_ <= 32  # white space, and control characters
    at = np.flatnonzero(white)
    code = bytes_[at]
    ends = code == 10
    lines, separators = (int(np.count_nonzero(which)) for which in (ends, (code == 32) | (code == 9)))
    empty = np.flatnonzero(at[1:] - at[:-1] == 1) + 1  # white space behind white space: empty lines, or odd
    if not at[0]:
        empty = np.insert(empty, 0, 0)
    words = lines - len(empty)
    fields = separators // max(1, words)
    if fields * words != separators or lines + separators != len(at) or (words and not fields):
        return None
    filled = np.ones(len(at), dtype=bool)
    filled[empty] = False
    at_WF = at[filled].reshape(words, fields + 1)
    if not (ends[empty] & ends[empty - 1]).all() or not (bytes_[at_WF[:, -1]] == 10).all():
        return None
    behind = (empty - np.arange(len(empty))) // (fields + 1)  # the word behind each empty line
    if not words:
        return Piece(b"", 0, ends[:0], at[:0], at[:0], ())
    first_W = np.zeros(words, dtype=bool)
    first_W[[0, *behind[behind < words]]] = True
    text = _words(bytes_, at_WF[:, ::fields], at[empty[np.diff(empty, prepend=-1) == 1]])
    tags = _tags(data, first, at_WF[:, -2] + 1, at_WF[:, -1])
    return tags and Piece(text + b"\n" * (not white[-2:].all()), fields, first_W, *tags)


def _is_odd(text: bytearray) -> bool:
    """Whether there is more to a text than words of UTF-8 and white space of ASCII."""
    if text.isascii():
        return _DOCUMENT in text
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return any(odd in text for odd in (_DOCUMENT, *_UNUSUAL_SPACES))


def _words(bytes_: Array, cuts_W2: Array, surplus: Array) -> bytes:
    """The lines without what is behind the words, from one cut to the other, and without surplus line ends."""
    sizes = np.diff(cuts_W2.ravel(), prepend=0, append=len(bytes_))
    is_kept = np.zeros(len(sizes), dtype=bool)
    is_kept[::2] = True
    kept = np.repeat(is_kept, sizes)
    kept[surplus] = False
    text: bytes = bytes_.compress(kept).tobytes()  # in two thirds of an index's time
    return text


def _tags(data: bytearray, first: int, start_W: Array, end_W: Array) -> tuple[Array, Array, list[str]] | None:
    """Which words have a tag that is not O, the number of each one's tag, and the tags; None for an overlong one."""
    eights = np.ndarray((len(data) - first - 7,), "<u8", data, first, (1,))
    size_W = end_W - start_W
    tagged = np.flatnonzero((size_W > 1) | (np.frombuffer(data, np.uint8, offset=first)[start_W] != ord(OUTSIDE)))
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
    begins = (start_T[example] + first).tolist()
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


def _overlaps(spans: Spans, others: Spans) -> tuple[Array, Array]:
    """Of each span, how many of the others it overlaps, and the first of them."""
    first_S = np.searchsorted(others.end_S, spans.start_S, side="right")
    return np.searchsorted(others.start_S, spans.end_S) - first_S, first_S


def _lengths(golds: Spans, preds: Spans, found_S: Array) -> dict[str, Counts]:
    size_S = golds.end_S - golds.start_S
    count_S, first_S = _overlaps(preds, golds)
    slices = {}
    for low, high, name in LENGTHS:
        chosen = (size_S >= low) & (size_S <= high)
        if chosen.any():
            before = np.concatenate([[0], chosen.cumsum()])  # how many of them are among the first
            touched_S = before[first_S + count_S] > before[first_S]
            slices[f"length:{name}"] = Counts(
                int(chosen.sum()), int(np.count_nonzero(touched_S)), int((chosen & found_S).sum())
            )
    return slices


def _errors(
    read: Columns, labels: Sequence[str], golds: Spans, preds: Spans, found_S: Array, hit_S: Array
) -> Counter[str]:
    """Counts by class. Only spans with more than one partner to choose from need to be looked at one by one."""
    same_words = Spans(preds.start_S, preds.end_S, np.zeros_like(preds.label_S), Counter())
    unlabeled = Spans(golds.start_S, golds.end_S, np.zeros_like(golds.label_S), Counter())
    relabeled_S = _same(unlabeled, same_words) & ~found_S
    mislabel_S = _same(same_words, unlabeled) & ~hit_S
    gold, pred = golds.chosen(~found_S & ~relabeled_S), preds.chosen(~hit_S & ~mislabel_S)
    (partners_S, first_S), (suitors_S, _) = _overlaps(gold, pred), _overlaps(pred, gold)
    only = np.flatnonzero(partners_S == 1)
    only = only[suitors_S[first_S[only]] == 1]
    alike = int(np.count_nonzero(gold.label_S[only] == pred.label_S[first_S[only]]))
    found = {"label": int(mislabel_S.sum()), "boundary": alike, "both": len(only) - alike}
    found |= {"missed": int((partners_S == 0).sum()), "spurious": int((suitors_S == 0).sum())}
    kinds: Counter[str] = Counter({name: found[name] for name in ERRORS})
    many_gold, many_pred = partners_S > 0, suitors_S > 0
    many_gold[only] = many_pred[first_S[only]] = False
    for some, others in _by_sentence(read, labels, gold.chosen(many_gold), pred.chosen(many_pred)):
        kinds.update(errors(some, others))
    return kinds


def _by_sentence(
    read: Columns, labels: Sequence[str], golds: Spans, preds: Spans
) -> Iterable[tuple[list[Span], list[Span]]]:
    found: dict[int, tuple[list[Span], list[Span]]] = {}
    for side, spans in enumerate((golds, preds)):
        values = (read.sentence(spans.start_S), spans.start_S, spans.end_S, spans.label_S)
        for sentence, start, end, label in zip(*(array.tolist() for array in values), strict=True):
            found.setdefault(sentence, ([], []))[side].append(Span(start, end, labels[label]))
    return found.values()
