"""The generator: a language model that is asked for the mentions of a sentence, and writes them as text."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from harness.adapters import trackers, weights
from harness.adapters.answers import Answers
from harness.adapters.backends import Answer, Backend, Sampling, backend_class
from harness.adapters.citations import VLLM
from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.needs import needs
from harness.adapters.prompts import Prompt, PromptWriter
from harness.adapters.tokens import context_length, load_tokenizer, token_ids

from harness.contracts import Context, Cost, Resources, System
from harness.environment import usable_cores
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
        self.room = _room(self.base, settings) if self.base else sys.maxsize
        self.answers = Answers(context.folder)
        self.shown: list[int] = []  # examples in each prompt
        self.backend: Backend

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
        return settings.machine.url if _is_hosted(settings) else weights.fingerprint(settings.model)

    @classmethod
    def citations(cls, settings: GeneratorSettings) -> Sequence[str]:
        return [VLLM] if settings.backend == "vllm" else []

    @classmethod
    def resources(cls, settings: GeneratorSettings) -> Resources:
        """Those of vLLM's engine, which takes all cores; a server needs none of ours."""
        machine = settings.machine
        if settings.backend == "openai":
            return needs(None, machine, fixed_gib=1, gib_per_billion=0)
        engine = 10 + machine.kv_cache_gib if settings.backend == "vllm" else 2
        return needs(settings.model, machine, engine, gib_per_billion=16, cores=len(usable_cores()))

    @classmethod
    def check(cls, settings: GeneratorSettings, sentences: Sequence[Sentence]) -> None:
        """Raises CardError for what the backend does not do, and for a model without room for an answer."""
        check_backend(settings)
        if not _is_hosted(settings) and _room(weights.folder_of(settings.model), settings) <= 0:
            raise CardError(
                f"generation.max_tokens = {settings.generation.max_tokens} leaves no room for a prompt: the model can "
                f"read and write {context_length(weights.folder_of(settings.model))} tokens in all."
            )

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        self.writer = self.new_writer(train)

    def ready(self) -> None:
        self.backend = backend_class(self.settings.backend)(self.settings, self.base)
        self.backend.start()

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        prompts = [self.writer.write(sentence) for sentence in sentences]
        self.shown += [prompt.examples for prompt in prompts]
        fits = [self._tokens(prompt) <= self.room for prompt in prompts]
        asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        answers = iter(self.answers.ask(self.backend, asked, self._sampling(), self.context.progress))
        return [
            self._text(sentence, next(answers) if fit else None) for sentence, fit in zip(sentences, fits, strict=True)
        ]

    def prompt(self, train: Sequence[Labeled], sentence: Sentence) -> str:
        prompt = self.new_writer(train).write(sentence)
        return str(self.tokenizer().decode(token_ids(self.tokenizer(), prompt))) if self.base else str(prompt)

    def cost(self) -> Cost:
        known = self.answers.known.values()
        read = sum(answer.prompt_tokens for answer in known)
        written = sum(answer.completion_tokens for answer in known)
        seconds = self.answers.seconds
        price = self.settings.machine.price
        notes: dict[str, Any] = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "generation_seconds": round(seconds, 3),
            "completion_tokens_per_second": round(written / seconds, 1) if seconds else None,
        }
        if self.settings.prompt.shots and self.shown:
            notes["examples_a_prompt"] = round(sum(self.shown) / len(self.shown), 2)  # fewer where more had no room
        if price.prompt or price.completion:
            notes["us_dollars"] = round((read * price.prompt + written * price.completion) / 1e6, 6)
        return Cost(weights.parameters(self.base) if self.base else 0, notes=notes, predict_seconds=seconds)

    def save(self, folder: Path) -> None:
        examples = [_example_json(one) for one in self.writer.examples]
        (folder / _EXAMPLES).write_text(json.dumps(examples, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        examples = [_example(value) for value in json.loads((folder / _EXAMPLES).read_text(encoding="utf-8"))]
        self.writer = self.new_writer(examples, chosen=True)

    def new_writer(self, train: Sequence[Labeled], chosen: bool = False) -> PromptWriter:
        """What writes prompts with examples from `train`; `chosen` where these were chosen already."""
        return PromptWriter(self.settings, self.context, train, self._tokens, self.room, chosen)

    def _tokens(self, prompt: Prompt) -> int:
        if self.base is None:
            return sum(len(turn) for turn in prompt.turns) // _GUESS
        return len(token_ids(self.tokenizer(), prompt))

    def tokenizer(self) -> Any:
        return load_tokenizer(self.folder(), self.settings.model)

    def folder(self) -> Path:
        assert self.base is not None
        return self.base

    def _text(self, sentence: Sentence, answer: Answer | None) -> Text:
        """The answer as a raw output; without one, no word of the sentence was seen."""
        if answer is None or answer.refused:
            return Text("", self.settings.format, unseen=tuple(range(len(sentence.words))))
        return Text(answer.text, self.settings.format, answer.cut)

    def _sampling(self) -> Sampling:
        settings, generation = self.settings, self.settings.generation
        stop: tuple[str, ...] = ()
        if settings.prompt.style == "sections":
            stop = ("\n",) if settings.format is Format.LISTING else ("\n### ",)
        held = settings.format is Format.JSON and generation.structured
        return Sampling(
            generation.max_tokens,
            generation.temperature,
            generation.top_p,
            self.context.seed,
            stop,
            schema(self.writer.labels) if held else None,
        )


def _is_hosted(settings: GeneratorSettings) -> bool:
    """Whether the weights are on a server and nowhere here."""
    return settings.backend == "openai" and not weights.is_local(settings.model)


def _room(folder: Path, settings: GeneratorSettings) -> int:
    """The longest prompt, in tokens, that leaves room for an answer."""
    return context_length(folder) - settings.generation.max_tokens


def check_backend(settings: GeneratorSettings) -> None:
    """Raise CardError for what the settings ask of a backend that it does not do."""
    if settings.backend == "vllm" and settings.model.quantization != "none":
        raise CardError("The backend vllm serves weights in model.dtype; say --set model.quantization=none.")
    if settings.backend == "transformers" and settings.format is Format.JSON and settings.generation.structured:
        raise CardError(
            "The backend transformers holds no answer to a schema; say --set generation.structured=false, or use vllm."
        )
    if "@" in settings.machine.url:
        raise CardError("machine.url must hold no user name or key; name its variable with machine.key_variable.")
    if settings.machine.url and not _is_url(settings.machine.url):
        raise CardError(f"machine.url must be http://HOST:PORT/v1 or https://..., not {settings.machine.url!r}.")
    if settings.backend != "openai":
        for key, value in {"machine.url": settings.machine.url, "served_model": settings.served_model}.items():
            if value:
                raise CardError(f"{key} is for --set backend=openai; the backend {settings.backend} asks no server.")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or the host's brackets
        return False


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
