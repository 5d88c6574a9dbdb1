"""The baseline that reads nothing: the most frequent label of every mention seen in training."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.contracts import QUICK, Context, Cost, Resources, System
from harness.outputs import RawOutput, Spans
from harness.settings import CLOSED
from harness.spans import Labeled, Sentence, Span

_FILE = "gazetteer.json"


@dataclass(frozen=True, slots=True, config=CLOSED)
class Settings:
    """`lowercase` matches mentions in any case. `min_share`: in how many of its places a run of words is a mention."""

    lowercase: bool = False
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.5


class Gazetteer(System):
    """Marks the longest known mention at each place, left to right."""

    settings_type: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.entries: dict[tuple[str, ...], str] = {}
        self.longest = 0

    @classmethod
    def resources(cls, settings: Settings) -> Resources:
        return QUICK

    def fit(self, train: Sequence[Labeled], validation: Sequence[Labeled]) -> None:
        seen: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for labeled in train:
            for span in labeled.spans:
                seen[self._key(labeled.sentence.words[span.start : span.end])][span.label] += 1
        self.longest = max((len(key) for key in seen), default=0)
        occurs: Counter[tuple[str, ...]] = Counter()
        for labeled in train:
            occurs.update(key for _, _, key in self._runs(labeled.sentence) if key in seen)
        for key, labels in seen.items():
            if labels.total() >= self.settings.min_share * occurs[key]:
                self.entries[key] = min(labels, key=lambda label: (-labels[label], label))

    def predict(self, sentences: Sequence[Sentence]) -> list[RawOutput]:
        return [Spans(tuple(self._spans(sentence))) for sentence in sentences]

    def cost(self) -> Cost:
        return Cost(notes={"entries": len(self.entries)})

    def save(self, folder: Path) -> None:
        content = [[list(key), label] for key, label in sorted(self.entries.items())]
        (folder / _FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        self.entries = {tuple(key): label for key, label in content}
        self.longest = max((len(key) for key in self.entries), default=0)

    def _key(self, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(word.lower() for word in words) if self.settings.lowercase else tuple(words)

    def _runs(self, sentence: Sentence) -> list[tuple[int, int, tuple[str, ...]]]:
        words = self._key(sentence.words)
        ends = range(1, self.longest + 1)
        return [(i, i + n, words[i : i + n]) for i in range(len(words)) for n in ends if i + n <= len(words)]

    def _spans(self, sentence: Sentence) -> list[Span]:
        words = self._key(sentence.words)
        found: list[Span] = []
        at = 0
        while at < len(words):
            lengths = range(min(self.longest, len(words) - at), 0, -1)
            length = next((n for n in lengths if words[at : at + n] in self.entries), 0)
            if length:
                found.append(Span(at, at + length, self.entries[words[at : at + length]]))
            at += length or 1
        return found
