"""The generator: a language model that is asked for the mentions of a sentence, and writes them as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.adapters import trackers, weights
from harness.adapters.answers import Answers
from harness.adapters.backends import Answer, Backend, Sampling, backend_class
from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.prompts import Prompt, PromptWriter
from harness.adapters.tokens import context_length, load_tokenizer, token_ids

from harness.contracts import Context, Cost, System
from harness.errors import CardError
from harness.outputs import RawOutput, Text
from harness.responses import Format, schema
from harness.spans import Labeled, Sentence, Span

_EXAMPLES = "examples.json"
_GUESS = 3  # characters a token, where the tokenizer is on a server


class Generator(System):
    """Asks a model for the mentions of each sentence, in a format that the judge reads."""

    settings_type: ClassVar[type[GeneratorSettings]] = GeneratorSettings
    reads_brief: ClassVar[bool] = True

    def __init__(self, settings: GeneratorSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.base = None if _is_hosted(settings) else weights.folder_of(settings.model)
        self.answers = Answers(context.folder)

    @classmethod
    def seeded(cls, settings: GeneratorSettings) -> bool:
        drawn = settings.prompt.shots and settings.prompt.choose == "random"
        return bool(drawn or settings.generation.temperature)

    @classmethod
    def missing(cls, settings: GeneratorSettings) -> str:
        lacks = [
            "" if _is_hosted(settings) else weights.missing(settings.model),
            backend_class(settings.backend).missing(settings),
            trackers.missing(settings.machine.report_to),
        ]
        return " ".join(lack for lack in lacks if lack)

    @classmethod
    def fingerprint(cls, settings: GeneratorSettings) -> str:
        return "" if _is_hosted(settings) else weights.fingerprint(settings.model)

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        self.writer = self.new_writer(train)
        self.start()

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        prompts = [self.writer.write(sentence) for sentence in sentences]
        room = self._room()
        fits = [self._tokens(prompt) <= room for prompt in prompts]
        asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        found = self.answers.ask(self.backend, asked, self._sampling())
        answers = iter(found)
        format = self.settings.format
        return [
            _text(next(answers), format) if fit else Text("", format, unseen=tuple(range(len(sentence.words))))
            for sentence, fit in zip(sentences, fits, strict=True)
        ]

    def prompt(self, train: Sequence[Labeled], sentence: Sentence) -> str:
        return str(self.new_writer(train).write(sentence))

    def cost(self) -> Cost:
        known = self.answers.known.values()
        read = sum(answer.prompt_tokens for answer in known)
        written = sum(answer.completion_tokens for answer in known)
        seconds = self.answers.seconds
        price = self.settings.price
        notes: dict[str, Any] = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "generation_seconds": round(seconds, 3),
            "completion_tokens_per_second": round(written / seconds, 1) if seconds else None,
        }
        if price.prompt or price.completion:
            notes["us_dollars"] = round((read * price.prompt + written * price.completion) / 1e6, 6)
        return Cost(weights.parameters(self.base) if self.base else 0, notes=notes)

    def save(self, folder: Path) -> None:
        examples = [_example_json(one) for one in self.writer.fixed]
        (folder / _EXAMPLES).write_text(json.dumps(examples, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        if self.settings.prompt.choose == "similar" and self.settings.prompt.shots:
            raise CardError("A run whose examples are chosen by similarity needs its training data to predict.")
        examples = [_example(value) for value in json.loads((folder / _EXAMPLES).read_text(encoding="utf-8"))]
        self.writer = self.new_writer([])
        self.writer.fixed = examples
        self.start()

    def start(self) -> None:
        """Load the model that answers."""
        self.backend: Backend = backend_class(self.settings.backend)(self.settings, self.base)
        self.backend.start()

    def new_writer(self, train: Sequence[Labeled]) -> PromptWriter:
        return PromptWriter(self.settings, self.context, train, self._tokens)

    def _tokens(self, prompt: Prompt) -> int:
        if self.base is None:
            return sum(len(turn) for turn in prompt.turns) // _GUESS
        return len(token_ids(self.tokenizer(), prompt))

    def tokenizer(self) -> Any:
        return load_tokenizer(self.folder(), self.settings.model)

    def folder(self) -> Path:
        assert self.base is not None
        return self.base

    def _room(self) -> float:
        """The longest prompt that leaves room for an answer."""
        if self.base is None:
            return float("inf")
        return float(context_length(self.base) - self.settings.generation.max_tokens)

    def _sampling(self) -> Sampling:
        settings, generation = self.settings, self.settings.generation
        line = settings.prompt.style == "sections" and settings.format is Format.LISTING
        held = settings.format is Format.JSON and generation.structured
        return Sampling(
            generation.max_tokens,
            generation.temperature,
            generation.top_p,
            self.context.seed,
            ("\n",) if line else ("###",),
            schema(self.writer.labels) if held else None,
        )


def _is_hosted(settings: GeneratorSettings) -> bool:
    """Whether the weights are on a server and nowhere here."""
    return settings.backend == "openai" and not weights.is_local(settings.model)


def _text(answer: Answer, format: Format) -> Text:
    return Text(answer.text, format, answer.cut)


def _example_json(labeled: Labeled) -> dict[str, Any]:
    sentence = labeled.sentence
    return {
        "words": sentence.words,
        "text": sentence.text,
        "offsets": sentence.offsets,
        "spans": [[span.start, span.end, span.label] for span in labeled.spans],
    }


def _example(value: dict[str, Any]) -> Labeled:
    offsets = value["offsets"] and tuple((start, end) for start, end in value["offsets"])
    sentence = Sentence("example", tuple(value["words"]), None, value["text"], offsets)
    return Labeled(sentence, tuple(Span(*span) for span in value["spans"]))
