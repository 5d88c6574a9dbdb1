"""4-bit weights that stay packed, and are unpacked whenever a product needs them.

Suffixes: O outputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


@torch.library.custom_op("harness::unpacked", mutates_args=())
def unpacked(
    packed: torch.Tensor, absmax: torch.Tensor, outputs: int, inputs: int, before: torch.Tensor
) -> torch.Tensor:
    """Shape [O, I], in the dtype of `before`, by bitsandbytes: NF4 in blocks of as many weights as come on an absmax.

    `before` is what the weights are multiplied with. Were it not among the arguments, compiled code would take what it
    unpacked on the way forward for the way back as well, and so keep all weights of a model.
    """
    size = outputs * inputs // absmax.numel()
    found: torch.Tensor = torch.ops.bitsandbytes.dequantize_4bit(
        packed, absmax, size, "nf4", (outputs, inputs), before.dtype
    )
    return found


@unpacked.register_fake
def _(packed: torch.Tensor, absmax: torch.Tensor, outputs: int, inputs: int, before: torch.Tensor) -> torch.Tensor:
    return before.new_empty(outputs, inputs)


def is_packed(layer: nn.Module) -> bool:
    """Whether a linear layer's weights are 4-bit ones as `packed_together` takes them."""
    state = getattr(layer.weight, "quant_state", None)
    return (
        state is not None
        and state.quant_type == "nf4"
        and layer.weight.dtype is torch.uint8
        and not getattr(state, "packing_format_for_cpu", False)
        and state.shape[-1] % state.blocksize == 0  # no block of weights is of two rows
    )


def packed_together(layers: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of layers with the same inputs, one below the other: their bytes, and the largest of each block.

    The layers' weights become views of these bytes, so that nothing is stored twice but the largest ones: unpacked
    once, these take 32 bits a block, where double quantization has 8.
    """
    from bitsandbytes.functional import dequantize_blockwise

    states = [layer.weight.quant_state for layer in layers]
    absmax = [
        dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
        for state in states
    ]
    packed = torch.cat([layer.weight.data for layer in layers])
    sizes = [layer.weight.shape[0] for layer in layers]
    for layer, view in zip(layers, torch.split(packed, sizes), strict=True):
        layer.weight.data = view
    return packed, torch.cat(absmax).float()
