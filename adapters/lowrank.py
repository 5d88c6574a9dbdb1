"""Low-rank adapters (LoRA) as PEFT builds them, computed faster.

PEFT converts the input of every adapter to the adapter's float32 and multiplies there. Here the adapter is converted to
the dtype of the input instead, as autocast would: the trained parameters and their gradients stay in float32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from harness.adapters.device import holds_copies
from harness.adapters.settings import Lora
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn
from torch.nn import functional as F

from harness.errors import CardError

_NAME = re.compile(r"[\w.]+")  # of a module; any other text is a pattern, or all-linear


class LowRankLinear(Linear):  # type: ignore[misc]
    """PEFT's linear layer with an adapter; the adapter's products are computed in the dtype of the input."""

    folded = False  # whether the adapter is part of the weights, see `merged`

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Shape [..., out] from [..., in]. Knows plain adapters only, which is what `with_lora` makes."""
        result: torch.Tensor = self.base_layer(x)
        if self.folded:
            return result
        for name in self.active_adapters:
            down, up = self.lora_A[name].weight.to(x.dtype), self.lora_B[name].weight.to(x.dtype)
            result = result + F.linear(F.linear(self.lora_dropout[name](x), down) * self.scaling[name], up)
        return result


def with_lora(backbone: Any, lora: Lora) -> Any:
    """The model with low-rank adapters. Raises CardError where their targets are not in it."""
    targets: str | list[str] = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if isinstance(targets, str) and _NAME.fullmatch(targets):
        targets = [targets]
    if not isinstance(targets, str):
        modules = dict(backbone.named_modules())
        absent = next((one for one in targets if not any(f".{name}".endswith(f".{one}") for name in modules)), None)
        if absent is not None:
            linear = (name for name, module in modules.items() if isinstance(module, nn.Linear))
            there = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in linear))
            raise CardError(f"lora.targets names {absent!r}, but the linear layers of this model are called {there}.")
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
        init_lora_weights=True,
    )
    config._register_custom_module({nn.Linear: LowRankLinear})
    try:
        return get_peft_model(backbone, config)
    except ValueError as error:
        raise CardError(f"lora.targets = {lora.targets!r} does not fit this model: {error}") from error


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Inside, adapters are part of the weights that they change: fewer products, for prediction alone.

    PEFT's own merging would round the base weights each time they are unmerged; here they are put back as they were.
    4-bit layers are left as they are; so are all, where the memory does not hold a second copy.
    """
    adapted = (module for module in model.modules() if isinstance(module, LowRankLinear))
    layers = [layer for layer in adapted if type(layer.base_layer) is nn.Linear]
    kept = [layer.base_layer.weight.data for layer in layers]
    if not holds_copies(kept):
        yield
        return
    try:
        with torch.no_grad():
            for layer, weight in zip(layers, kept, strict=True):
                change = sum(layer.get_delta_weight(name) for name in layer.active_adapters)
                layer.base_layer.weight.data = (weight.float() + change).to(weight.dtype)
                layer.folded = True
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.base_layer.weight.data = weight
            layer.folded = False
