"""Words to subwords, word by word, and sentences to windows of subwords that fit the model.

Every word is tokenized on its own, the way it is tokenized inside a sentence, so that no offsets of a tokenizer have to
be trusted. Suffixes of names: B windows, L subwords, W words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import CardError

_PROBE = ("small", "house", "near", "river")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a sentence as the model reads it.

    `ids` are its subwords, special ones included. `bounds` are, for each word of [first, after), the start and end of
    its subwords in `ids`. The words of [owned_first, owned_after) are predicted here; the rest is context.
    """

    sentence: int
    ids: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    first: int
    owned_first: int
    owned_after: int

    @property
    def owned_bounds(self) -> tuple[tuple[int, int], ...]:
        return self.bounds[self.owned_first - self.first : self.owned_after - self.first]


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows as tensors. `row_W`, `start_W` and `end_W` say where the subwords of each owned word stand."""

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    row_W: torch.Tensor
    start_W: torch.Tensor
    end_W: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        moved = (getattr(self, name).to(device) for name in self.__slots__)
        return Batch(*moved)


class SubwordEncoder:
    """Cuts sentences into windows of at most `max_length` subwords that overlap by up to `overlap`."""

    def __init__(self, tokenizer: Any, max_length: int, overlap: int) -> None:
        self.tokenizer = tokenizer
        self.lead = self._lead()
        self.prefix, self.suffix = self._special()
        self.pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        self.capacity = max_length - len(self.prefix) - len(self.suffix)
        self.overlap = overlap
        self.cache: dict[str, tuple[int, ...]] = {}
        self.cut_words: set[str] = set()  # words longer than a window, of which only the beginning is read
        if overlap * 2 > self.capacity:
            raise CardError(
                f"overlap = {overlap} must be at most half of the {self.capacity} subwords that a window holds."
            )

    def windows(self, sentences: Sequence[Sequence[str]]) -> list[Window]:
        """The windows of all sentences, in order. Every word is owned by exactly one window."""
        self._tokenize({word for words in sentences for word in words})
        return [window for number, words in enumerate(sentences) for window in self._cut(number, words)]

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Pad windows to the longest."""
        length_B = torch.tensor([len(window.ids) for window in windows])
        is_real_BL = torch.arange(int(length_B.max())) < length_B[:, None]
        ids_BL = torch.full(is_real_BL.shape, self.pad)
        ids_BL[is_real_BL] = torch.tensor([subword for window in windows for subword in window.ids])
        mask_BL = is_real_BL.long()
        owned = [(row, *bounds) for row, window in enumerate(windows) for bounds in window.owned_bounds]
        row_W, start_W, end_W = torch.tensor(owned, dtype=torch.long).reshape(-1, 3).unbind(1)
        return Batch(ids_BL, mask_BL, row_W, start_W, end_W)

    def _encode(self, text: str, special: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _lead(self) -> str:
        """What must stand before a word so that it is tokenized as inside a sentence: nothing, or a space."""
        whole = self._encode(" ".join(_PROBE))
        for lead in ("", " "):
            apart = [i for word in _PROBE[1:] for i in self._encode(lead + word)]
            if whole[-len(apart) :] == apart:
                return lead
        return " "

    def _special(self) -> tuple[list[int], list[int]]:
        plain, whole = self._encode(_PROBE[0]), self._encode(_PROBE[0], special=True)
        at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
        return whole[:at], whole[at + len(plain) :]

    def _tokenize(self, words: Iterable[str]) -> None:
        new = sorted(set(words) - self.cache.keys())
        if not new:
            return
        unknown = self.tokenizer.unk_token_id
        fallback = (self.pad if unknown is None else unknown,)  # for a word that the tokenizer makes nothing of
        texts = [self.lead + word for word in new]
        encoded = self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        for word, ids in zip(new, encoded, strict=True):
            if len(ids) > self.capacity:
                self.cut_words.add(word)
            self.cache[word] = tuple(ids[: self.capacity]) or fallback

    def _cut(self, number: int, words: Sequence[str]) -> list[Window]:
        pieces = [self.cache[word] for word in words]
        ranges = _ranges([len(piece) for piece in pieces], self.capacity, self.overlap)
        middles = [(after + start) // 2 for (_, after), (start, _) in itertools.pairwise(ranges)]
        owned = list(zip([0, *middles], [*middles, len(words)], strict=True))
        found = []
        for (first, after), (owned_first, owned_after) in zip(ranges, owned, strict=True):
            ids, bounds = list(self.prefix), []
            for piece in pieces[first:after]:
                bounds.append((len(ids), len(ids) + len(piece)))
                ids += piece
            ids += self.suffix
            found.append(Window(number, tuple(ids), tuple(bounds), first, owned_first, owned_after))
        return found


def _ranges(lengths: Sequence[int], capacity: int, overlap: int) -> list[tuple[int, int]]:
    """Word ranges whose subwords fit `capacity`, neighbours sharing words of up to `overlap` subwords."""
    found: list[tuple[int, int]] = []
    start = 0
    while True:
        after, used = start, 0
        while after < len(lengths) and used + lengths[after] <= capacity:
            used += lengths[after]
            after += 1
        found.append((start, after))
        if after == len(lengths):
            return found
        back, shared = after, 0
        while (
            back - 1 > start
            and shared + lengths[back - 1] <= overlap
            and shared + lengths[back - 1] + lengths[after] <= capacity
        ):
            back -= 1
            shared += lengths[back]
        start = back
