"""The walk-throughs of the docs do what they say: their files are written, their commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?:^`(?P<file>[\w./-]+)`\n\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["add-a-task.md", "add-a-system.md", "studies.md"])
def test_a_walk_through_works(page: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    commands = 0
    for block in BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if block["file"]:
            (tmp_path / block["file"]).parent.mkdir(exist_ok=True)
            (tmp_path / block["file"]).write_text(block["body"], encoding="utf-8")
        elif block["kind"] == "sh":
            for line in block["body"].splitlines():
                done = subprocess.run(
                    line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{line}\n{done.stderr}"
                commands += 1
    assert commands >= 4
    if page == "add-a-task.md":
        board = (tmp_path / "leaderboards/menus.md").read_text(encoding="utf-8")
        assert "Ceilings, the gold itself sent the way that outputs take: oracle 100.00." in board


def test_the_cards_that_new_writes_can_be_read(tmp_path: Path) -> None:
    from harness.commands.new import write_card
    from harness.system import resolve_system
    from harness.task import task_card

    write_card("task", "mine", tmp_path)
    write_card("system", "ours", tmp_path)
    assert task_card(str(tmp_path / "mine.toml")).name == "mine"
    assert resolve_system(str(tmp_path / "ours.toml")).settings["train"]["method"] == "full"


def test_the_readme_names_commands_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    make = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make (\w+)", text)) <= make
    from harness.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback} | {
        "new"
    }
    assert set(re.findall(r"^harness (\w+)", text, re.MULTILINE)) <= known
