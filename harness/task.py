"""Task cards: what a task is called, what its labels are, where its files come from and who reads them."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.errors import CardError, UnknownName
from harness.registry import READERS, card_paths, check_name
from harness.settings import CLOSED, NAME, build, merged, nested, read_toml

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, config=CLOSED)
class SplitSize:
    """What the publisher says a split holds."""

    sentences: int
    spans: int | None = None


@dataclass(frozen=True, slots=True, config=CLOSED)
class Brief:
    """What a prompt says of a task: what its spans are called, what a label says of one, and what each label means."""

    mentions: str = "mentions"
    attribute: str = "label"
    definitions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=CLOSED)
class TaskCard:
    """A task.

    `labels` maps each label to the words that a prompt uses for it; without any, the labels are those found in train
    and validation. `brief` is read by systems that are prompted, and by no other. `files` gives each split its file
    patterns, which are alternatives: one of them may name files. A split in `holdout` is drawn from train instead:
    that share of it, by documents where there are documents.
    """

    name: Annotated[str, Field(pattern=NAME)]
    reader: str
    description: str = ""
    version: str = "1"
    labels: dict[str, str] = Field(default_factory=dict)
    brief: Brief = Field(default_factory=Brief)
    source: str = ""
    license: str = ""
    citation: str = ""
    files: dict[str, list[str]] = Field(default_factory=dict)
    expected: dict[str, SplitSize] = Field(default_factory=dict)
    holdout: dict[str, float] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    hub: dict[str, Any] = Field(default_factory=dict)
    align: Literal["snap", "drop"] = "snap"


def task_names(pattern: str = "*") -> list[str]:
    """Names of the installed tasks that match a shell pattern. Raises UnknownName where none does."""
    known = card_paths("task")
    if pattern in known or pattern.endswith(".toml"):
        return [pattern]
    found = fnmatch.filter(known, pattern)
    if not found:
        raise UnknownName("task", pattern, known, "See them all with: harness ls tasks.")
    return found


def task_card(name: str, overrides: dict[str, Any] | None = None) -> TaskCard:
    """The card of that name, or in that file, with `overrides` (dotted keys) laid on it.

    Raises UnknownName for a task or key nobody knows, DataError and CardError for a broken card.
    """
    path = Path(name) if name.endswith(".toml") else card_paths("task")[task_names(name)[0]]
    where = f"the task card {path}"
    card = build(TaskCard, merged(read_toml(path), nested(overrides or {})), where)
    check_name(READERS, f"reader in {where}", card.reader)
    for table in (card.files, card.holdout, card.expected):
        for split in table:
            if split not in SPLITS:
                raise UnknownName(f"split in {where}", split, SPLITS)
    for label in card.brief.definitions:
        if card.labels and label not in card.labels:
            raise UnknownName(f"label of brief.definitions in {where}", label, card.labels)
    for split, share in card.holdout.items():
        if split == "train" or not 0 < share < 1:
            raise CardError(f"{where}: holdout.{split} = {share} must be a share of train between 0 and 1.")
        if card.files.get(split):
            raise CardError(f"{where}: {split} has files and is held out of train; leave out files.{split}, or this.")
    if card.name == "index":
        raise CardError(f"{where}: no task may be called index, which is the page that leads to all boards.")
    return card


def is_task_key(key: str) -> bool:
    """Whether an override belongs to the task's card (`align`, `options.scheme`) rather than to a system's."""
    return key.split(".")[0] in TaskCard.__dataclass_fields__ and key != "name"
