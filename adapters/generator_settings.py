"""The settings of a generator: everything a card, a preset or `--set` can say. No heavy import stands here."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from harness.adapters.settings import Lora, Machine, Model, Positive, Train
from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.responses import Format
from harness.settings import CLOSED


@dataclass(frozen=True, slots=True, config=CLOSED)
class PromptSettings:
    """What a model is asked.

    `style` sections are the paper's four; chat is the model's own template. `shots` examples are taken from train, at
    random by the seed, or the most similar ones to each sentence. `definitions` says what each label means. A prompt
    over `max_tokens` loses examples, never a part of the sentence.
    """

    style: Literal["sections", "chat"] = "sections"
    shots: Annotated[int, Field(ge=0)] = 0
    choose: Literal["random", "similar"] = "random"
    definitions: bool = True
    max_tokens: Positive = 1536


@dataclass(frozen=True, slots=True, config=CLOSED)
class Generation:
    """How a response is written: at most `max_tokens`; greedily at temperature 0; for json, held to its schema."""

    max_tokens: Positive = 512
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    structured: bool = True


@dataclass(frozen=True, slots=True, config=CLOSED)
class Tuning(Train):
    """The optimization. `pack` makes each of a batch's rows of examples of that many tokens in all; 0 is one a row."""

    pack: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True, config=CLOSED)
class Price:
    """What a hosted model costs, in US dollars for a million tokens."""

    prompt: Annotated[float, Field(ge=0)] = 0.0
    completion: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, slots=True, config=CLOSED)
class GeneratorMachine(Machine):
    """What changes how a run is carried out, and not what comes out of it.

    `url` is that of a server for the backend openai (`http://host:port/v1`); without it, OpenAI's own. `key_variable`
    is the environment variable with its key: OPENAI_API_KEY for OpenAI's own, none for others unless said. At most
    `concurrency` requests are under way; each is tried again up to `retries` times.
    """

    url: str = ""
    key_variable: str = ""
    price: Price = field(default_factory=Price)
    concurrency: Positive = 16
    retries: Annotated[int, Field(ge=0)] = 12
    timeout_seconds: Positive = 300
    kv_cache_gib: Positive = 4
    gpu_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.85
    batch: Positive = 16


@dataclass(frozen=True, slots=True, config=CLOSED)
class GeneratorSettings:
    """A language model that is asked for the mentions of a sentence.

    `served_model` is the name by which a server knows it, where that is not `model.path`.
    """

    model: Model
    format: Format = Format.LISTING
    backend: Literal["vllm", "openai", "transformers"] = "vllm"
    prompt: PromptSettings = field(default_factory=PromptSettings)
    generation: Generation = field(default_factory=Generation)
    served_model: str = ""
    machine: GeneratorMachine = field(default_factory=GeneratorMachine)


@dataclass(frozen=True, slots=True, config=CLOSED)
class InstructedSettings(GeneratorSettings):
    """A language model that is fine-tuned to write the mentions of a sentence."""

    lora: Lora = field(default_factory=Lora)
    train: Tuning = field(default_factory=Tuning)
