"""What a system is to the harness. Adapters implement this; nothing else about them is known here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import UserError
from harness.outputs import RawOutput
from harness.spans import Labeled, Sentence
from harness.task import Brief


@dataclass(frozen=True, slots=True)
class Context:
    """What a system is told about the run it is in.

    `labels` maps each label to its words, `brief` says what the task is about.
    `folder` belongs to the run: checkpoints written there survive a crash and are gone once the run is
    stored; only its subfolder `trackers` is kept.
    `validation_f1` scores outputs for the validation sentences (0 to 100): the way to choose an epoch.
    `log` takes one row of training progress (step, loss, learning rate, ...) for `train.jsonl`.
    """

    labels: Mapping[str, str]
    brief: Brief
    seed: int
    folder: Path
    log: Callable[[Mapping[str, float]], None]
    validation_f1: Callable[[Sequence[RawOutput]], float]
    progress: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a system says of itself after a run, beyond what the harness measures.

    `choices` names what was chosen by a score, and on which split ("epoch": "validation"). `predict_seconds` is for
    systems that keep answers of earlier, interrupted sessions of a run, and so know better how long they took.
    """

    parameters: int = 0
    trained_parameters: int = 0
    choices: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    predict_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run needs of a machine while it is carried out."""

    cores: int
    gpus: int
    memory_gib: float


QUICK = Resources(cores=1, gpus=0, memory_gib=0.5)  # of what is done in a moment, and not worth a process


class System(ABC):
    """A system: made from its settings, fitted once, then asked for raw outputs. It never sees test gold.

    `version` is part of every run's identity: raise it when the same settings give other outputs.
    `scored_splits` are the splits it can answer for. `reads_brief` says that the task's brief changes what it answers,
    and so is part of its identity. What has a body here is what a system without a model needs.
    """

    version: ClassVar[int] = 1
    settings_type: ClassVar[type[Any]]
    scored_splits: ClassVar[tuple[str, ...]] = ("validation", "test")
    reads_brief: ClassVar[bool] = False

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    @classmethod
    def seeded(cls, settings: Any) -> bool:
        """Whether the seed changes the outputs; where it does not, one run is enough."""
        return False

    @classmethod
    def missing(cls, settings: Any) -> str:
        """What stands in the way of running with these settings (weights, packages), or an empty text."""
        return ""

    @classmethod
    def fingerprint(cls, settings: Any) -> str:
        """A digest of what the settings only point at (weights, a file), so that other content is another run."""
        return ""

    @classmethod
    def citations(cls, settings: Any) -> Sequence[str]:
        """What to cite beside the model: "Authors, year. Title. Venue." each."""
        return ()

    @classmethod
    def resources(cls, settings: Any) -> Resources:
        """What a run with these settings needs, by an estimate: executors share machines out by it."""
        return Resources(cores=1, gpus=0, memory_gib=1.0)

    @classmethod
    def check(cls, settings: Any, sentences: Sequence[Sentence]) -> None:
        """Raise a UserError for what would stop a run on these test sentences, if that is known before it begins."""

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        """Learn from sentences with their spans. Nothing to learn, by default."""

    def ready(self) -> None:
        """Load what answers, after `fit` or `load`; timed apart from both. Nothing to load, by default."""

    @abstractmethod
    def predict(self, sentences: Sequence[Sentence]) -> Sequence[RawOutput]:
        """A raw output for each sentence, in order."""

    def prompt(self, train: Sequence[Labeled], sentence: Sentence) -> str:
        """The text that the system asks about a sentence. Raises UserError where it asks nothing."""
        raise UserError("This system has no prompts; those of prompted models can be shown.")

    def cost(self) -> Cost:
        """What the harness cannot measure from outside."""
        return Cost()

    def save(self, folder: Path) -> None:
        """Write what `load` needs: safetensors and JSON, nothing executable. Nothing to keep, by default."""

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote, instead of `fit`."""


class GoldSystem(System):
    """The one kind of system that is given the gold: it shows what the way from outputs to scores costs."""

    @abstractmethod
    def answer(self, gold: Sequence[Labeled]) -> Sequence[RawOutput]:
        """A raw output for each sentence, made from its gold."""
