"""Blocks as Llama and Mistral have them, with low-rank adapters, computed in fewer and larger products.

Projections of one input are one product, and their adapters ride along in it: [x | x down] [weight ; up]. Subwords
stand one behind the other, without padding, and only attention knows of rows, which may hold several sentences. The
block is written out over plain tensors, so that torch compiles it once for all blocks and batches. It computes what the
block of transformers computes: a test holds its outputs and its gradients to that.
Suffixes: R rows, L subwords of a row, N subwords, D width, H query heads, K key heads, E width of a head, I inputs,
O outputs, J inputs and ranks, P adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from harness.adapters.attention import GROUPED
from harness.adapters.dropout import dropped, kept
from harness.adapters.lowrank import LowRankLinear
from harness.adapters.packed import is_packed, packed_together, unpacked
from torch import nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer

_DEEPEST = 1536  # summands beyond which oneDNN's bfloat16 products of a few hundred rows keep one thread busy alone
_TILE = 32  # bfloat16 summands that processors with matrix units take at once


@dataclass(frozen=True, slots=True)
class Part:
    """Where an adapted projection stands in a joined product: its outputs and its ranks, and its adapter's factor."""

    outputs: slice
    ranks: slice
    factor: float


class Joined:
    """Projections of one input as one product: their weights side by side, the adapters' upward matrices below them.

    The weights of the projections become views of the joined ones, so that nothing is stored twice. They are laid out
    along the longer side, which is what products of few rows read fastest. 4-bit weights stay packed, and are unpacked
    for every product.
    """

    def __init__(self, projections: Sequence[nn.Module]) -> None:
        plain = [_plain(projection) for projection in projections]
        adapted = [projection if isinstance(projection, LowRankLinear) else None for projection in projections]
        outputs = _slices([layer.out_features for layer in plain])
        ranks = _slices([layer.r["default"] if layer else 0 for layer in adapted])
        found = list(zip(adapted, outputs, ranks, strict=True))
        self.parts = tuple(Part(o, r, layer.scaling["default"]) for layer, o, r in found if layer)
        self.downs = [layer.lora_A["default"].weight for layer in adapted if layer]
        self.ups = [layer.lora_B["default"].weight for layer in adapted if layer]
        self.dropout = next((_dropout(layer) for layer in adapted if layer), 0.0)  # one share for all
        weight, inputs, columns = plain[0].weight, plain[0].in_features, outputs[-1].stop
        ranked = _padded(inputs, ranks[-1].stop, columns)
        rows = inputs + ranked
        self.deepest = _DEEPEST if weight.device.type == "cpu" and torch.get_num_threads() > 1 else columns
        self.merged_IO: torch.Tensor | None = None
        self.absmax: torch.Tensor | None = None
        if is_packed(plain[0]):
            self.stored, self.absmax = packed_together(plain)
            dtype = plain[0].weight.quant_state.dtype
            self.up_RO = weight.new_zeros(columns, ranked, dtype=dtype).T
            self.down_IR = weight.new_zeros(ranked, inputs, dtype=dtype).T
            return
        self.stored = weight.new_zeros(rows, columns) if rows < columns else weight.new_zeros(columns, rows).T
        self.up_RO = self.stored[inputs:]
        self.down_IR = weight.new_zeros(ranked, inputs).T
        for layer, columns_of_layer in zip(plain, outputs, strict=True):
            view_OI = self.stored[:inputs, columns_of_layer].T
            layer.weight.data = view_OI.copy_(layer.weight.data)

    def down_places(self) -> Iterator[torch.Tensor]:
        """Where each adapter's downward matrix stands in the product, times its factor."""
        return (self.down_IR[:, part.ranks].T for part in self.parts)

    def up_places(self) -> Iterator[torch.Tensor]:
        """Where each adapter's upward matrix stands."""
        return (self.up_RO[part.ranks, part.outputs].T for part in self.parts)

    def __call__(self, x_NI: torch.Tensor) -> torch.Tensor:
        """Shape [N, O]: what the projections give, side by side, in training."""
        y_NO: torch.Tensor
        if not self.parts:
            y_NO = _FrozenProduct.apply(x_NI, self.stored, self.absmax, self.up_RO)  # type: ignore[no-untyped-call]
            return y_NO
        kept_PNI = kept(x_NI.expand(len(self.parts), -1, -1), self.dropout) if self.dropout else None
        frozen, how = (self.stored, self.absmax, self.up_RO, self.down_IR), (self.dropout, self.parts, self.deepest)
        y_NO = _Product.apply(x_NI, kept_PNI, *frozen, *how, *self.downs, *self.ups)  # type: ignore[no-untyped-call]
        return y_NO

    @property
    def merges(self) -> bool:
        """Whether `merge` makes one product of several: not of 4-bit weights, which stay packed to save memory."""
        return bool(self.parts) and self.absmax is None

    def merge(self) -> None:
        """Keep a copy of the weights with the adapters in them, for `predict`, until `merged_IO` is None again."""
        inputs = self.down_IR.shape[0]
        self.merged_IO = torch.addmm(self.stored[:inputs], self.down_IR, self.up_RO)

    def predict(self, x_NI: torch.Tensor) -> torch.Tensor:
        """The same as when called, without gradients: in one product where adapters are merged."""
        if self.merged_IO is not None:
            return torch.mm(x_NI, self.merged_IO)
        x_NJ = torch.cat([x_NI, x_NI @ self.down_IR], 1) if self.parts else x_NI
        return torch.mm(x_NJ, _weight(self.stored, self.absmax, self.up_RO, x_NI))


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
        hidden_ND = _added(hidden_ND, self.mixed(read_ND))
        gate_NI, up_NI = self.gates(_normed(hidden_ND, self.before_mlp)).chunk(2, 1)
        return _added(hidden_ND, self.down(gate_NI * torch.sigmoid(gate_NI) * up_NI))

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
    projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    return (
        not attention.attention_dropout
        and attention.config.hidden_act == "silu"
        and all(map(_is_simple, [*projections, mlp.gate_proj, mlp.up_proj, mlp.down_proj]))
    )


class Refresh:
    """Writes adapters, which training changes, into the joined products that they are part of."""

    def __init__(self, products: Sequence[Joined]) -> None:
        self.factors = [part.factor for product in products for part in product.parts]
        self.downs = [down for product in products for down in product.downs]
        self.ups = [up for product in products for up in product.ups]
        self.places = [view for product in products for view in product.down_places()]
        self.places += [view for product in products for view in product.up_places()]

    @torch.no_grad()
    def __call__(self) -> None:
        if self.places:
            torch._foreach_copy_(self.places, [*torch._foreach_mul(self.downs, self.factors), *self.ups])


_Pair = tuple[torch.Tensor, torch.Tensor]


class _FrozenProduct(torch.autograd.Function):
    """A product in which nothing is trained."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x_NI: torch.Tensor, stored: torch.Tensor, absmax: torch.Tensor | None, up_RO: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(stored, absmax, up_RO)
        return x_NI @ _weight(stored, absmax, up_RO, x_NI)

    @staticmethod
    def backward(ctx, grad_NO: torch.Tensor) -> Any:  # type: ignore[no-untyped-def]
        stored, absmax, up_RO = ctx.saved_tensors
        return grad_NO @ _weight(stored, absmax, up_RO, grad_NO).T, None, None, None


class _Product(torch.autograd.Function):
    """[x | x down] [weight ; up], whose gradients go to the adapters' own parameters, of which `trained` is made up.

    With dropout of a share of x, every adapter reads one of its own: what is `kept_PNI` for it.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        x_NI: torch.Tensor,
        kept_PNI: torch.Tensor | None,
        stored: torch.Tensor,
        absmax: torch.Tensor | None,
        up_RO: torch.Tensor,
        down_IR: torch.Tensor,
        share: float,
        parts: tuple[Part, ...],
        deepest: int,
        *trained: torch.Tensor,
    ) -> torch.Tensor:
        groups = _groups(parts, kept_PNI)
        x_NJ = torch.cat([x_NI, *(_kept(x_NI, kept_NI, share) @ down_IR[:, ranks] for ranks, kept_NI in groups)], 1)
        ctx.save_for_backward(x_NJ, kept_PNI, stored, absmax, up_RO, down_IR)
        ctx.parts, ctx.deepest, ctx.share = parts, deepest, share
        return x_NJ @ _weight(stored, absmax, up_RO, x_NI)

    @staticmethod
    def backward(ctx, grad_NO: torch.Tensor) -> Any:  # type: ignore[no-untyped-def]
        x_NJ, kept_PNI, stored, absmax, up_RO, down_IR = ctx.saved_tensors
        groups, inputs = _groups(ctx.parts, kept_PNI), down_IR.shape[0]
        x_NI, x_NR = x_NJ[:, :inputs], x_NJ[:, inputs:]
        grad_NJ = _deep_product(grad_NO, _weight(stored, absmax, up_RO, grad_NO).T, ctx.deepest)
        grad_NR = grad_NJ[:, inputs:]
        grad_RI = torch.cat([grad_NR[:, ranks].T @ _kept(x_NI, kept_NI, ctx.share) for ranks, kept_NI in groups])
        downs = [grad_RI[part.ranks].float() * part.factor for part in ctx.parts]
        grad_RO = x_NR.T.contiguous() @ grad_NO  # one product, though only a part's own ranks are wanted of its outputs
        ups = [grad_RO[part.ranks, part.outputs].T.float().contiguous() for part in ctx.parts]
        grads = [_kept(grad_NR[:, ranks] @ down_IR[:, ranks].T, kept_NI, ctx.share) for ranks, kept_NI in groups]
        return _added(grad_NJ[:, :inputs], *grads), *[None] * 8, *downs, *ups


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


def _weight(
    stored: torch.Tensor, absmax: torch.Tensor | None, up_RO: torch.Tensor, before: torch.Tensor
) -> torch.Tensor:
    """[weight ; up], of shape [J, O]: what is stored, or 4-bit weights unpacked for a product with what is `before`."""
    if absmax is None:
        return stored
    ranks, outputs = up_RO.shape
    weight_OI = unpacked(stored, absmax, outputs, 2 * stored.numel() // outputs, before)
    return torch.cat([weight_OI, up_RO.T], 1).T if ranks else weight_OI.T


def _deep_product(grad_NO: torch.Tensor, weight_OJ: torch.Tensor, deepest: int) -> torch.Tensor:
    grads, weights = torch.split(grad_NO, deepest, 1), torch.split(weight_OJ, deepest)
    total_NJ: torch.Tensor = grads[0] @ weights[0]
    for grad, weight in zip(grads[1:], weights[1:], strict=True):
        total_NJ = torch.addmm(total_NJ, grad, weight)
    return total_NJ


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


def _added(hidden_ND: torch.Tensor, *changes: torch.Tensor) -> torch.Tensor:
    """In float32, as compiled code does anyway; else torch would make one product with a copy of it and a sum."""
    return sum((change_ND.float() for change_ND in changes), hidden_ND.float()).to(hidden_ND.dtype)


def _groups(parts: Sequence[Part], kept_PNI: torch.Tensor | None) -> list[tuple[slice, torch.Tensor | None]]:
    """The ranks that read the same, and what is kept of it: all, or each adapter's; spare ranks are the last one's."""
    if kept_PNI is None:
        return [(slice(None), None)]
    ends = [part.ranks.stop for part in parts[:-1]]
    ranks = [slice(first, after) for first, after in zip([0, *ends], [*ends, None], strict=True)]
    return list(zip(ranks, kept_PNI.unbind(), strict=True))


def _kept(values_NI: torch.Tensor, kept_NI: torch.Tensor | None, share: float) -> torch.Tensor:
    return values_NI if kept_NI is None else dropped(values_NI, kept_NI, share)


def _padded(inputs: int, ranks: int, outputs: int) -> int:
    """How many ranks a product has: where its weights lie along the inputs, as many as fill a processor's tiles."""
    return ranks if not ranks or inputs + ranks < outputs else -(-(inputs + ranks) // _TILE) * _TILE - inputs


def _slices(sizes: Iterable[int]) -> list[slice]:
    return [slice(first, after) for first, after in pairwise(accumulate(sizes, initial=0))]


def _plain(projection: Any) -> Any:
    return projection.base_layer if isinstance(projection, LowRankLinear) else projection


def _dropout(layer: LowRankLinear) -> float:
    """The share of an adapter's input that is dropped in training."""
    return float(getattr(layer.lora_dropout["default"], "p", 0.0))


def _is_simple(projection: Any) -> bool:
    """Frozen, without a bias, and with one plain adapter or none, whose input may be dropped out."""
    layer = _plain(projection)
    if layer.bias is not None or layer.weight.requires_grad or not (type(layer) is nn.Linear or is_packed(layer)):
        return False
    if not isinstance(projection, LowRankLinear):
        return True
    only = list(projection.active_adapters) == ["default"]
    return only and isinstance(projection.lora_dropout["default"], (nn.Identity, nn.Dropout))
