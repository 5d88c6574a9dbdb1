"""Attention for the short rows of sentences, by plain matrix products.

Registered with transformers as `grouped`. Queries that share a key are multiplied with it in one product, so keys and
values are never copied for them; the mask is always added, never left out, so that batches with and without padding run
the same code: one compiled block serves them all.
Suffixes of names: B rows, H query heads, K key heads, L subwords, D width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from harness.adapters.dropout import dropout as drop
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from harness.errors import CardError

GROUPED = "grouped"


def grouped_attention(
    module: torch.nn.Module,
    query_BHLD: torch.Tensor,
    key_BKLD: torch.Tensor,
    value_BKLD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of shape [B, L, H, D], as transformers' models call it. Softmax is computed in float32.

    Raises CardError for a model that adds to attention what is not done here.
    """
    if others.get("s_aux") is not None:
        raise CardError("This model has attention sinks, which model.attention=grouped does not compute; use eager.")
    B, H, L, D = query_BHLD.shape
    K = key_BKLD.shape[1]
    scale = D**-0.5 if scaling is None else scaling
    query = query_BHLD.reshape(B * K, H // K * L, D)  # the H / K heads that read a key, one below the other
    scores = torch.bmm(query * scale, key_BKLD.reshape(B * K, -1, D).transpose(1, 2)).view(B, H, L, -1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)
    if dropout:
        weights = drop(weights, dropout, module.training)
    width = value_BKLD.shape[-1]  # D but in models whose values are of another
    read = torch.bmm(weights.view(B * K, H // K * L, -1), value_BKLD.reshape(B * K, -1, width))
    return read.view(B, H, L, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(
    GROUPED, lambda *args, **kwargs: eager_mask(*args, **kwargs | {"allow_is_bidirectional_skip": False})
)
