"""The blocks of a model computed as joined ones, without padding: in training, and while it predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, cast

import torch
from harness.adapters.cuda_graphs import Recorder
from harness.adapters.device import holds_copies
from harness.adapters.joined_products import Refresh
from harness.adapters.llama_block import JoinedBlock, understood
from harness.adapters.lowrank import merged
from harness.adapters.packing import Places
from harness.adapters.pretrained import backbone_of, blocks
from torch import nn
from transformers import PreTrainedModel

_KEPT = "harness_joining"  # among the attributes of a backbone
_PLACES = "harness_places"  # among the arguments of blocks


class Joining:
    """Has the blocks of a backbone computed by `JoinedBlock`, while it is trained or `predicts`; else by their own."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        self.joined = [JoinedBlock(block) for block in blocks(backbone)]
        self.products = [product for block in self.joined for product in block.joined()]
        self.refresh = Refresh(self.products)
        self.compiled: Any = None
        self.recorder: Recorder | None = None
        self.masks: list[torch.Tensor] = []  # of the blocks of a pass that is recorded
        self.predicts = False
        backbone.register_forward_pre_hook(self._before, with_kwargs=True)
        for block, joined in zip(blocks(backbone), self.joined, strict=True):
            block.forward = self._forward(block, joined)

    def compile(self, device: str) -> None:
        """Have training's passes compiled for a device: once, for all blocks and batches."""
        self.compiled = _compiled(device)

    def record(self) -> None:
        """Have the passes of a training recorded as CUDA graphs and replayed, instead of compiled."""
        self.recorder = Recorder(self.refresh.trained)

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Inside, it predicts; adapters are part of copies of weights, where memory holds them and none is packed."""
        self.refresh()
        copied = [product for product in self.products if product.merges]
        try:
            if holds_copies(product.stored for product in copied):
                for product in copied:
                    product.merge()
            self.predicts = True
            yield
        finally:
            self.predicts = False
            for product in copied:
                product.merged_IO = None

    def _before(self, backbone: PreTrainedModel, args: Any, kwargs: dict[str, Any]) -> Any:
        if not (backbone.training or self.predicts):
            return None
        if backbone.training and not self.recorder:
            self.refresh()
        self.masks.clear()
        mask = kwargs["attention_mask"]
        real_BL = mask if mask.ndim == 2 else mask.new_ones(mask.shape[0], mask.shape[-1])  # laid out without padding
        few_sizes = backbone.training and self.recorder is not None
        return args, {**kwargs, _PLACES: Places.of(real_BL, backbone.dtype, few_sizes)}

    def _forward(self, block: nn.Module, joined: JoinedBlock) -> Any:
        """A block's forward pass; from the first to the last, subwords stand without padding."""
        own, is_first, is_last = block.forward, joined is self.joined[0], joined is self.joined[-1]

        def forward(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not (block.training or self.predicts):
                return own(hidden, *args, **kwargs)
            places: Places = kwargs[_PLACES]
            hidden_ND = places.taken(hidden) if is_first else hidden
            if is_first and hidden.is_leaf:  # nothing before it is trained
                hidden_ND = hidden_ND.detach().requires_grad_(block.training and bool(self.refresh.places))
            mask_R1LL = places.mask(kwargs["attention_mask"])
            cos, sin = kwargs["position_embeddings"]
            shared = places.turns(cos), places.turns(sin), places.among_RL, places.packed_N
            if block.training and self.recorder:
                self.masks.append(mask_R1LL)
                hidden_ND = self._recorded(self.recorder, hidden_ND, shared) if is_last else hidden_ND
            else:
                run = self._training(is_first) if block.training else JoinedBlock.predict
                hidden_ND = run(joined, hidden_ND, mask_R1LL, shared[:2], shared[2:])
            return places.put_back(hidden_ND) if is_last else hidden_ND

        return forward

    def _recorded(self, recorder: Recorder, hidden_ND: torch.Tensor, shared: Sequence[torch.Tensor]) -> torch.Tensor:
        """All blocks at once, each with its mask."""
        numbers = {mask: number for number, mask in enumerate(dict.fromkeys(self.masks))}
        of_block = tuple(numbers[mask] for mask in self.masks)

        def run(hidden_ND: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
            self.refresh()
            cos, sin, among_RL, packed_N, *masks = given
            for joined, number in zip(self.joined, of_block, strict=True):
                hidden_ND = joined(hidden_ND, masks[number], (cos, sin), (among_RL, packed_N))
            return hidden_ND

        return recorder(run, of_block, hidden_ND, *shared, *numbers)

    def _training(self, is_first: bool) -> Any:
        if not self.compiled:
            return JoinedBlock.__call__
        return partial(_run_first if is_first else _run_next, self.compiled)


def joining_of(backbone: PreTrainedModel) -> Joining | None:
    """What joins a backbone's blocks, the same whenever asked; None where it has blocks that are not understood."""
    found = list(blocks(backbone))
    if _KEPT not in vars(backbone):
        if backbone.device.type not in ("cpu", "cuda") or not found or not all(map(understood, found)):
            return None
        with torch.inference_mode(False):  # it stays, and may be trained
            vars(backbone)[_KEPT] = Joining(backbone)
    return cast(Joining, vars(backbone)[_KEPT])


@contextmanager
def predicting(model: nn.Module) -> Iterator[bool]:
    """Inside, a model is quick to predict: adapters are part of the weights, except packed ones; blocks that are
    understood are joined.

    Yields whether its blocks do without padding. Afterwards all weights are what they were, to the last bit.
    """
    joining = joining_of(backbone_of(model))
    with joining.predicting() if joining else merged(model):
        yield joining is not None


def _run_first(
    run: Any, block: JoinedBlock, hidden_ND: torch.Tensor, mask_R1LL: torch.Tensor, turns: Any, places: Any
) -> Any:
    """The first block of a pass. Sizes of what all blocks are given are said to vary once, since that takes time."""
    sizes = [(mask_R1LL, (0, 2, 3)), (places[0], (0, 1)), (places[1], (0,))]
    for tensor, varying in [*sizes, *((one, (0, 1)) for one in turns)]:
        for size in varying:
            torch._dynamo.maybe_mark_dynamic(tensor, size)
    return _run_next(run, block, hidden_ND, mask_R1LL, turns, places)


def _run_next(run: Any, block: JoinedBlock, hidden_ND: torch.Tensor, *given: Any) -> Any:
    """Any block, which may be the first of its kind: with adapters where others have none."""
    torch._dynamo.maybe_mark_dynamic(hidden_ND, 0)
    return run(block, hidden_ND, *given)


@cache
def _compiled(device: str) -> Any:
    # sizes that vary are said to; torch would take those of another model's blocks for more of them, and fail on it
    return torch.compile(JoinedBlock.__call__, dynamic=False, options=compiler_options(device))


def compiler_options(device: str) -> dict[str, Any]:
    """On CPUs no Python between kernels, but for dropout's; memory for what they pass on is asked for once."""
    return {"cpp_wrapper": True, "memory_planning": True} if device == "cpu" else {}
