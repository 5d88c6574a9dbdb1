"""What models are made and trained with, imported without what nothing here uses of it: in two thirds of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from typing import Any


@cache
def import_transformers() -> None:
    """Import transformers, before anything else does, as if SciPy and scikit-learn were not installed.

    It takes a function of each, for detecting objects and for drafts by another model. What is imported here does
    without them from then on, in this process; other parts of transformers find them as ever.
    """
    from transformers import utils

    with _replaced(utils, is_scipy_available=_never, is_sklearn_available=_never):
        for name in ("generation.candidate_generator", "loss.loss_utils"):
            import_module(f"transformers.{name}")


@cache
def import_libraries() -> None:
    """Import transformers, as above, and bitsandbytes, before anything else does.

    bitsandbytes compiles functions that are hardly ever called, and imports the compiler for them; here they are
    compiled when they are called.
    """
    import torch

    import_transformers()
    with _replaced(torch, compile=_compiled_when_called(torch.compile)):
        import_module("bitsandbytes")


@contextmanager
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Other values for attributes, inside."""
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _never() -> bool:
    return False


def _compiled_when_called(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile, as a function or a decorator with options, which begins its work when what it made is called."""

    def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
        if function is None:
            return lambda function: compiled(function, **options)
        made = cache(lambda: compile_(function, **options))
        return wraps(function)(lambda *arguments, **named: made()(*arguments, **named))

    return compiled
