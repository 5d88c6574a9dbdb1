"""What carries prompts to a model and brings its answers back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.adapters.generator_settings import GeneratorSettings
from harness.adapters.prompts import Prompt

from harness.registry import resolve

BACKENDS = {
    "vllm": "harness.adapters.backends.vllm:Vllm",
    "openai": "harness.adapters.backends.openai:OpenAI",
    "transformers": "harness.adapters.backends.transformers:Transformers",
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn. `schema` is a JSON schema that holds them, where the backend can do that."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    schema: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, and how many tokens were read and written.

    `cut` where it came to `max_tokens`; `refused` is what a server said that would not take the prompt.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool = False
    refused: str = ""


class Backend(ABC):
    """A model that answers prompts. `folder` holds its weights; None where a server has them."""

    def __init__(self, settings: GeneratorSettings, folder: Path | None) -> None:
        self.settings, self.folder = settings, folder

    @classmethod
    def missing(cls, settings: GeneratorSettings) -> str:
        """What stands in the way, or an empty text."""
        return ""

    def start(self) -> None:
        """Make ready to answer: load the weights, where they are loaded here."""

    @abstractmethod
    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        """The answer to each prompt with the prompt's place in the list, as they come."""


def backend_class(name: str) -> type[Backend]:
    """The backend of that name."""
    found: type[Backend] = resolve(BACKENDS, "backend", name)
    return found
