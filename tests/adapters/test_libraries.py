"""What is left out of the imports of a training, and is still there for whoever asks for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.adapters.libraries import _compiled_when_called

from conftest import Result
from test_cli import tiny

COMMAND = """
import sys
from harness.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
import bitsandbytes, torch
from transformers import utils
assert utils.is_sklearn_available() and utils.is_scipy_available()
assert torch.compile.__module__ == "torch"
print("imported:", *({"sklearn", "scipy", "torch._inductor.compile_fx"} & set(sys.modules)))
"""


def imported(*arguments: object) -> str:
    """What a command in a process of its own has imported of what it need not."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("imported:").strip()


def test_commands_import_no_more_than_they_need(
    tiny_decoder: Path, tiny_language_model: Path, tmp_path: Path, harness: Callable[..., Result]
) -> None:
    runs = ["-t", "lookright", "--limit", "6", "--runs", tmp_path, "--save"]
    assert not imported("run", "-s", "smollm2-unmask-01", *runs, *tiny(tiny_decoder))
    writer = ["backend=transformers", "generation.max_tokens=8", "prompt.max_tokens=300", "train.epochs=1"]
    trained = harness("run", "-s", "smollm2-it", *runs, *tiny(tiny_language_model, *writer))
    assert trained.code == 0, trained.err
    [folder] = tmp_path.glob("lookright/smollm2-it/*/seed-120")
    (tmp_path / "new.txt").write_text("we loved the soup\n", encoding="utf-8")
    assert not imported("predict", folder, tmp_path / "new.txt")


def test_what_is_compiled_when_called_is_compiled_once() -> None:
    compiled: list[tuple[str, dict[str, Any]]] = []

    def compile_(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        compiled.append((function.__name__, options))
        return function

    later = _compiled_when_called(compile_)

    def plus(a: int, b: int) -> int:
        return a + b

    plain, with_options = later(plus), later(dynamic=False)(plus)
    assert not compiled
    assert [plain(1, b=2), plain(3, 4), with_options(5, 6)] == [3, 7, 11]
    assert compiled == [("plus", {}), ("plus", {"dynamic": False})]
    assert plain.__name__ == "plus"
