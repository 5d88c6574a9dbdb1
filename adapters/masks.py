"""Removing the causal mask from chosen blocks of a decoder; the only file that touches transformers' internals.

No model code is copied. A forward pre-hook on the decoder builds the bidirectional masks of this forward pass with
transformers' own builders and hands them down among the keyword arguments; a pre-hook on each block takes them out
again and, where the block is unmasked, puts them in the place of the causal mask. The attention of such a block is
marked as not causal, for kernels that are told so instead of getting a mask.
Nothing is kept between passes, so gradient checkpointing recomputes what was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from harness.adapters.groups import unmasked_blocks
from torch import nn
from transformers.masking_utils import create_bidirectional_mask, create_bidirectional_sliding_window_mask

from harness.errors import CardError

_KEY = "harness_bidirectional_masks"


def unmask(decoder: nn.Module, bits: str) -> nn.Module:
    """Remove the causal mask in the groups of blocks whose bit is 1; returns the same decoder.

    `decoder` is a transformers decoder without a head (`AutoModel`), whose blocks stand in `layers` and take
    `attention_mask`. Padding stays masked. All-zero bits change nothing at all. Raises CardError for other models.
    """
    blocks = getattr(decoder, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        raise CardError(
            f"{type(decoder).__name__} has no list of blocks called 'layers', so its mask cannot be removed by block."
        )
    chosen = unmasked_blocks(bits, len(blocks))
    if not any(chosen):
        return decoder
    if not _causal_parts(blocks):
        raise CardError(f"{type(decoder).__name__} has no causal mask that could be removed: leave unmask empty.")
    decoder.register_forward_pre_hook(_build_masks, with_kwargs=True)
    for i, (block, free) in enumerate(zip(blocks, chosen, strict=True)):
        for part in _causal_parts(block) if free else ():
            part.is_causal = False
        block.register_forward_pre_hook(
            partial(_swap_mask, kind_of(decoder.config, i) if free else ""), with_kwargs=True
        )
    return decoder


def _causal_parts(module: nn.Module) -> list[Any]:
    """The attentions in it that are marked as causal."""
    return [part for part in module.modules() if getattr(part, "is_causal", False)]


def kind_of(config: Any, block: int) -> str:
    """Whether a block slides: "sliding" or "full". Raises CardError for one that does neither."""
    types: Sequence[str] | None = getattr(config, "layer_types", None)
    if types is not None:
        kind = types[block]
    else:
        kind = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    if kind not in ("full_attention", "sliding_attention"):
        raise CardError(f"Block {block} uses {kind!r}; only masks of full and sliding attention can be changed.")
    return kind.removesuffix("_attention")


def _build_masks(decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    config = decoder.config
    embeds_BLD = kwargs.get("inputs_embeds")
    if embeds_BLD is None:
        ids_BL = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        embeds_BLD = torch.empty(
            (*ids_BL.shape, 1), dtype=decoder.get_input_embeddings().weight.dtype, device=ids_BL.device
        )
    padding_BL = kwargs.get("attention_mask")
    # code that a model brings along may take no mask for a causal one
    skip = type(decoder).__module__.startswith("transformers.")
    masks = {"full": create_bidirectional_mask(config, embeds_BLD, padding_BL, allow_is_bidirectional_skip=skip)}
    if getattr(config, "sliding_window", None):
        masks["sliding"] = create_bidirectional_sliding_window_mask(
            config, embeds_BLD, padding_BL, allow_is_bidirectional_skip=skip
        )
    return args, {**kwargs, _KEY: masks}


def _swap_mask(
    kind: str, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Take the masks out of the arguments; use the one of this `kind`, or none where it is empty."""
    rest = {key: value for key, value in kwargs.items() if key != _KEY}
    masks: Mapping[str, Any] | None = kwargs.get(_KEY)
    if masks is None:
        raise CardError(f"{type(block).__name__} is not handed what its decoder is, so its mask cannot be removed.")
    if not kind:
        return args, rest
    return args, {**rest, "attention_mask": masks[kind]}
