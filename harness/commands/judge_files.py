"""`harness score` sentence by sentence: any two files, and every mistake in them with its line."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.columns import Layout
from harness.commands.score import ScoreOptions
from harness.commands.tables import columns, counts_text
from harness.decode import Policy
from harness.errors import DataError
from harness.files import json_items
from harness.gold import gold_hash
from harness.outputs import RawOutput
from harness.panel import WHAT, panel
from harness.predictions import read_predictions
from harness.protocol import SplitScore, judge, signature
from harness.reading import Reading, Request
from harness.registry import READERS, resolve
from harness.schemes import scheme_of


def judged(options: ScoreOptions, policy: Policy) -> tuple[SplitScore, dict[str, int]]:
    """Sentence by sentence: any two files, and every mistake in them with its line."""
    reading, outputs = _read(options, policy)
    gold = reading.sentences
    line = signature(options.gold.stem, gold_hash(gold), policy)
    return judge(gold, outputs, None, line, policy).summary, dict(sorted(reading.report.items()))


def print_panel(options: ScoreOptions, policy: Policy) -> None:
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
    print(f"\ngold changed: {counts_text(dict(reading.report))}")


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
