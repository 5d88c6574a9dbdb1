"""Boards for other programs: JSON values, csv, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from harness.board import Entry
from harness.pages.content import Content

_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
    | {"|": r"\textbar{}", "–": "--", "±": r"$\pm$"}
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet compute a cell


def csv_text(boards: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The lines of `as_lines`, flat: plain numbers, seconds, MiB; F1 by label and slice after all else."""
    lines = [_flat(line) for board in boards.values() for line in board]
    head = list(dict.fromkeys(key for line in lines for key in line))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_inert(name) for name in head])
    writer.writerows([[_inert(line.get(name)) for name in head] for line in lines])
    return out.getvalue()


def as_lines(
    boards: Mapping[str, Sequence[Entry]], letters: Mapping[str, Sequence[str]]
) -> dict[str, list[dict[str, Any]]]:
    """A task's boards as JSON values, by signature: means over seeds, and the F1 of each run."""
    return {
        signature: [_line(signature, entry, group) for entry, group in zip(board, letters[signature], strict=True)]
        for signature, board in boards.items()
    }


def _line(signature: str, entry: Entry, group: str) -> dict[str, Any]:
    test = entry.first.scores["test"]
    items = entry.generated
    total = sum(items.values())
    return {
        "signature": signature,
        "system": entry.first.title,
        "identity": entry.first.identity,
        "f1": entry.f1,
        "group": group,
        "f1_seed_deviation": entry.seed_deviation,
        "f1_sample_deviation": entry.sample_deviation,
        "interval": list(entry.interval),
        **{name: entry.mean(name) for name in ("precision", "recall", "macro_f1", "coverage")},
        "validation_f1": sum(entry.validation_f1s) / len(entry.validation_f1s) if entry.validation_f1s else None,
        "seeds": len(entry.records),
        "f1_by_seed": {str(record.seed): record.scores["test"].f1 for record in entry.records},
        "parsed": 100 * (total - items["unparseable"]) / total if total else None,
        "hallucinated": 100 * items["not-in-text"] / max(1, total - items["unparseable"]) if total else None,
        **{
            name: entry.cost(name)
            for name in ("trained_parameters", "fit_seconds", "sentences_per_second", "memory_mib", "gpu_memory_mib")
        },
        "labels": {name: entry.cell("labels", name) for name in test.labels},
        "slices": {name: entry.cell("slices", name) for name in test.slices},
    }


def _flat(line: Mapping[str, Any]) -> dict[str, Any]:
    low, high = line["interval"]
    plain = {key: value for key, value in line.items() if not isinstance(value, dict | list)}
    tables = {f"f1 {table[:-1]} {name}": f1 for table in ("labels", "slices") for name, f1 in line[table].items()}
    return plain | {"interval_low": low, "interval_high": high} | tables


def _inert(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def latex_text(content: Content) -> str:
    """The main table of each signature, for the package booktabs."""
    parts = []
    for section in content.sections:
        table = section.tables[0]
        keep = [i for i, name in enumerate(table.head) if name in _IN_PRINT]
        lines = [
            f"% {section.signature.translate(_LATEX)}",
            rf"\begin{{tabular}}{{l{'r' * (len(keep) - 1)}}}",
            r"\toprule",
            " & ".join(_print(table.head[i]) for i in keep) + r" \\",
            r"\midrule",
            *(" & ".join(_print(row[i].text) for i in keep) + r" \\" for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


_IN_PRINT = ("system", "F1", "group", "± seeds", "95% interval", "P", "R", "macro F1", "trained parameters", "training")


def _print(value: str) -> str:
    return " ".join(value.split()).translate(_LATEX)
