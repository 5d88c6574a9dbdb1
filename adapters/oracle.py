"""The gold, sent through the way that outputs take: what it loses, no system can win."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from harness.contracts import QUICK, GoldSystem, Resources
from harness.errors import UserError
from harness.outputs import RawOutput, Tags, Text
from harness.responses import Format, names_of, write
from harness.schemes import Scheme, encode
from harness.settings import CLOSED
from harness.spans import Labeled, Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Settings:
    """How the gold is written: as tags in a scheme, or as a response in a format."""

    format: Literal["tags", "listing", "json", "inline"] = "tags"
    scheme: Scheme = Scheme.IOB2


class Oracle(GoldSystem):
    """Writes the gold as tags or as a response. It is given the gold through `answer`; its records say so."""

    settings_type: ClassVar[type[Settings]] = Settings

    @classmethod
    def resources(cls, settings: Settings) -> Resources:
        return QUICK

    def answer(self, gold: Sequence[Labeled]) -> list[RawOutput]:
        if self.settings.format != "tags":
            format, names = Format(self.settings.format), names_of(self.context.labels)
            return [Text(write(lab.spans, lab.sentence, names, format), format) for lab in gold]
        scheme = self.settings.scheme
        return [Tags(tuple(encode(lab.spans, len(lab.sentence.words), scheme)), scheme) for lab in gold]

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        raise UserError("The oracle has nothing to say of sentences without gold.")
