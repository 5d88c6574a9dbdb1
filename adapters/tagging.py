"""What a tagger learns from, windows of sentences with the tags of their words, and what it finds in others."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from harness.adapters.classifier import TokenClassifier
from harness.adapters.joining import predicting
from harness.adapters.passes import OVERHEAD, Room, passes
from harness.adapters.quicken import most_subwords
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

    def losses(self, examples: Sequence[TaggedWindow], room: Room) -> Iterator[tuple[torch.Tensor, int]]:
        ordered = sorted(examples, key=self.length, reverse=True)
        for rows in passes([self.length(example) for example in ordered], room):
            yield self._loss([ordered[row] for row in rows])

    def _loss(self, examples: Sequence[TaggedWindow]) -> tuple[torch.Tensor, int]:
        batch = self.encoder.batch([example.window for example in examples])
        tags_W = torch.tensor([tag for example in examples for tag in example.tags], device=self.device)
        scores_WT = self.model(batch.to(self.device))
        return F.cross_entropy(scores_WT, tags_W, reduction="sum"), int(batch.mask_BL.sum())


@torch.inference_mode()
def best_tags(
    model: TokenClassifier, encoder: SubwordEncoder, windows: Sequence[Window], rows: int
) -> Generator[tuple[Window, list[int]], None, None]:
    """Each window, the longest first, with the number of the best tag of each word that it owns.

    A pass reads at most `rows` of them: fewer where they would be padded too much, or be too many subwords.
    """
    model.eval()
    device = next(model.parameters()).device
    ordered = sorted(windows, key=lambda window: len(window.ids), reverse=True)
    with predicting(model) as packs:
        room = Room(most_subwords(device), packs, overhead=OVERHEAD[device.type])
        for chosen in passes([len(window.ids) for window in ordered], room, rows):
            group = ordered[chosen.start : chosen.stop]
            best_W = model(encoder.batch(group).to(device)).argmax(1)
            counts = [window.owned_after - window.owned_first for window in group]
            yield from zip(group, (tags_W.tolist() for tags_W in best_W.cpu().split(counts)), strict=True)


def tagged_windows(windows: Sequence[Window], tags: Sequence[Sequence[int]]) -> Iterator[TaggedWindow]:
    """Pair windows with the tags (a list a sentence) of the words that they own."""
    for window in windows:
        yield TaggedWindow(window, tuple(tags[window.sentence][window.owned_first : window.owned_after]))
