"""`harness score`: any two files, the whole protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.bulk import score_columns
from harness.commands.tables import columns, counts_text
from harness.decode import policy_of
from harness.protocol import SplitScore
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
    # most calls get by without what reads sentence by sentence, and start faster for it
    if options.panel:
        from harness.commands.judge_files import print_panel

        print_panel(options, policy)
        return
    found = score_columns(options.gold, options.pred, policy) if _plain(options) else None
    if found is None:
        from harness.commands.judge_files import judged

        found = judged(options, policy)
    summary, changes = found
    if options.json:
        print(json.dumps({**asdict(summary), "gold_changes": changes}, indent=2, ensure_ascii=False))
    else:
        print(_text(summary, changes))


def _plain(options: ScoreOptions) -> bool:
    """Whether two column files in IOB2, words first and tags last, are what was asked for."""
    schemes = {scheme_of(options.gold_scheme), scheme_of(options.pred_scheme)}
    rest = (options.gold_column, options.pred_column, options.separator, options.comment)
    return schemes == {Scheme.IOB2} and rest == (-1, -1, "white-space", "")


def _text(summary: SplitScore, changes: dict[str, int]) -> str:
    gold_hint = " (is --gold-scheme the gold's?)" if changes else ""
    pred_hint = " (is --pred-scheme theirs?)" if summary.decoding else ""
    head = ["", "F1", "P", "R", "gold", "predicted", "matched"]
    low, high = summary.interval
    micro = {"f1": summary.f1, "precision": summary.precision, "recall": summary.recall, **summary.counts}
    rows = [_row(name, values) for name, values in [("micro", micro), *summary.labels.items()]]
    errors = counts_text(summary.errors)
    repairs, gold = (counts_text(counts) for counts in (summary.decoding, changes))
    return (
        f"{columns([head, *rows])}\n\n"
        f"macro F1 {summary.macro_f1:.2f}; 95% interval of the micro F1 {low:.2f} to {high:.2f}\n"
        f"{summary.sentences} sentences, {summary.words} words\n"
        f"errors: {errors}\n"
        f"predictions changed: {repairs}{pred_hint}\ngold changed: {gold}{gold_hint}\n{summary.signature}"
    )


def _row(name: str, values: dict[str, Any]) -> list[str]:
    shares = [f"{values[key]:.2f}" for key in ("f1", "precision", "recall")]
    return [name, *shares, *(f"{values[key]:.0f}" for key in ("gold", "predicted", "matched"))]
