"""What a stored run said of its test sentences, and the sentences themselves where their files are at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.dataset import load_dataset
from harness.errors import UserError
from harness.record import Record
from harness.settings import build
from harness.spans import Labeled, Span
from harness.store import PREDICTIONS, unreadable
from harness.task import TaskCard


def stored_spans(folder: Path) -> list[list[Span]]:
    """The spans that a run said of each test sentence. Raises StoreError where they cannot be read."""
    path = folder / PREDICTIONS
    try:
        with path.open(encoding="utf-8") as stream:
            values = map(json.loads, stream)
            return [[Span(*span) for span in value["spans"]] for value in values if value["split"] == "test"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise unreadable(path, "list of predictions", error) from error


def stored_gold(record: Record, data: Path | None) -> Sequence[Labeled]:
    """The test sentences, where their files are at hand and have not changed; or nothing."""
    try:
        dataset = load_dataset(build(TaskCard, record.task_card, "the task's card"), data, record.limit)
    except UserError:
        return ()
    test = dataset.splits["test"]
    return test.sentences if test.hash == record.data["test"]["hash"] else ()
