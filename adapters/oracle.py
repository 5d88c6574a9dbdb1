"""The gold, sent through the way that outputs take: what it loses, no system can win."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass

from harness.contracts import GoldSystem
from harness.errors import UserError
from harness.outputs import RawOutput, Tags
from harness.schemes import Scheme, encode
from harness.settings import CLOSED
from harness.spans import Labeled, Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Settings:
    """The tag scheme that the gold is written in."""

    scheme: Scheme = Scheme.IOB2


class Oracle(GoldSystem):
    """Writes the gold as tags. The judge hands it the gold through `answer`; every record of it says so."""

    settings_type: ClassVar[type[Settings]] = Settings

    def answer(self, gold: Sequence[Labeled]) -> list[RawOutput]:
        scheme = self.settings.scheme
        return [Tags(tuple(encode(lab.spans, len(lab.sentence.words), scheme)), scheme) for lab in gold]

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        raise UserError("The oracle has nothing to say of sentences without gold.")
