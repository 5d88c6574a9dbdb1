"""The instruction-tuned generator: fine-tuned on prompts and right responses, then asked like any other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.adapters.backends import backend_class
from harness.adapters.citations import training_citations
from harness.adapters.generator import Generator
from harness.adapters.generator_settings import GeneratorSettings, InstructedSettings
from harness.adapters.libraries import import_libraries
from harness.adapters.tokens import context_length, plain_ids, token_ids

from harness.contracts import Context, Cost
from harness.errors import CardError
from harness.spans import Labeled, Sentence

if TYPE_CHECKING:
    from harness.adapters.instruct import Example

_TRAINED, _MERGED = "trained.safetensors", "merged"


class Instructed(Generator):
    """Trains on the responses that the gold makes, merges what it learned into the weights, and serves those."""

    version: ClassVar[int] = 5
    settings_type: ClassVar[type[InstructedSettings]] = InstructedSettings

    def __init__(self, settings: InstructedSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings: InstructedSettings = settings
        self.trained_parameters = self.left_out = 0

    @classmethod
    def seeded(cls, settings: GeneratorSettings) -> bool:
        return True

    @classmethod
    def citations(cls, settings: Any) -> Sequence[str]:
        return [*super().citations(settings), *training_citations(settings.model, settings.train)]

    @classmethod
    def check(cls, settings: Any, sentences: Sequence[Sentence]) -> None:
        """Raises CardError for a device or an optimizer that is not here, and for weights that no server would have."""
        from harness.adapters.device import freed_device

        super().check(replace(settings, model=replace(settings.model, quantization="none")), sentences)
        if settings.backend == "openai":
            raise CardError("A fine-tuned model is on no server yet: use --set backend=vllm or backend=transformers.")
        if settings.train.head_lr is not None:
            raise CardError("train.head_lr is a tagger's head's; this system has none: leave it out.")
        if settings.train.choose != "last":
            raise CardError("train.choose: a fine-tuned generator keeps its last epoch; choose=last is all it can do.")
        freed_device(settings.machine.device)

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        self.writer = self.new_writer(train)
        self._train(train)
        self._export(self.context.folder / _TRAINED)

    def ready(self) -> None:
        merged = replace(self.settings, model=replace(self.settings.model, quantization="none"))
        self.backend = backend_class(self.settings.backend)(merged, self.context.folder / _MERGED)
        self.backend.start()

    def cost(self) -> Cost:
        cost = super().cost()
        notes = {**cost.notes, "left_out_of_training": self.left_out}
        return replace(cost, trained_parameters=self.trained_parameters, notes=notes)

    def save(self, folder: Path) -> None:
        super().save(folder)
        shutil.copyfile(self.context.folder / _TRAINED, folder / _TRAINED)

    def load(self, folder: Path) -> None:
        self._export(folder / _TRAINED)
        super().load(folder)

    def _train(self, train: Sequence[Labeled]) -> None:
        import_libraries()
        import torch
        from harness.adapters.checkpoint import trained_state
        from harness.adapters.device import freed_device
        from harness.adapters.instruct import InstructModel, InstructObjective, common_prefix, packs
        from harness.adapters.training import Trainer
        from safetensors.torch import save_file

        torch.manual_seed(self.context.seed)
        model = InstructModel(self.settings, self.folder())
        model.to(freed_device(self.settings.machine.device))
        examples = self.examples(train)
        objective = InstructObjective(model, common_prefix([one.prompt for one in examples]))
        trainer = Trainer(objective, self.settings.train, self.settings.machine, self.context, lambda: 0.0)
        trainer.fit(packs(examples, self.settings.train.pack))
        save_file(trained_state(model), self.context.folder / _TRAINED)
        self.trained_parameters = sum(p.numel() for _, p in model.trained())

    def examples(self, train: Sequence[Labeled]) -> list[Example]:
        """Prompts and responses in tokens; those over the model's context are left out of training, and counted."""
        from harness.adapters.instruct import Example

        tokenizer, room = self.tokenizer(), context_length(self.folder())
        found = []
        for labeled in train:
            prompt = token_ids(tokenizer, self.writer.write(labeled.sentence))
            response = plain_ids(tokenizer, self.writer.response(labeled))
            if len(prompt) + len(response) < room:
                found.append(Example(tuple(prompt), (*response, tokenizer.eos_token_id)))
        self.left_out = len(train) - len(found)
        if not found:
            raise CardError(f"No example fits the {room} tokens that the model can read: its prompts are too long.")
        return found

    def _export(self, trained: Path) -> None:
        """Put the trained weights into a model folder of their own, from which they are served."""
        import_libraries()
        from harness.adapters.instruct import export

        folder = self.context.folder / _MERGED
        shutil.rmtree(folder, ignore_errors=True)
        export(self.settings, self.folder(), trained, folder)
        self.tokenizer().save_pretrained(folder)
