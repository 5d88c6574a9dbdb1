"""The hash of a gold standard, which the signature of every score names."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from harness.spans import Labeled

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def gold_hash(sentences: Sequence[Labeled]) -> str:
    """Changes with any word or span, and not with the names of files."""
    before = itertools.accumulate((len(one.sentence.words) for one in sentences), initial=0)
    spans = [(at, span) for at, one in zip(before, sentences, strict=False) for span in one.spans]
    starts = np.array([at + span.start for at, span in spans], dtype=np.int64)
    ends = np.array([at + span.end for at, span in spans], dtype=np.int64)
    words = _text_of_words(one.sentence.words for one in sentences)
    return digest_of_gold(words, starts, ends, [span.label for _, span in spans])


def _text_of_words(sentences: Iterable[Sequence[str]]) -> bytes:
    """A word a line, and an empty line after each sentence."""
    lines = ("".join(word.replace("\n", " ") + "\n" for word in words) for words in sentences)
    return "\n".join(itertools.chain(lines, ("",))).encode(errors="surrogatepass")


def digest_of_gold(words: bytes, starts: Numbers, ends: Numbers, labels: Sequence[str]) -> str:
    """The hash of words as one text, and of spans: where they begin and end, counted over all sentences, and labels."""
    digest = hashlib.sha256(words)
    for numbers in (starts, ends):
        digest.update(numbers.astype("<i8").tobytes())
    digest.update("\n".join(labels).encode(errors="surrogatepass"))
    return digest.hexdigest()
