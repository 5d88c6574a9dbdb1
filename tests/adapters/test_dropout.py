"""Dropout by random numbers of 16 bits: torch's in all but speed, compiled, recomputed, and in a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness.adapters.dropout import Dropout, dropout, kept, quicken_dropout
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel

Kept = Callable[[torch.Tensor], torch.Tensor]


def dropped(values: torch.Tensor) -> torch.Tensor:
    return dropout(values, 0.25)


def recomputed(values: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = checkpoint(dropped, values, use_reentrant=False)
    return found


@pytest.mark.parametrize("compute", [dropped, recomputed, torch.compile(dropped)])
def test_what_is_dropped_has_no_gradient_and_the_rest_is_as_much_larger(compute: Kept) -> None:
    values = torch.ones(333, 301, requires_grad=True)
    torch.manual_seed(4)
    found = compute(values)
    torch.autograd.backward(found.sum())
    assert values.grad is not None
    assert torch.equal(values.grad, found)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)  # over three of its standard deviations
    torch.manual_seed(4)
    assert torch.equal(dropped(values), found)  # compiled or not, the seed says what is dropped


@pytest.mark.parametrize("wrap", [lambda function: function, torch.compile])
def test_no_two_drop_the_same(wrap: Callable[[Kept], Kept]) -> None:
    values = torch.ones(1000)
    both = wrap(lambda values: torch.stack([dropped(values), dropped(values)]))
    once, twice = both(values), both(values)
    assert len({tuple(row.tolist()) for row in (*once, *twice)}) == 4


def test_what_is_kept_for_one_is_not_for_another() -> None:
    rows = kept(torch.ones(1, 1000).expand(3, -1, -1), 0.25)
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 3


@pytest.mark.parametrize("shape", [(1,), (5,), (0, 3), (2, 3, 7)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    turned = torch.ones(shape).permute(*reversed(range(len(shape))))
    assert dropped(turned).shape == turned.shape


def test_nothing_is_dropped_where_nothing_is_trained() -> None:
    values = torch.randn(100)
    module = Dropout(0.5)
    assert not torch.equal(module(values), values)
    assert torch.equal(module.eval()(values), values)
    assert torch.equal(dropout(values, 0.0), values)


def test_it_takes_the_place_of_every_dropout_of_a_model(tiny_encoder: Path) -> None:
    model = AutoModel.from_pretrained(tiny_encoder)
    before = [name for name, module in model.named_modules() if type(module) is nn.Dropout]
    quicken_dropout(model)
    assert [name for name, module in model.named_modules() if isinstance(module, Dropout)] == before
    assert before
    assert not [module for module in model.modules() if type(module) is nn.Dropout]
