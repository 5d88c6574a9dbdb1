"""Projections of one input as one product, in which low-rank adapters ride along: [x | x down] [weight ; up].

Suffixes: N subwords, I inputs, O outputs, R ranks, J inputs and ranks, P adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from harness.adapters.dropout import dropped, kept
from harness.adapters.lowrank import LowRankLinear
from harness.adapters.packed import is_packed, packed_together, unpacked
from torch import nn

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
        layers = [plain(projection) for projection in projections]
        adapted = [projection if isinstance(projection, LowRankLinear) else None for projection in projections]
        outputs = _slices([layer.out_features for layer in layers])
        ranks = _slices([layer.r["default"] if layer else 0 for layer in adapted])
        found = list(zip(adapted, outputs, ranks, strict=True))
        self.parts = tuple(Part(o, r, layer.scaling["default"]) for layer, o, r in found if layer)
        self.downs = [layer.lora_A["default"].weight for layer in adapted if layer]
        self.ups = [layer.lora_B["default"].weight for layer in adapted if layer]
        self.dropout = next((_dropout(layer) for layer in adapted if layer), 0.0)  # one share for all
        weight, inputs, columns = layers[0].weight, layers[0].in_features, outputs[-1].stop
        ranked = _padded(inputs, ranks[-1].stop, columns)
        rows = inputs + ranked
        self.deepest = _DEEPEST if weight.device.type == "cpu" and torch.get_num_threads() > 1 else columns
        self.merged_IO: torch.Tensor | None = None
        self.absmax: torch.Tensor | None = None
        if is_packed(layers[0]):
            self.stored, self.absmax = packed_together(layers)
            dtype = layers[0].weight.quant_state.dtype
            self.up_RO = weight.new_zeros(columns, ranked, dtype=dtype).T
            self.down_IR = weight.new_zeros(ranked, inputs, dtype=dtype).T
            return
        self.stored = weight.new_zeros(rows, columns) if rows < columns else weight.new_zeros(columns, rows).T
        self.up_RO = self.stored[inputs:]
        self.down_IR = weight.new_zeros(ranked, inputs).T
        for layer, columns_of_layer in zip(layers, outputs, strict=True):
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


class Refresh:
    """Writes adapters, which training changes, into the joined products that they are part of."""

    def __init__(self, products: Sequence[Joined]) -> None:
        self.factors = [part.factor for product in products for part in product.parts]
        self.downs = [down for product in products for down in product.downs]
        self.ups = [up for product in products for up in product.ups]
        self.trained = self.downs + self.ups
        self.places = [view for product in products for view in product.down_places()]
        self.places += [view for product in products for view in product.up_places()]

    @torch.no_grad()
    def __call__(self) -> None:
        if self.places:
            torch._foreach_copy_(self.places, [*torch._foreach_mul(self.downs, self.factors), *self.ups])


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
        return added(grad_NJ[:, :inputs], *grads), *[None] * 8, *downs, *ups


def added(hidden_ND: torch.Tensor, *changes: torch.Tensor) -> torch.Tensor:
    """In float32, as compiled code does anyway; else torch would make one product with a copy of it and a sum."""
    return sum((change_ND.float() for change_ND in changes), hidden_ND.float()).to(hidden_ND.dtype)


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


def plain(projection: Any) -> Any:
    return projection.base_layer if isinstance(projection, LowRankLinear) else projection


def _dropout(layer: LowRankLinear) -> float:
    """The share of an adapter's input that is dropped in training."""
    return float(getattr(layer.lora_dropout["default"], "p", 0.0))
