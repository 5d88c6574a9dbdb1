"""The record of a run: everything needed to know what was run, on what, and what came out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pydantic_core

from harness.dataset import Dataset
from harness.decode import DECODE_VERSION, Policy
from harness.errors import StoreError
from harness.protocol import SplitScore
from harness.scoring import Counts, Row
from harness.settings import NAME
from harness.system import MACHINE, ResolvedSystem, adapter_class

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A finished run, as `record.json` holds it. Seconds are wall clock, memory is in MiB, scores run from 0 to 100."""

    schema: int
    identity: str
    system: str
    title: str
    adapter: str
    adapter_version: int
    preset: str
    overrides: dict[str, Any]
    task_overrides: dict[str, Any]
    settings: dict[str, Any]
    fingerprint: str
    sees_gold: bool
    task: str
    task_card: dict[str, Any]
    labels: dict[str, str]
    data: dict[str, dict[str, Any]]
    limit: int | None
    seed: int
    policy: str
    scores: dict[str, SplitScore]
    choices: dict[str, str]
    cost: dict[str, Any]
    environment: dict[str, Any]
    started: str
    finished: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, default=plain) + "\n"


def plain(value: Any) -> Any:
    """A value of another package as JSON has it: numpy's numbers are numbers, anything else is what it prints as."""
    return value.item() if hasattr(value, "item") else str(value)


def from_json(text: bytes, where: str) -> Record:
    """Read a record. Raises StoreError for one of another schema or with other fields, ValueError for none at all."""
    values = pydantic_core.from_json(text)  # in half the time of json's, which boards of many runs feel
    if not isinstance(values, dict):
        raise ValueError("it holds no table of fields")
    if values.get("schema") != SCHEMA:
        raise StoreError(f"{where} has schema {values.get('schema')!r}; this version of harness reads schema {SCHEMA}.")
    if not re.fullmatch(NAME, str(values["task"])):  # it becomes a path and a link
        raise ValueError(f"no task can be called {values['task']!r}")
    counts = [values["cost"].get(key) for key in ("parameters", "trained_parameters")]
    if any(isinstance(count, str) for count in counts):
        raise ValueError("its parameters are no numbers")
    scores = {split: SplitScore(**score) for split, score in values.pop("scores").items()}
    return Record(**values, scores=scores)


def identity_of(system: ResolvedSystem, fingerprint: str, dataset: Dataset, policy: Policy) -> str:
    """A digest of everything that changes a result, seed apart."""
    settings = {key: value for key, value in system.settings.items() if key != MACHINE}
    adapter = adapter_class(system.card)
    card = asdict(dataset.card)
    if not adapter.reads_brief:
        del card["brief"]
    content = {
        "adapter": [system.card.adapter, adapter.version],
        "settings": settings,
        "fingerprint": fingerprint,
        "task": card,
        "labels": list(dataset.labels.items()),
        "data": dataset.hash,
        "protocol": [policy.value, DECODE_VERSION],
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def row_to_json(row: Row) -> dict[str, Any]:
    """A row in few bytes: counts as [gold, predicted, matched]."""
    return {
        "id": row.sentence,
        "document": row.document,
        "labels": {name: [c.gold, c.predicted, c.matched] for name, c in row.labels.items()},
        "slices": {name: [c.gold, c.predicted, c.matched] for name, c in row.slices.items()},
    }


def row_from_json(value: Mapping[str, Any]) -> Row:
    labels = {name: Counts(*counts) for name, counts in value["labels"].items()}
    slices = {name: Counts(*counts) for name, counts in value["slices"].items()}
    return Row(value["id"], value["document"], labels, slices)
