"""`harness check`: what a task's files hold, and whether a system could run here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.commands.quiet import quiet_libraries
from harness.commands.tables import columns
from harness.dataset import Dataset, Split, load_dataset, refuse_unread
from harness.errors import CardError, MissingModel
from harness.settings import parse_overrides
from harness.system import adapter_class, refuse_unused, resolve_system, settings_of, system_names
from harness.task import is_task_key, task_card, task_names


def check_all(
    tasks: Sequence[str], systems: Sequence[str], pairs: Sequence[str], data: Path | None, as_json: bool
) -> int:
    """Check tasks and systems and print what was found; the exit code.

    Raises the first error there is to mend, or one that names all the weights that are missing.
    """
    if not tasks and not systems:
        raise CardError("harness check needs a --task, a --system, or both.")
    quiet_libraries()
    overrides = parse_overrides(list(pairs))
    on_tasks = {key: value for key, value in overrides.items() if is_task_key(key)}
    on_systems = {key: value for key, value in overrides.items() if key not in on_tasks}
    found: dict[str, Any] = {"tasks": {}, "systems": {}}
    cards = [task_card(name, on_tasks) for pattern in tasks for name in task_names(pattern)]
    refuse_unread(data, cards)
    for card in cards:
        found["tasks"][card.name] = _task(load_dataset(card, data))
    resolved = [resolve_system(name, "", on_systems) for pattern in systems for name in system_names(pattern)]
    refuse_unused(on_systems, "", resolved)
    lacks = []
    for system in resolved:
        adapter, settings = adapter_class(system.card), settings_of(system)
        if lack := adapter.missing(settings):
            lacks.append(lack)
        else:
            adapter.check(settings, [])
        found["systems"][system.name] = {"ready": not lack}
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else _text(found))
    if lacks:
        raise MissingModel(" ".join(dict.fromkeys(lacks)))
    return 0


def _task(dataset: Dataset) -> dict[str, Any]:
    return {
        "hash": dataset.hash,
        "splits": {name: _split(dataset, name, split) for name, split in dataset.splits.items()},
    }


def _split(dataset: Dataset, name: str, split: Split) -> dict[str, Any]:
    documents = {labeled.sentence.document for labeled in split.sentences} - {None}
    expected = dataset.card.expected.get(name)
    result: dict[str, Any] = {
        "sentences": len(split.sentences),
        "words": sum(len(labeled.sentence.words) for labeled in split.sentences),
        "documents": len(documents),
        "spans": split.spans.total(),
        "spans_by_label": dict(split.spans.most_common()),
        "also_in_train": dataset.also_in_train(name),
        "changes": dict(split.report),
        "hash": split.hash,
    }
    if expected is not None and name in dataset.as_read:
        sentences, spans = dataset.as_read[name]
        result["as_published"] = sentences == expected.sentences and expected.spans in (None, spans)
    return result


def _text(found: dict[str, Any]) -> str:
    lines: list[str] = []
    for task, content in found["tasks"].items():
        lines.append(f"{task}  {content['hash'][:16]}")
        head = ["split", "sentences", "words", "documents", "spans", "also in train", "changes", "as published", "hash"]
        rows = []
        for name, split in content["splits"].items():
            changes = ", ".join(f"{what} {count}" for what, count in split["changes"].items()) or "none"
            published = {True: "yes", False: "NO", None: ""}[split.get("as_published")]
            counts = [f"{split[key]:,}" for key in ("sentences", "words", "documents", "spans")]
            also = "" if split["also_in_train"] is None else f"{split['also_in_train']:,}"
            rows.append([name, *counts, also, changes, published, split["hash"][:16]])
        lines += [columns([head, *rows]), ""]
        labels = list(dict.fromkeys(label for split in content["splits"].values() for label in split["spans_by_label"]))
        by_label = [
            [label, *(f"{s['spans_by_label'].get(label, 0):,}" for s in content["splits"].values())] for label in labels
        ]
        lines += [columns([["label", *content["splits"]], *by_label]), ""]
    lines += [f"{name}: {'ready' if system['ready'] else 'not ready'}" for name, system in found["systems"].items()]
    return "\n".join(lines).rstrip()
