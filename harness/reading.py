"""What a reader is asked and what it answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.align import without_overlaps
from harness.errors import DataError, UnknownName
from harness.settings import build
from harness.spans import Labeled, Sentence, Span

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One split to read: its files, the labels that the task has, and the reader's options as the card gives them.

    `where` says in errors what the options are those of.
    """

    split: str
    paths: tuple[Path, ...]
    labels: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    align: Literal["snap", "drop"] = "snap"
    where: str = "the reader's options"

    def options_as(self, kind: type[T]) -> T:
        """The options as the reader's settings class. Raises UnknownName and CardError."""
        return build(kind, self.options, self.where)

    def names(self) -> dict[Path, str]:
        """What the sentences of each file are named after: its stem, or its path where several files have that stem."""
        stems = Counter(path.stem for path in self.paths)
        parents = [path.parent for path in self.paths]
        folder = os.path.commonpath(parents) if parents else ""
        return {
            path: path.stem if stems[path.stem] == 1 else path.relative_to(folder).as_posix() for path in self.paths
        }

    def check_label(self, label: str, path: Path, line: int | None) -> str:
        """The label, if it is one and the task has it. Raises DataError naming file and line."""
        if not label:
            raise DataError(path, line, "a span has an empty label.")
        if self.labels and label not in self.labels:
            raise DataError(
                path, line, str(UnknownName("label", label, self.labels)), "Labels are named in the task's card."
            )
        return label


@dataclass(slots=True)
class Reading:
    """Sentences in the order of the files, and a count of everything that had to be changed to read them."""

    sentences: list[Labeled] = field(default_factory=list)
    report: Counter[str] = field(default_factory=Counter)
    _ids: set[str] = field(default_factory=set)

    def add(self, sentence: Sentence, spans: Sequence[Span], path: Path, line: int) -> None:
        """Take a sentence with its gold, however that overlaps: of overlapping spans the longest stays, then the first.

        Raises DataError for a second sentence of the same id and for spans outside the sentence.
        """
        if sentence.id in self._ids:
            raise DataError(
                path, line, f"the sentence id {sentence.id!r} was already used.", "Ids must be unique in a split."
            )
        self._ids.add(sentence.id)
        for span in spans:
            if span.end > len(sentence.words):
                words = len(sentence.words)
                what = f"the span [{span.start}, {span.end}) ends outside the sentence, which has {words} words."
                raise DataError(path, line, what)
        kept, dropped = without_overlaps(spans)
        if dropped:
            self.report["overlapping"] += len(dropped)
        self.sentences.append(Labeled(sentence, tuple(spans[i] for i in kept)))
