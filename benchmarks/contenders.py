"""Who is compared: our tagger and what a user would otherwise run, on the same windows of a task's sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness.adapters.classifier import build_classifier, build_encoder
from harness.adapters.device import device_of
from harness.adapters.embeddings import reading_only
from harness.adapters.pretrained import backbone_of, blocks, elements
from harness.adapters.settings import TaggerSettings
from harness.adapters.subwords import SubwordEncoder
from harness.adapters.tagging import TaggedWindow, TagObjective, best_tags, tagged_windows
from harness.adapters.training import Trainer

from benchmarks.opponents import Opponent, PaperLoop, PaperLoop4Bit, TrainerStack
from benchmarks.tables import context_of, finish, seconds
from harness.dataset import Dataset
from harness.schemes import encode, tags_of

OURS, TRAINER, PAPER = "harness", "Trainer and PEFT", "the paper's loop, NF4 weights"
OPPONENTS: dict[str, type[Opponent]] = {
    TRAINER: TrainerStack,
    "the paper's loop, plain weights": PaperLoop,
    PAPER: PaperLoop4Bit,
}
SEED = 120


class _Enough(Exception):
    """Ends a training after some updates."""


class Ours:
    """Our tagger, trained a stretch at a time."""

    def __init__(self, settings: TaggerSettings, dataset: Dataset, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.dataset, self.seed = settings, dataset, seed
        self.model, self.encoder = build_classifier(settings, len(tags_of(dataset.labels)))
        self.model.to(device_of(settings.machine.device))

    def train(self, windows: Sequence[TaggedWindow], updates: int) -> float:
        """Begin a training on the windows, with batches drawn anew; returns the subwords a second of its updates."""
        self.seed += 1
        read: list[int] = []
        ended = 0.0

        def log(row: dict[str, Any]) -> None:
            nonlocal ended
            read.append(row["subwords"])
            if len(read) == updates:
                finish()
                ended = time.perf_counter()
                raise _Enough

        ids = {subword for one in windows for subword in one.window.ids}
        with TemporaryDirectory() as folder, reading_only(backbone_of(self.model), ids):
            context = replace(context_of(self.dataset, Path(folder), self.seed), log=log)
            train = replace(self.settings.train, min_updates=updates)
            objective = TagObjective(self.model, self.encoder)
            trainer = Trainer(objective, train, self.settings.machine, context, lambda: 0.0)
            begin = time.perf_counter()
            with suppress(_Enough):
                trainer.fit(windows)
        return sum(read) / (ended - begin)

    def predict(self, windows: Sequence[TaggedWindow]) -> None:
        """What `Tagger.predict` does."""
        for _ in best_tags(self.model, self.encoder, [one.window for one in windows], self.settings.predict_batch):
            pass


def contender_of(name: str, settings: TaggerSettings, dataset: Dataset, seed: int) -> tuple[Any, SubwordEncoder]:
    """Ours, or an opponent; and the encoder of its windows."""
    if name == OURS:
        ours = Ours(settings, dataset, seed)
        return ours, ours.encoder
    encoder = build_encoder(settings)
    return OPPONENTS[name](settings, len(tags_of(dataset.labels)), encoder.pad, seed), encoder


def windows_of(encoder: SubwordEncoder, dataset: Dataset, split: str) -> list[TaggedWindow]:
    """The windows of a split, with their tags."""
    numbers = {tag: number for number, tag in enumerate(tags_of(dataset.labels))}
    sentences = dataset.splits[split].sentences
    tags = [[numbers[tag] for tag in encode(one.spans, len(one.sentence.words))] for one in sentences]
    return list(tagged_windows(encoder.windows([one.sentence.words for one in sentences]), tags))


@dataclass(frozen=True)
class Facts:
    """What is computed on what: the model, and the windows it is trained on."""

    model: torch.nn.Module
    windows: Sequence[TaggedWindow]

    @property
    def subwords(self) -> float:
        """Of a window, on average."""
        return mean(len(one.window.ids) for one in self.windows)

    def matrices(self, trained: bool) -> list[torch.Tensor]:
        """The weights of the blocks that are trained, or those that are not."""
        found = [p for one in blocks(self.model) for p in one.parameters()]
        return [p for p in found if p.requires_grad is trained and p.ndim > 1]

    def flops(self) -> float:
        """Operations of an update, a subword: two a weight forward, two back, and two more for a trained one."""
        width: int = self.model.backbone.config.hidden_size  # type: ignore[union-attr, assignment]
        attention = 12 * self.subwords * width * sum(1 for _ in blocks(self.model))
        frozen, trained = (sum(map(elements, self.matrices(which))) for which in (False, True))
        return 4 * frozen + 6 * trained + attention

    def own_rate(self, subwords: int) -> float:
        """Operations a second of products of the model's own matrices with so many rows, forward and back."""
        weights = self.matrices(False)
        options: dict[str, Any] = {"dtype": weights[0].dtype, "device": weights[0].device}
        sides = {side: torch.randn(subwords, side, **options) for weight in weights for side in weight.shape}

        def products() -> None:
            for weight in weights:
                torch.nn.functional.linear(sides[weight.shape[1]], weight)
            for weight in weights:
                sides[weight.shape[0]] @ weight

        with torch.no_grad():
            return 4 * subwords * sum(w.numel() for w in weights) / min(seconds(products) for _ in range(3))
