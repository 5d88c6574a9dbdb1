"""A task's sentences, read once, frozen and hashed before any system sees them."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import CardError, MissingData
from harness.gold import gold_hash
from harness.reading import Reading, Request
from harness.registry import READERS, resolve
from harness.spans import Labeled
from harness.task import SPLITS, TaskCard

DRAW_SEED = 13  # of held-out splits and of --limit; a part of the protocol


@dataclass(frozen=True, slots=True)
class Split:
    """Sentences with gold; what reading them changed; and the hash of their content."""

    sentences: tuple[Labeled, ...]
    report: Mapping[str, int]
    hash: str

    @property
    def spans(self) -> Counter[str]:
        """How many gold spans there are of each label."""
        return Counter(span.label for labeled in self.sentences for span in labeled.spans)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything a run needs of a task. `labels` maps each label to its words, in the order of the tagger's classes.

    `as_read` are sentences and spans of each split as its files have them: before hold-out, overlaps and `limit`, which
    is None where it left nothing out.
    """

    card: TaskCard
    labels: Mapping[str, str]
    splits: Mapping[str, Split]
    as_read: Mapping[str, tuple[int, int]]
    limit: int | None = None

    @property
    def hash(self) -> str:
        """Changes with anything in any split that could change a result, documents, texts and facets included."""
        beside = [
            [s.sentence.id, s.sentence.document, s.sentence.text, s.sentence.offsets, s.facets]
            for name in SPLITS
            for s in self.splits[name].sentences
        ]
        return _digest([*(self.splits[name].hash for name in SPLITS), beside])

    def also_in_train(self, name: str) -> int | None:
        """How many sentences of a split stand, word by word, in what is trained on as well; None for train itself."""
        if name == "train":
            return None
        trained = {tuple(labeled.sentence.words) for labeled in self.splits["train"].sentences}
        return sum(tuple(labeled.sentence.words) in trained for labeled in self.splits[name].sentences)


def load_dataset(card: TaskCard, data: Path | None = None, limit: int | None = None) -> Dataset:
    """Read every split of a task. Raises MissingData naming the files that are not there, DataError for broken ones."""
    readings = _read(card, data)
    as_read = {name: _size(reading) for name, reading in readings.items()}
    shares = {split: share for split, share in card.holdout.items() if split not in readings}
    for split, sentences in _hold_out(readings["train"].sentences, shares).items():
        readings.setdefault(split, Reading()).sentences = sentences
    if limit is not None and all(len(reading.sentences) <= limit for reading in readings.values()):
        limit = None
    splits = {name: _split(readings[name], limit) for name in SPLITS}
    for name in SPLITS:
        if not splits[name].sentences:
            raise CardError(
                f"The {name} split of task {card.name!r} has no sentence; give it more data or another holdout."
            )
    found = sorted({span.label for name in ("train", "validation") for s in splits[name].sentences for span in s.spans})
    return Dataset(card, card.labels or {label: label for label in found}, splits, as_read, limit)


def refuse_unread(data: Path | None, cards: Sequence[TaskCard]) -> None:
    """Raise CardError for a folder of data that none of the tasks reads, since all of them make or fetch their own."""
    if data and not cards:
        raise CardError(f"--data {data} is for tasks, of which none is named: --task NAME.")
    if data and not any(card.files for card in cards):
        names = ", ".join(dict.fromkeys(repr(card.name) for card in cards))
        raise CardError(f"--data {data} would not be read: the card of {names} names no files. Leave --data out.")


def _read(card: TaskCard, data: Path | None) -> dict[str, Reading]:
    """Every split that is not held out: from files, or from the hub where the card names a data set there."""
    wanted = [split for split in SPLITS if split not in card.holdout]
    if not card.files:
        return _read_with(card.reader, card, dict.fromkeys(wanted, ()), "options")
    folders = [folder for folder in _folders(card, data) if folder.is_dir()]
    found = ({split: _find(card.files.get(split, []), folder) for split in wanted} for folder in folders)
    paths = next((paths for paths in found if any(paths.values())), dict.fromkeys(wanted, ()))  # all of one folder
    absent = [split for split in wanted if not paths[split]]
    if not absent:
        return _read_with(card.reader, card, paths, "options")
    missing = _missing(card, absent, data)
    if not card.hub or absent != wanted:
        raise MissingData(missing)
    try:
        return _read_with("hub", card, dict.fromkeys(wanted, ()), "hub")
    except MissingData as error:
        raise MissingData(f"{missing} {error}") from error


def _read_with(
    reader: str, card: TaskCard, paths: Mapping[str, tuple[Path, ...]], table: Literal["options", "hub"]
) -> dict[str, Reading]:
    read = _reader_called(reader)
    beside = (card.labels, getattr(card, table), card.align, f"{table} in the card of task {card.name!r}")
    readings = {split: read(Request(split, found, *beside)) for split, found in paths.items()}
    for split, reading in readings.items():
        if not isinstance(reading, Reading):
            kind = type(reading).__name__
            raise CardError(f"The reader {reader!r} returns a value of type {kind} for {split}; it must be a Reading.")
    return readings


def _reader_called(name: str) -> Callable[[Request], Any]:
    """The reader of that name. Raises CardError for what cannot be given a request, as far as it tells, UnknownName."""
    found: Callable[[Request], Any] = resolve(READERS, "reader", name)
    try:
        with suppress(ValueError):  # of what does not tell
            inspect.signature(found, follow_wrapped=False).bind("a request")
    except TypeError as error:
        raise CardError(f"The reader {name!r} is no function from a request to a reading ({error}).") from error
    return found


def _folders(card: TaskCard, data: Path | None) -> list[Path]:
    folders = [data, data / card.name] if data else []
    root = os.environ.get("HARNESS_DATA")
    return [*folders, Path(root) / card.name] if root else folders


def _find(patterns: Sequence[str], folder: Path) -> tuple[Path, ...]:
    for pattern in patterns:
        if Path(pattern).is_absolute():
            raise CardError(f"The file pattern {pattern!r} must be relative to the folder that --data names.")
    found = {pattern: paths for pattern in patterns if (paths := _matching(folder, pattern))}
    if len(set(found.values())) > 1:
        raise CardError(
            f"The patterns {' and '.join(map(repr, found))} name different files in {folder}; of the patterns of a "
            "split, which are alternatives, one may. Give one pattern for all of the files, or remove a file."
        )
    return next(iter(found.values()), ())


def _matching(folder: Path, pattern: str) -> tuple[Path, ...]:
    try:
        return tuple(sorted(path for path in folder.glob(pattern) if path.is_file()))
    except ValueError as error:
        raise CardError(f"The file pattern {pattern!r} names no files: {error}.") from error


def _missing(card: TaskCard, absent: Sequence[str], data: Path | None) -> str:
    unnamed = [split for split in absent if not card.files.get(split)]
    if unnamed:
        split = unnamed[0]
        return f"The card of task {card.name!r} names no file for {split}: set files.{split} or holdout.{split}."
    if data is not None and not data.is_dir():
        return f"--data {data} is no folder; it must be the one that holds the files of task {card.name!r}."
    files = "; ".join(f"{split}: {' or '.join(card.files[split])}" for split in absent)
    looked = " or ".join(str(folder) for folder in _folders(card, data)) or "no folder (no --data, no HARNESS_DATA)"
    terms = f" (license: {card.license})" if card.license else ""
    source = f" Get it from {card.source}{terms}, then name" if card.source else " Name"
    return (
        f"The data of task {card.name!r} is missing: {files}; looked in {looked}.{source} the folder "
        f"with --data DIR or put it under $HARNESS_DATA/{card.name}/."
    )


def _hold_out(train: Sequence[Labeled], shares: Mapping[str, float]) -> dict[str, list[Labeled]]:
    """Draw splits from train, each the given share of it: documents where there are enough, sentences elsewhere."""
    documents = {labeled.sentence.document for labeled in train}
    by_document = None not in documents and all(len(documents) * share >= 2 for share in shares.values())
    units = [str(labeled.sentence.document if by_document else labeled.sentence.id) for labeled in train]
    home = dict.fromkeys(units, "train")
    count = len(home)
    for split, share in shares.items():
        free = sorted((unit for unit in home if home[unit] == "train"), key=lambda unit: _draw(f"{split}:{unit}"))
        home |= dict.fromkeys(free[: max(1, round(count * share))], split)
    found: dict[str, list[Labeled]] = {name: [] for name in ("train", *shares)}
    for labeled, unit in zip(train, units, strict=True):
        found[home[unit]].append(labeled)
    return found


def _size(reading: Reading) -> tuple[int, int]:
    spans = sum(len(labeled.spans) for labeled in reading.sentences)
    return len(reading.sentences), spans + reading.report["overlapping"]


def _split(reading: Reading, limit: int | None) -> Split:
    sentences = reading.sentences
    if limit is not None and len(sentences) > limit:
        drawn = {s.sentence.id for s in sorted(sentences, key=lambda s: _draw(s.sentence.id))[:limit]}
        sentences = [s for s in sentences if s.sentence.id in drawn]
    return Split(tuple(sentences), dict(reading.report), gold_hash(sentences))


def _draw(name: str) -> str:
    return hashlib.sha256(f"{DRAW_SEED}:{name}".encode(errors="backslashreplace")).hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
