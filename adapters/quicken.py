"""What makes training faster, or fit the memory, and changes nothing that is learned; each where it should pay."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from harness.adapters.device import free_bytes
from harness.adapters.embedded import cache_folder
from harness.adapters.llama_block import JoinedBlock, Refresh, understood
from harness.adapters.packing import Places
from harness.adapters.passes import Room
from harness.adapters.pretrained import elements
from harness.adapters.settings import Choice, Machine
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.errors import CardError

_ENOUGH = 512  # subwords of a pass that keep a machine busy
_MOST = 8192  # subwords of a pass beyond which nothing is won
_MOST_ON_CPU = 3072  # beyond which much is lost
_RECOMPUTED = 8  # how many times more subwords fit where activations are recomputed
_COMPILING_SECONDS = 15  # what compiling a block takes the first time
_GAIN = 0.25  # the share of the time that it saves
_PLACES = "harness_places"  # among the arguments of blocks
_FLOPS = {"cpu": 1.8e11, "cuda": 1e14}  # what training reaches without it, roughly: on one thread, on one GPU


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be trained: subwords in all, and those of the longest row."""

    subwords: int
    longest: int


def quicken(model: nn.Module, machine: Machine, work: Work) -> Room:
    """Join the products of a model's blocks, where that is known how; compile them, and recompute activations, as the
    settings or the estimates say.

    Returns what a pass may read. Raises CardError where compiling is asked for by name and cannot be done.
    """
    device = next(model.parameters()).device
    backbone = _backbone(model)
    room = int(free_bytes(str(device)) / 3 / activation_bytes(backbone, work.longest))
    if _chosen(machine.gradient_checkpointing, lambda: room < max(_ENOUGH, work.longest)):
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
        room *= _RECOMPUTED
    compiles = _chosen(machine.compile, lambda: _pays(backbone, work, device.type)) and _can_compile(
        device.type, machine.compile == "on"
    )
    found, joins = list(blocks(backbone)), _joins(backbone)
    is_new = not any("forward" in vars(block) for block in found)  # no earlier training has seen to it
    if joins and is_new:
        _join(backbone, compiles)
    elif compiles and is_new:
        _compile(backbone)
    trained = sum(elements(parameter) for parameter in model.parameters() if parameter.requires_grad)
    share = trained / _weights(backbone) if found else 0.0
    return Room(machine.pass_subwords or min(room, most_subwords(device)), joins, share)


def lay_out(model: nn.Module) -> None:
    """Have weights lie in memory as training leaves them, so that what is predicted is the same to the last bit."""
    backbone = _backbone(model)
    if _joins(backbone):
        for block in blocks(backbone):
            JoinedBlock(block)


def most_subwords(device: torch.device) -> int:
    """How many subwords a pass may read on a device before it gets slower for it."""
    return _MOST_ON_CPU if device.type == "cpu" else _MOST


def blocks(backbone: nn.Module) -> Iterator[nn.Module]:
    """The blocks of any of transformers' models."""
    return (module for module in backbone.modules() if isinstance(module, GradientCheckpointingLayer))


def activation_bytes(backbone: Any, length: int) -> float:
    """An estimate of what the backward pass keeps of a forward pass, a subword in a row of `length`."""
    config = backbone.config
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    heads = getattr(config, "num_attention_heads", 1)
    item = 4 if backbone.dtype == torch.float32 else 2
    return float(item * (16 * width + 5 * inner + 3 * heads * length) * config.num_hidden_layers)


def _backbone(model: nn.Module) -> PreTrainedModel:
    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def _joins(backbone: PreTrainedModel) -> bool:
    """Whether training joins the products of its blocks."""
    found = list(blocks(backbone))
    return backbone.device.type == "cpu" and bool(found) and all(map(understood, found))


def _weights(backbone: nn.Module) -> int:
    """How many the blocks have."""
    return sum(elements(parameter) for block in blocks(backbone) for parameter in block.parameters())


def _chosen(choice: Choice, estimate: Any) -> bool:
    return bool(estimate()) if choice == "auto" else choice == "on"


def _pays(backbone: nn.Module, work: Work, device: str) -> bool:
    at_once = torch.get_num_threads() if device == "cpu" else 1
    seconds = 4 * _weights(backbone) * work.subwords / (_FLOPS.get(device, 1e14) * at_once)
    return seconds * _GAIN > _COMPILING_SECONDS


def _compile(backbone: Any) -> None:
    """Compile the blocks for training. All are of one code, so that it is compiled once, for batches of any shape."""
    backbone.enable_input_require_grads()  # else the first block would be a case of its own
    for block in blocks(backbone):
        block.forward = _while_training(block, block.forward, torch.compile(block.forward, dynamic=True))


def _join(backbone: nn.Module, compiles: bool) -> None:
    """Have the blocks computed for training by `JoinedBlock`, without padding."""
    joined = [JoinedBlock(block) for block in blocks(backbone)]
    run = _compiled_joined() if compiles else JoinedBlock.__call__
    refresh = Refresh(joined)
    backbone.register_forward_pre_hook(partial(_before_joined, refresh), with_kwargs=True)
    for block, quick in zip(blocks(backbone), joined, strict=True):
        begin = partial(_run_first, run) if compiles and quick is joined[0] else run
        forward = _joined(partial(begin, quick), quick is joined[0], quick is joined[-1], bool(refresh.places))
        block.forward = _while_training(block, block.forward, forward)


def _before_joined(refresh: Refresh, backbone: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
    if not backbone.training:
        return None
    refresh()
    mask = kwargs["attention_mask"]
    real_BL = mask if mask.ndim == 2 else torch.ones(mask.shape[0], mask.shape[-1])  # rows laid out have no padding
    return args, {**kwargs, _PLACES: Places.of(real_BL)}


def _joined(run: Any, is_first: bool, is_last: bool, is_trained: bool) -> Any:
    """A block's forward pass; from the first to the last, subwords stand without padding."""

    def forward(hidden: torch.Tensor, attention_mask: torch.Tensor, position_embeddings: Any, **others: Any) -> Any:
        places: Places = others[_PLACES]
        hidden_ND = places.taken(hidden) if is_first else hidden
        if is_first and hidden.is_leaf:  # nothing before it is trained
            hidden_ND = hidden_ND.detach().requires_grad_(is_trained)
        mask_R1LL, turns = places.mask(attention_mask), tuple(map(places.turns, position_embeddings))
        hidden_ND = run(hidden_ND, mask_R1LL, turns, (places.among_RL, places.packed_N))
        return places.put_back(hidden_ND) if is_last else hidden_ND

    return forward


def _run_first(
    run: Any, block: JoinedBlock, hidden_ND: torch.Tensor, mask_R1LL: torch.Tensor, turns: Any, places: Any
) -> Any:
    """The first block of a pass, which is compiled for all: its sizes are said to vary, once, since that takes time."""
    sizes = [(hidden_ND, (0,)), (mask_R1LL, (0, 2, 3)), (places[0], (0, 1)), (places[1], (0,))]
    for tensor, varying in [*sizes, *((one, (0, 1)) for one in turns)]:
        for size in varying:
            torch._dynamo.maybe_mark_dynamic(tensor, size)
    return run(block, hidden_ND, mask_R1LL, turns, places)


@cache
def _compiled_joined() -> Any:
    # no Python between its kernels, and memory for what they pass on is asked for once
    return torch.compile(JoinedBlock.__call__, options={"cpp_wrapper": True, "memory_planning": True})


def _while_training(block: nn.Module, plain: Any, compiled: Any) -> Any:
    return lambda *args, **kwargs: (compiled if block.training else plain)(*args, **kwargs)


def _can_compile(device: str, insist: bool) -> bool:
    reason = _obstacle(device)
    if reason and insist:
        raise CardError(f"machine.compile=on: torch cannot compile here: {reason} Use auto or off.")
    return not reason


@cache
def _obstacle(device: str) -> str:
    """What keeps torch from compiling here: found by compiling something small."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    torch._dynamo.config.recompile_limit = 64
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:
        return str(error).strip().splitlines()[0]
    return ""
