"""What a tagger learns from: windows of sentences with the tags of their words, and the loss of those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from harness.adapters.classifier import TokenClassifier
from harness.adapters.subwords import SubwordEncoder, Window
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class TaggedWindow:
    """A window, and the tag number of each word that it owns."""

    window: Window
    tags: tuple[int, ...]


class TagObjective:
    """The cross-entropy of every word's tag."""

    def __init__(self, model: TokenClassifier, encoder: SubwordEncoder) -> None:
        self.model, self.encoder = model, encoder
        self.device = next(model.parameters()).device

    def length(self, example: TaggedWindow) -> int:
        return len(example.window.ids)

    def targets(self, example: TaggedWindow) -> int:
        return len(example.tags)

    def longest(self, examples: Sequence[TaggedWindow]) -> int:
        return max(map(self.length, examples))

    def losses(self, examples: Sequence[TaggedWindow], room: int) -> Iterator[tuple[torch.Tensor, int]]:
        left = sorted(examples, key=self.length, reverse=True)
        while left:
            passes = -(-len(left) // max(1, room // self.length(left[0])))
            rows = -(-len(left) // passes)  # passes of about as many
            yield self._loss(left[:rows])
            left = left[rows:]

    def _loss(self, examples: Sequence[TaggedWindow]) -> tuple[torch.Tensor, int]:
        batch = self.encoder.batch([example.window for example in examples])
        tags_W = torch.tensor([tag for example in examples for tag in example.tags], device=self.device)
        scores_WT = self.model(batch.to(self.device))
        return F.cross_entropy(scores_WT, tags_W, reduction="sum"), int(batch.mask_BL.sum())


def tagged_windows(windows: Sequence[Window], tags: Sequence[Sequence[int]]) -> Iterator[TaggedWindow]:
    """Pair windows with the tags (a list a sentence) of the words that they own."""
    for window in windows:
        yield TaggedWindow(window, tuple(tags[window.sentence][window.owned_first : window.owned_after]))
