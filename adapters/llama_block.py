"""Blocks as Llama and Mistral have them, with low-rank adapters, computed in fewer and larger products.

Projections of one input are one product. Subwords stand one behind the other, without padding, and only attention knows
of rows, which may hold several sentences. The block is written out over plain tensors, so that torch compiles it once
for all blocks and batches. It computes what the block of transformers computes: a test holds its outputs and its
gradients to that.
Suffixes: R rows, L subwords of a row, N subwords, D width, H query heads, K key heads, E width of a head, I inputs,
O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from harness.adapters.attention import GROUPED
from harness.adapters.joined_products import Joined, added, plain
from harness.adapters.lowrank import LowRankLinear
from harness.adapters.packed import is_packed
from torch import nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer


class JoinedBlock:
    """A block's forward pass, for training and for prediction. What it shares with the block: all weights."""

    def __init__(self, block: Any) -> None:
        attention, mlp = block.self_attn, block.mlp
        self.heads = Joined([attention.q_proj, attention.k_proj, attention.v_proj])
        self.mixed = Joined([attention.o_proj])
        self.gates = Joined([mlp.gate_proj, mlp.up_proj])
        self.down = Joined([mlp.down_proj])
        self.before_attention, self.before_mlp = block.input_layernorm, block.post_attention_layernorm
        self.width, self.scale = attention.head_dim, attention.scaling
        self.query_heads = self.mixed.down_IR.shape[0] // self.width

    def joined(self) -> tuple[Joined, ...]:
        """Its four products."""
        return self.heads, self.mixed, self.gates, self.down

    def __call__(self, hidden_ND: torch.Tensor, mask_R1LL: torch.Tensor, turns: _Pair, places: _Pair) -> torch.Tensor:
        """Shape [N, D]. The mask is added to scores; `turns` holds the cosines and sines of positions.

        `places` are `among_RL` and `packed_N` of `Places`.
        """
        heads_NO = self.heads(_normed(hidden_ND, self.before_attention))
        read_ND: torch.Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            heads_NO.view(heads_NO.shape[0], -1, self.width), mask_R1LL, *turns, *places, self.query_heads, self.scale
        )
        hidden_ND = added(hidden_ND, self.mixed(read_ND))
        gate_NI, up_NI = self.gates(_normed(hidden_ND, self.before_mlp)).chunk(2, 1)
        return added(hidden_ND, self.down(gate_NI * torch.sigmoid(gate_NI) * up_NI))

    def predict(self, hidden_ND: torch.Tensor, mask_R1LL: torch.Tensor, turns: _Pair, places: _Pair) -> torch.Tensor:
        """The same without gradients, in as few steps as torch has without compiling; changes `hidden_ND` in place."""
        heads_NO = self.heads.predict(_normed_at_once(hidden_ND, self.before_attention))
        read_ND = _attention(
            heads_NO.view(heads_NO.shape[0], -1, self.width), mask_R1LL, turns, places, self.query_heads, self.scale
        )
        hidden_ND += self.mixed.predict(read_ND)
        gate_NI, up_NI = self.gates.predict(_normed_at_once(hidden_ND, self.before_mlp)).chunk(2, 1)
        hidden_ND += self.down.predict(F.silu(gate_NI).mul_(up_NI))
        return hidden_ND


def understood(block: nn.Module) -> bool:
    """Whether a block is one that `JoinedBlock` computes, masks included."""
    attention: Any = block.self_attn if joinable(block) else None
    return attention is not None and attention.config._attn_implementation == GROUPED


def joinable(block: nn.Module) -> bool:
    """Whether a block would be understood with grouped attention: nothing in it that is not computed here."""
    if type(block) not in (LlamaDecoderLayer, MistralDecoderLayer):
        return False
    attention: Any = block.self_attn
    mlp: Any = block.mlp
    groups = [[attention.q_proj, attention.k_proj, attention.v_proj], [attention.o_proj]]
    groups += [[mlp.gate_proj, mlp.up_proj], [mlp.down_proj]]
    norm: Any = block.input_layernorm
    return (
        not attention.attention_dropout
        and attention.config.hidden_act == "silu"
        and all(_is_simple(projection, norm.weight.dtype) for group in groups for projection in group)
        and all(len({is_packed(plain(projection)) for projection in group}) == 1 for group in groups)
    )


_Pair = tuple[torch.Tensor, torch.Tensor]


class _Attention(torch.autograd.Function):
    """Rotary attention of heads that stand side by side, queries, keys, values: [N, H * E] from [N, H + 2 K, E].

    Subwords are put into rows for it, and taken out again. Written with its gradients, so that each intermediate lies
    in memory as the next product reads it.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        heads_NHE: torch.Tensor,
        mask_R1LL: torch.Tensor,
        cos_RLE: torch.Tensor,
        sin_RLE: torch.Tensor,
        among_RL: torch.Tensor,
        packed_N: torch.Tensor,
        H: int,
        scale: float,
    ) -> torch.Tensor:
        (R, L), (_, heads, E) = among_RL.shape, heads_NHE.shape
        K = (heads - H) // 2
        query, key, value = torch.split(heads_NHE[among_RL.clamp(min=0)], [H, K, K], 2)
        turns = cos_RLE[:, :, None, : E // 2], sin_RLE[:, :, None, : E // 2]
        query = _by_key(_turned(query, *turns), K)
        key, value = _by_key(_turned(key, *turns), K), _by_key(value, K)
        scores_RHLL = torch.bmm(query, key.transpose(1, 2)).view(R, H, L, L).float() * scale + mask_R1LL
        weights = torch.softmax(scores_RHLL, -1).to(query.dtype).view(R * K, H // K * L, L)
        ctx.save_for_backward(query, key, value, weights, *turns, among_RL, packed_N)
        ctx.sizes = H, scale
        read_RLHE = torch.bmm(weights, value).view(R, H, L, E).transpose(1, 2)
        return read_RLHE.reshape(R * L, H * E)[packed_N.clamp(min=0)]

    @staticmethod
    def backward(ctx, grad_ND: torch.Tensor) -> Any:  # type: ignore[no-untyped-def]
        query, key, value, weights, cos, sin, among_RL, packed_N = ctx.saved_tensors
        H, scale = ctx.sizes
        R, L = among_RL.shape
        K, E = key.shape[0] // R, key.shape[2]
        grad_RLD = torch.where(among_RL[:, :, None] >= 0, grad_ND[among_RL.clamp(min=0)], 0)
        grad = _by_key(grad_RLD.view(R, L, H, E), K)
        grad_weights = torch.bmm(grad, value.transpose(1, 2)).float()
        shares = weights.float()
        grad_scores = grad_weights - (grad_weights * shares).sum(-1, keepdim=True)
        grad_scores = (grad_scores * shares * scale).to(query.dtype)
        parts = [
            _turned(_by_row(torch.bmm(grad_scores, key), R, L), cos, -sin),
            _turned(_by_row(torch.bmm(grad_scores.transpose(1, 2), query), R, L), cos, -sin),
            _by_row(torch.bmm(weights.transpose(1, 2), grad), R, L),
        ]
        grad_NHE = torch.cat(parts, 2).flatten(0, 1)[packed_N.clamp(min=0)]
        grad_NHE = torch.where(packed_N[:, None, None] >= 0, grad_NHE, 0)
        return grad_NHE, None, None, None, None, None, None, None


def _attention(
    heads_NHE: torch.Tensor, mask_R1LL: torch.Tensor, turns: _Pair, places: _Pair, H: int, scale: float
) -> torch.Tensor:
    """What `_Attention` computes forward, in the steps that torch has quickest where nothing is compiled."""
    (among_RL, packed_N), (_, heads, E) = places, heads_NHE.shape
    (R, L), K = among_RL.shape, (heads - H) // 2
    heads_RLHE = heads_NHE.flatten(1).index_select(0, among_RL.flatten().clamp(min=0)).view(R, L, heads, E)
    cos_RL1E, sin_RL1E = turns[0][:, :, None], turns[1][:, :, None, : E // 2]
    (first, second), turned = heads_RLHE[:, :, : H + K].chunk(2, -1), heads_RLHE[:, :, : H + K] * cos_RL1E
    turned[..., : E // 2].addcmul_(second, sin_RL1E, value=-1)
    turned[..., E // 2 :].addcmul_(first, sin_RL1E)
    query, key = (_by_key(some, K) for some in torch.split(turned, [H, K], 2))
    value = _by_key(heads_RLHE[:, :, H + K :], K)
    scores_RHLL = torch.bmm(query.mul_(scale), key.transpose(1, 2)).view(R, H, L, L).add_(mask_R1LL)
    weights = torch.softmax(scores_RHLL, -1).view(R * K, H // K * L, L)  # summed in float32, in whatever dtype
    read_RLHE = torch.bmm(weights, value).view(R, H, L, E).transpose(1, 2)
    return read_RLHE.reshape(R * L, H * E).index_select(0, packed_N.clamp(min=0))


def _by_key(heads_RLHE: torch.Tensor, keys: int) -> torch.Tensor:
    """Shape [R * K, H / K * L, E]: heads that read the same key, one below the other."""
    R, L, H, E = heads_RLHE.shape
    return heads_RLHE.transpose(1, 2).contiguous().view(R * keys, H // keys * L, E)


def _by_row(heads: torch.Tensor, rows: int, length: int) -> torch.Tensor:
    """Back from `_by_key` to [R, L, H, E]."""
    return heads.view(rows, -1, length, heads.shape[-1]).transpose(1, 2)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions: the first half of a head's width and the second are turned as pairs."""
    first, second = x.view(*x.shape[:-1], 2, -1).unbind(-2)
    return torch.stack([first * cos - second * sin, second * cos + first * sin], -2).flatten(-2)


def _normed(x_ND: torch.Tensor, norm: Any) -> torch.Tensor:
    x = x_ND.float()
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    scaled: torch.Tensor = norm.weight * normed.to(x_ND.dtype)
    return scaled


def _normed_at_once(x_ND: torch.Tensor, norm: Any) -> torch.Tensor:
    """What `_normed` computes, in fewer steps where nothing is compiled."""
    x = x_ND.float()
    squares_N1 = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    return (x * torch.rsqrt(squares_N1 / x.shape[1] + norm.variance_epsilon)).to(x_ND.dtype).mul_(norm.weight)


def _is_simple(projection: Any, computed: torch.dtype) -> bool:
    """Frozen, without a bias, and with one plain adapter or none, whose input may be dropped out.

    What stays packed was packed from what is `computed` in.
    """
    layer = plain(projection)
    if layer.bias is not None or layer.weight.requires_grad:
        return False
    if type(layer) is not nn.Linear and not (is_packed(layer) and layer.weight.quant_state.dtype is computed):
        return False
    if not isinstance(projection, LowRankLinear):
        return True
    only = list(projection.active_adapters) == ["default"]
    return only and isinstance(projection.lora_dropout["default"], (nn.Identity, nn.Dropout))
