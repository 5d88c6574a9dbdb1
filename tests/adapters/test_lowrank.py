"""Adapters computed faster than PEFT computes them, and the same; merging that leaves no trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from harness.adapters.lowrank import LowRankLinear, merged, with_lora
from harness.adapters.settings import Lora
from peft.tuners.lora import Linear
from transformers import AutoModel, LlamaConfig

CONFIG = LlamaConfig(
    vocab_size=60,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
IDS_BL = torch.tensor([[5, 9, 3, 22, 41, 17, 8, 30], [7, 7, 12, 50, 2, 4, 6, 8]])


def adapted(dtype: torch.dtype, dropout: float = 0.0) -> Any:
    torch.manual_seed(1)
    model = AutoModel.from_config(CONFIG).to(dtype).requires_grad_(False)
    model = with_lora(model, Lora(r=4, alpha=8, dropout=dropout))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape) * 0.1
    return model


def as_peft_would(model: Any) -> Any:
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, LowRankLinear):
            module.__class__ = Linear
    return other


def hidden(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS_BL).last_hidden_state
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.06)])
def test_outputs_and_gradients_are_those_of_peft(dtype: torch.dtype, tolerance: float) -> None:
    ours = adapted(dtype)
    theirs = as_peft_would(ours)
    target = torch.randn(2, 8, 32)
    for model in (ours, theirs):
        (hidden(model).float() * target).sum().backward()
    assert sum(isinstance(module, LowRankLinear) for module in ours.modules()) == 14
    torch.testing.assert_close(hidden(ours), hidden(theirs), atol=tolerance, rtol=tolerance)
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.dtype == torch.float32
            difference = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
            assert difference < tolerance


def test_dropout_of_adapters_acts_in_training_alone() -> None:
    model = adapted(torch.float32, dropout=0.5)
    assert not torch.equal(hidden(model.train()), hidden(model))
    assert torch.equal(hidden(model.eval()), hidden(model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_gives_the_same_outputs_and_is_undone_to_the_last_bit(dtype: torch.dtype) -> None:
    model = adapted(dtype).eval()
    before, state = hidden(model), {name: p.clone() for name, p in model.named_parameters()}
    with merged(model):
        assert not torch.equal(model.base_model.model.layers[0].mlp.up_proj.base_layer.weight, state_of(state))
        inside = hidden(model)
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(inside, before, atol=tolerance, rtol=tolerance)
    assert all(torch.equal(parameter, state[name]) for name, parameter in model.named_parameters())
    assert torch.equal(hidden(model), before)


def state_of(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(value for name, value in state.items() if name.endswith("layers.0.mlp.up_proj.base_layer.weight"))


def test_merging_is_undone_when_prediction_fails() -> None:
    model = adapted(torch.float32).eval()
    before = hidden(model)
    with pytest.raises(RuntimeError), merged(model):
        raise RuntimeError
    assert torch.equal(hidden(model), before)
