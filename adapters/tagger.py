"""The tagger: a pretrained encoder, or a decoder with its causal mask removed by block, fine-tuned to tag words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.adapters import trackers, weights
from harness.adapters.citations import UNMASKING, training_citations
from harness.adapters.device import check_attention, freed_device
from harness.adapters.groups import unmasked_blocks
from harness.adapters.libraries import import_libraries
from harness.adapters.needs import needs
from harness.adapters.settings import TaggerSettings

from harness.contracts import Context, Cost, Resources, System
from harness.outputs import RawOutput, Tags
from harness.schemes import Scheme, encode, tags_of
from harness.spans import Labeled, Sentence

_WEIGHTS = "trained.safetensors"


class Tagger(System):
    """Fine-tunes a classifier of IOB2 tags and predicts the best tag of each word. Sees every word: nothing is cut."""

    version: ClassVar[int] = 4
    settings_type: ClassVar[type[TaggerSettings]] = TaggerSettings

    def __init__(self, settings: TaggerSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.tags = tags_of(context.labels)

    @classmethod
    def seeded(cls, settings: TaggerSettings) -> bool:
        return True

    @classmethod
    def missing(cls, settings: TaggerSettings) -> str:
        return weights.missing(settings.model) or trackers.missing(settings.machine.report_to)

    @classmethod
    def fingerprint(cls, settings: TaggerSettings) -> str:
        return weights.fingerprint(settings.model)

    @classmethod
    def citations(cls, settings: TaggerSettings) -> Sequence[str]:
        return [*([UNMASKING] if settings.unmask else []), *training_citations(settings.model, settings.train)]

    @classmethod
    def resources(cls, settings: TaggerSettings) -> Resources:
        return needs(settings.model, settings.machine, fixed_gib=1, gib_per_billion=16)

    @classmethod
    def check(cls, settings: TaggerSettings, sentences: Sequence[Sentence]) -> None:
        """Raises CardError for a device that is not here or an attention it lacks, and for more bits than blocks."""
        freed_device(settings.machine.device)
        check_attention(settings.model, settings.machine)
        if settings.unmask:
            blocks = weights.config_of(settings.model).get("num_hidden_layers")
            if isinstance(blocks, int):
                unmasked_blocks(settings.unmask, blocks)

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        import_libraries()
        from harness.adapters.embeddings import reading_only
        from harness.adapters.pretrained import backbone_of
        from harness.adapters.tagging import TagObjective, tagged_windows
        from harness.adapters.training import Trainer

        self._build()
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        windows = self.encoder.windows([labeled.sentence.words for labeled in train])
        tags = [[numbers[tag] for tag in encode(lab.spans, len(lab.sentence.words))] for lab in train]
        held = [labeled.sentence for labeled in validation]
        examples = list(tagged_windows(windows, tags))
        with reading_only(backbone_of(self.model), {subword for window in windows for subword in window.ids}):
            trainer = Trainer(
                TagObjective(self.model, self.encoder),
                self.settings.train,
                self.settings.machine,
                self.context,
                lambda: self.context.validation_f1(self.predict(held)),
            )
            trainer.fit(examples)

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        from harness.adapters.tagging import best_tags

        windows = self.encoder.windows([sentence.words for sentence in sentences])
        found: list[list[str]] = [[""] * len(sentence.words) for sentence in sentences]
        for window, numbers in best_tags(self.model, self.encoder, windows, self.settings.predict_batch):
            tags = [self.tags[number] for number in numbers]
            found[window.sentence][window.owned_first : window.owned_after] = tags
        return [Tags(tuple(tags), Scheme.IOB2) for tags in found]

    def cost(self) -> Cost:
        from harness.adapters.pretrained import elements

        trained = sum(p.numel() for _, p in self.model.trained())
        choices = {"epoch": "validation"} if self.settings.train.choose == "best-validation" else {}
        notes = {"cut_words": len(self.encoder.cut_words)}
        return Cost(sum(map(elements, self.model.parameters())), trained, choices, notes)

    def save(self, folder: Path) -> None:
        from harness.adapters.checkpoint import trained_state
        from safetensors.torch import save_file

        save_file(trained_state(self.model), folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        from harness.adapters.checkpoint import load_trained

        self._build()
        load_trained(self.model, folder / _WEIGHTS)

    def _build(self) -> None:
        import_libraries()
        import torch
        from harness.adapters.classifier import build_classifier

        torch.manual_seed(self.context.seed)
        self.model, self.encoder = build_classifier(self.settings, len(self.tags))
        self.model.to(freed_device(self.settings.machine.device))
