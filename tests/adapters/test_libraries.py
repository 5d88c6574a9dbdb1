"""What is left out of the imports of a training, and is still there for whoever asks for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from harness.adapters.libraries import _compiled_when_called

TRAINING = """
import sys
from harness.adapters.libraries import import_libraries
import_libraries()
from harness.adapters import classifier, embeddings, instruct, tagging, training
from transformers import utils
import bitsandbytes, torch
assert utils.is_sklearn_available() and utils.is_scipy_available()
assert torch.compile.__module__ == "torch"
print(*({"sklearn", "scipy", "torch._inductor.compile_fx"} & set(sys.modules)))
"""


def test_a_training_imports_no_more_than_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr + done.stdout


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
