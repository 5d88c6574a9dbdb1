"""How other packages are told to behave, and that the user's own word goes before."""

from __future__ import annotations

import os

import pytest

from harness.commands.quiet import wait_briefly


@pytest.mark.parametrize(
    ("asked", "turns"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_wait_briefly_where_nothing_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], turns: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back whatever is set
        monkeypatch.delenv(name)
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == turns
