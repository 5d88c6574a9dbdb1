"""Encoders that read several sentences in a row instead of padding, kept apart by a mask, each with its positions.

Suffixes: B windows, L subwords of a row, R rows of several windows, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from harness.adapters.attention import GROUPED
from harness.adapters.packing import Places
from harness.adapters.pretrained import backbone_of
from torch import nn

_FROM_0 = ("bert", "electra", "distilbert", "modernbert", "deberta", "deberta-v2")  # where a sentence's positions begin
_BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert")
_OF_PARTS = ("deberta", "deberta-v2")  # which take no mask of this kind as wholes
_ADDED = (GROUPED, "eager")  # attention that adds a mask to scores; SDPA takes what may be seen


def reads_rows(model: nn.Module) -> bool:
    """Whether it is an encoder that is known to give, for several sentences in a row, what it gives for each alone."""
    backbone = backbone_of(model)
    config, is_own = backbone.config, type(backbone).__module__.startswith("transformers.")
    is_known = config.model_type in (*_FROM_0, *_BEHIND_PADDING) and not getattr(config, "is_decoder", False)
    sees_neighbors = getattr(config, "conv_kernel_size", 0) > 0  # of other sentences too, as the largest DeBERTas do
    return is_own and is_known and not sees_neighbors and config._attn_implementation in (*_ADDED, "sdpa")


def read(model: nn.Module, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
    """The last hidden states, [B, L, D], of a model that `reads_rows`; padding holds any numbers."""
    backbone = backbone_of(model)
    config: Any = backbone.config
    places = Places.of(mask_BL)
    sentence_RL, position_RL = places.in_rows()
    is_one_RLL = sentence_RL[:, :, None] == sentence_RL[:, None, :]  # what is empty sees what is empty
    first = config.pad_token_id + 1 if config.model_type in _BEHIND_PADDING else 0
    given = {"input_ids": ids_BL[sentence_RL.clamp(min=0), position_RL], "position_ids": position_RL + first}
    if config.model_type in _OF_PARTS:
        embedded_RLD = backbone.embeddings(**given, mask=torch.ones_like(position_RL))
        found = backbone.encoder(embedded_RLD, is_one_RLL, output_hidden_states=False)
    else:
        found = model(**given, attention_mask=_masks(config, is_one_RLL[:, None], backbone.dtype))
    return places.from_rows(found.last_hidden_state)


def _masks(config: Any, is_one_R1LL: torch.Tensor, dtype: torch.dtype) -> Any:
    """What a model takes for what may be seen; two of them where some blocks see no farther than a window."""

    def taken(is_seen_R1LL: torch.Tensor) -> torch.Tensor:
        is_added = config._attn_implementation in _ADDED
        return torch.where(is_seen_R1LL, 0.0, torch.finfo(dtype).min).to(dtype) if is_added else is_seen_R1LL

    if config.model_type != "modernbert":
        return taken(is_one_R1LL)
    places_L = torch.arange(is_one_R1LL.shape[-1], device=is_one_R1LL.device)
    is_near_LL = (places_L[:, None] - places_L).abs() <= config.sliding_window
    return {"full_attention": taken(is_one_R1LL), "sliding_attention": taken(is_one_R1LL & is_near_LL)}
