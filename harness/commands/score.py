"""`harness score`: any two files, the whole protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.bulk import score_columns
from harness.columns import Layout
from harness.commands.tables import columns
from harness.dataset import gold_hash
from harness.decode import Policy, policy_of
from harness.errors import DataError
from harness.files import json_items
from harness.outputs import RawOutput
from harness.panel import WHAT, panel
from harness.predictions import read_predictions
from harness.protocol import SplitScore, judge, signature
from harness.reading import Reading, Request
from harness.registry import READERS, resolve
from harness.schemes import Scheme, scheme_of


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What `harness score` was asked."""

    gold: Path
    pred: Path
    gold_scheme: str
    pred_scheme: str
    gold_column: int
    pred_column: int
    separator: Literal["white-space", "tab", "space"]
    comment: str
    policy: str
    json: bool
    panel: bool = False


def score_files(options: ScoreOptions) -> None:
    """Score predictions against gold and print the result. Invalid tags are read by the policy on both sides."""
    policy = policy_of(options.policy)
    if options.panel:
        _print_panel(options, policy)
        return
    summary, changes = (_plain(options) and score_columns(options.gold, options.pred, policy)) or _judged(
        options, policy
    )
    if options.json:
        print(json.dumps({**asdict(summary), "gold_changes": changes}, indent=2, ensure_ascii=False))
    else:
        print(_text(summary, changes))


def _plain(options: ScoreOptions) -> bool:
    """Whether two column files in IOB2, words first and tags last, are what was asked for."""
    schemes = {scheme_of(options.gold_scheme), scheme_of(options.pred_scheme)}
    rest = (options.gold_column, options.pred_column, options.separator, options.comment)
    return schemes == {Scheme.IOB2} and rest == (-1, -1, "white-space", "")


def _judged(options: ScoreOptions, policy: Policy) -> tuple[SplitScore, dict[str, int]]:
    """Sentence by sentence: any two files, and every mistake in them with its line."""
    reading, outputs = _read(options, policy)
    gold = reading.sentences
    line = signature(options.gold.stem, gold_hash(gold), policy)
    return judge(gold, outputs, None, line, policy).summary, dict(sorted(reading.report.items()))


def _print_panel(options: ScoreOptions, policy: Policy) -> None:
    """The same predictions by every scorer in use."""
    reading, outputs = _read(options, policy)
    lines = panel(reading.sentences, outputs, None)
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return
    rows = [
        [line.scorer, *(f"{x:.2f}" for x in (line.f1, line.precision, line.recall)), WHAT[line.scorer]]
        for line in lines
    ]
    print(columns([["scorer", "F1", "P", "R", "what counts"], *rows]))
    print(f"\ngold changed: {_counts(dict(reading.report))}")


def _read(options: ScoreOptions, policy: Policy) -> tuple[Reading, list[RawOutput]]:
    reading = _gold(options, policy)
    if not reading.sentences:
        raise DataError(options.gold, None, "holds no sentence.")
    layout = Layout(tag=options.pred_column, separator=options.separator, comment=options.comment)
    sentences = [labeled.sentence for labeled in reading.sentences]
    return reading, read_predictions(options.pred, sentences, layout, scheme_of(options.pred_scheme))


def _gold(options: ScoreOptions, policy: Policy) -> Reading:
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
        columns_of = {"tag": options.gold_column, "scheme": scheme, "separator": options.separator}
        columns_of |= {"repair": policy, "comment": options.comment}
        request = Request("gold", (path,), {}, columns_of)
    found: Reading = resolve(READERS, "reader", reader)(request)
    return found


def _text(summary: SplitScore, changes: dict[str, int]) -> str:
    hint = " (is --gold-scheme the gold's?)" if any(name.startswith("repaired") for name in changes) else ""
    head = ["", "F1", "P", "R", "gold", "predicted", "matched"]
    low, high = summary.interval
    micro = {"f1": summary.f1, "precision": summary.precision, "recall": summary.recall, **summary.counts}
    rows = [_row(name, values) for name, values in [("micro", micro), *summary.labels.items()]]
    errors = _counts(summary.errors)
    repairs, gold = (_counts(counts) for counts in (summary.decoding, changes))
    return (
        f"{columns([head, *rows])}\n\n"
        f"macro F1 {summary.macro_f1:.2f}; 95% interval of the micro F1 {low:.2f} to {high:.2f}\n"
        f"{summary.sentences} sentences, {summary.words} words\n"
        f"errors: {errors}\npredictions changed: {repairs}\ngold changed: {gold}{hint}\n{summary.signature}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"


def _row(name: str, values: dict[str, Any]) -> list[str]:
    shares = [f"{values[key]:.2f}" for key in ("f1", "precision", "recall")]
    return [name, *shares, *(f"{values[key]:.0f}" for key in ("gold", "predicted", "matched"))]
