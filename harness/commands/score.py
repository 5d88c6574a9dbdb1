"""`harness score`: any two files, the whole protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.columns import Layout
from harness.commands.tables import columns
from harness.decode import policy_of
from harness.errors import DataError
from harness.files import json_items
from harness.predictions import read_predictions
from harness.protocol import SplitScore, judge, signature
from harness.reading import Request
from harness.registry import READERS, resolve
from harness.schemes import scheme_of
from harness.spans import Labeled


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What `harness score` was asked."""

    gold: Path
    pred: Path
    gold_scheme: str
    pred_scheme: str
    gold_column: int
    pred_column: int
    policy: str
    json: bool


def score_files(options: ScoreOptions) -> None:
    """Score predictions against gold and print the result. Labels are those of the gold."""
    policy = policy_of(options.policy)
    gold = _gold(options)
    layout = Layout(tag=options.pred_column)
    outputs = read_predictions(options.pred, [lab.sentence for lab in gold], layout, scheme_of(options.pred_scheme))
    labels = _Everything()
    digest = hashlib.sha256(options.gold.read_bytes()).hexdigest()
    summary = judge(gold, outputs, labels, signature(options.gold.stem, digest, policy), policy).summary
    print(json.dumps(asdict(summary), indent=2, ensure_ascii=False) if options.json else _text(summary))


class _Everything(Sequence[str]):
    """Holds every label: two files name no task whose labels could be unknown."""

    def __contains__(self, item: object) -> bool:
        return True

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: Any) -> Any:
        raise IndexError(index)


def _gold(options: ScoreOptions) -> list[Labeled]:
    path = options.gold
    if path.suffix in (".json", ".jsonl"):
        _, first = next(json_items(path), (1, None))
        if not isinstance(first, dict):
            raise DataError(path, 1, "gold in JSON must be objects with words (or text) and spans.")
        unit = {"words": "words"} if "words" in first else {"text": "text"}
        reader, fields = "spans-json", {**unit, **({"id": "id"} if "id" in first else {})}
        request = Request("gold", (path,), {}, fields)
    else:
        reader, scheme = "columns", scheme_of(options.gold_scheme)
        request = Request("gold", (path,), {}, {"tag": options.gold_column, "scheme": scheme})
    return list(resolve(READERS, "reader", reader)(request).sentences)


def _text(summary: SplitScore) -> str:
    head = ["", "F1", "P", "R", "gold", "predicted", "matched"]
    low, high = summary.interval
    micro = {"f1": summary.f1, "precision": summary.precision, "recall": summary.recall, **summary.counts}
    rows = [_row(name, values) for name, values in [("micro", micro), *summary.labels.items()]]
    errors = ", ".join(f"{name} {count}" for name, count in summary.errors.items())
    repairs = ", ".join(f"{name} {count}" for name, count in summary.decoding.items()) or "none"
    return (
        f"{columns([head, *rows])}\n\n"
        f"macro F1 {summary.macro_f1:.2f}; 95% interval of the micro F1 {low:.2f} to {high:.2f}\n"
        f"{summary.sentences} sentences, {summary.words} words\n"
        f"errors: {errors}\ninvalid tags: {repairs}\n{summary.signature}"
    )


def _row(name: str, values: dict[str, Any]) -> list[str]:
    shares = [f"{values[key]:.2f}" for key in ("f1", "precision", "recall")]
    return [name, *shares, *(f"{values[key]:.0f}" for key in ("gold", "predicted", "matched"))]
