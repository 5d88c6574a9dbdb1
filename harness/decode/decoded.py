"""Spans, with a count of everything that had to be changed to get them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.spans import Span


@dataclass(frozen=True, slots=True)
class Decoded:
    """`spans` are sorted and do not overlap; `report` counts each named repair."""

    spans: tuple[Span, ...]
    report: Mapping[str, int] = field(default_factory=dict)
