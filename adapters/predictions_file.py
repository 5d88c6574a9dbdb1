"""Anybody's predictions as a system: a file with the test sentences in order, or by id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from harness.columns import Layout, Separator
from harness.contracts import QUICK, Resources, System
from harness.outputs import RawOutput
from harness.predictions import read_predictions
from harness.schemes import Scheme
from harness.settings import CLOSED
from harness.spans import Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Settings:
    """The file. For column files: which columns hold word and tag, how they end, and the scheme of the tags."""

    path: str
    scheme: Scheme = Scheme.IOB2
    word: int = 0
    tag: int = -1
    separator: Separator = "white-space"
    comment: str = ""


class PredictionsFile(System):
    """Returns what the file says of each sentence."""

    settings_type: ClassVar[type[Settings]] = Settings
    scored_splits: ClassVar[tuple[str, ...]] = ("test",)

    @classmethod
    def resources(cls, settings: Settings) -> Resources:
        return QUICK

    @classmethod
    def missing(cls, settings: Settings) -> str:
        path = Path(settings.path)
        return "" if path.is_file() else f"The predictions file {path} does not exist."

    @classmethod
    def fingerprint(cls, settings: Settings) -> str:
        return hashlib.sha256(Path(settings.path).read_bytes()).hexdigest()

    @classmethod
    def check(cls, settings: Settings, sentences: Sequence[Sentence]) -> None:
        if sentences:
            _read(settings, sentences)

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        return _read(self.settings, sentences)


def _read(settings: Settings, sentences: Sequence[Sentence]) -> list[RawOutput]:
    layout = Layout(settings.word, settings.tag, separator=settings.separator, comment=settings.comment)
    return read_predictions(Path(settings.path), sentences, layout, settings.scheme)
