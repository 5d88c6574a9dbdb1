"""The gold, sent through the way that outputs take: what it loses, no system can win."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from harness.contracts import Context, Cost
from harness.outputs import RawOutput, Tags
from harness.schemes import Scheme, encode
from harness.settings import CLOSED
from harness.spans import Labeled, Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Settings:
    """The tag scheme that the gold is written in."""

    scheme: Scheme = Scheme.IOB2


class Oracle:
    """Writes the gold as tags. The judge hands it the gold through `answer`; every record of it says so."""

    version: ClassVar[int] = 1
    settings_type: ClassVar[type[Settings]] = Settings
    scored_splits: ClassVar[tuple[str, ...]] = ("validation", "test")
    seeded: ClassVar[bool] = False

    def __init__(self, settings: Settings, context: Context) -> None:
        self.settings = settings

    @classmethod
    def missing(cls, settings: Settings) -> str:
        return ""

    @classmethod
    def fingerprint(cls, settings: Settings) -> str:
        return ""

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        """Nothing to learn."""

    def answer(self, gold: Sequence[Labeled]) -> list[RawOutput]:
        scheme = self.settings.scheme
        return [Tags(tuple(encode(lab.spans, len(lab.sentence.words), scheme)), scheme) for lab in gold]

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        raise AssertionError("the oracle is asked through answer()")

    def cost(self) -> Cost:
        return Cost()

    def save(self, folder: Path) -> None:
        """Nothing to keep."""

    def load(self, folder: Path) -> None:
        """Nothing was kept."""
