"""What a user would write to score two column files with seqeval: python benchmarks/seqeval_score.py GOLD PRED."""

from __future__ import annotations

import sys
from pathlib import Path

from seqeval.metrics import f1_score
from seqeval.scheme import IOB2


def read(path: Path) -> list[list[str]]:
    """The tags of each sentence."""
    sentences: list[list[str]] = []
    tags: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                tags.append(line.split()[-1])
            elif tags:
                sentences.append(tags)
                tags = []
    return sentences + ([tags] if tags else [])


def scored(gold: Path, pred: Path) -> float:
    """F1 in percent, strict."""
    return 100 * float(f1_score(read(gold), read(pred), mode="strict", scheme=IOB2))


if __name__ == "__main__":
    print(scored(Path(sys.argv[1]), Path(sys.argv[2])))
