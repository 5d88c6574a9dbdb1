"""What makes training faster, or fit the memory, and changes nothing that is learned; each where it should pay."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from harness.adapters.compiled_files import remove_broken_libraries, remove_headers
from harness.adapters.device import free_bytes
from harness.adapters.joining import Joining, compiler_options, joining_of
from harness.adapters.passes import OVERHEAD, Room
from harness.adapters.pretrained import backbone_of, blocks, elements
from harness.adapters.settings import Choice, Machine
from torch import nn
from transformers import PreTrainedModel

from harness.errors import CardError

_ENOUGH = 512  # subwords of a pass that keep a machine busy
_MOST = 8192  # subwords of a pass beyond which nothing is won
_MOST_ON_CPU = 3072  # beyond which much is lost
_RECOMPUTED = 8  # how many times more subwords fit where activations are recomputed
_LAYERS = 7  # of a joined block: queries, keys, values, their mixing, gate, up and down
_COMPILING_SECONDS = 15  # what compiling a block takes the first time
_GAIN = 0.25  # the share of the time that it saves
_FLOPS = {"cpu": 1.8e11, "cuda": 1e14}  # what training reaches without it, roughly: on one thread, on one GPU


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be trained: subwords in all, and those of the longest row."""

    subwords: int
    longest: int


def quicken(model: nn.Module, machine: Machine, work: Work) -> Room:
    """Join the products of a model's blocks, where that is known how; compile them or record their passes, and
    recompute activations, as the settings or the estimates say.

    Returns what a pass may read. Raises CardError where compiling or CUDA graphs are asked for by name and cannot be.
    """
    device = next(model.parameters()).device
    backbone = backbone_of(model)
    room = int(free_bytes(str(device)) / 3 / activation_bytes(backbone, work.longest))
    if _chosen(machine.gradient_checkpointing, lambda: room < max(_ENOUGH, work.longest)):
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
        room *= _RECOMPUTED
    found, joining = list(blocks(backbone)), joining_of(backbone)
    records = machine.cuda_graphs == "on"
    if records:
        _recordable(joining, machine, backbone).record()
    elif joining:
        joining.recorder = None  # of an earlier training
    compiles = (
        not records
        and _chosen(machine.compile, lambda: _pays(backbone, work, device.type))
        and _can_compile(device.type, machine.compile == "on")
    )
    if compiles:
        warnings.filterwarnings("ignore", r"\s*Online softmax is disabled")  # a hint to those who work on torch
    if compiles and joining:
        joining.compile(device.type)
    elif compiles and not any("forward" in vars(block) for block in found):  # else an earlier training has seen to it
        _compile(backbone)
    trained = sum(elements(parameter) for parameter in model.parameters() if parameter.requires_grad)
    share = trained / _weights(backbone) if found else 0.0
    room = machine.pass_subwords or min(room, most_subwords(device))
    return Room(room, joining is not None, share, OVERHEAD[device.type])


def most_subwords(device: torch.device) -> int:
    """How many subwords a pass may read on a device before it gets slower for it."""
    return _MOST_ON_CPU if device.type == "cpu" else _MOST


def activation_bytes(backbone: Any, length: int) -> float:
    """An estimate of what the backward pass keeps of a forward pass, a subword in a row of `length`.

    Blocks of transformers' keep most of what they compute, dropout of adapters included; joined ones about half of it.
    """
    config = backbone.config
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    heads = getattr(config, "num_attention_heads", 1)
    item = 4 if backbone.dtype == torch.float32 else 2
    of_width, of_inner, of_scores = (10, 3, 1) if joining_of(backbone) else (16, 5, 3)
    values = of_width * width + of_inner * inner + of_scores * heads * length
    return float(item * values * config.num_hidden_layers)


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


def _while_training(block: nn.Module, plain: Any, compiled: Any) -> Any:
    return lambda *args, **kwargs: (compiled if block.training else plain)(*args, **kwargs)


def _recordable(joining: Joining | None, machine: Machine, backbone: PreTrainedModel) -> Joining:
    """Raises CardError for what was in no case seen to learn the same where it is recorded; masks are not asked for."""
    reasons = {
        "this is none": backbone.device.type != "cuda",
        "this model has no adapters, or blocks unlike those of Llama and Mistral": not (
            joining and joining.refresh.trained
        ),
        "some of its layers have no adapters": joining and len(joining.refresh.downs) < _LAYERS * len(joining.joined),
        "its adapters have dropout": joining and any(product.dropout for product in joining.products),
        "its weights stay packed": joining and any(product.absmax is not None for product in joining.products),
        "its activations are recomputed": backbone.is_gradient_checkpointing,
        "its blocks are to be compiled, by machine.compile=on": machine.compile == "on",
    }
    reason = next((reason for reason, holds in reasons.items() if holds), "")
    if reason or joining is None:
        raise CardError(
            "machine.cuda_graphs=on is for decoders with adapters that are trained on a GPU with CUDA, and "
            f"{reason}. Leave it off."
        )
    return joining


def _can_compile(device: str, insist: bool) -> bool:
    reason = _obstacle(device)
    if reason and insist:
        raise CardError(f"machine.compile=on: torch cannot compile here: {reason} Use auto or off.")
    return not reason


@cache
def _obstacle(device: str) -> str:
    """What keeps torch from compiling here: found by compiling something small, as blocks are."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

    remove_broken_libraries(Path(cache_dir()))
    torch._dynamo.config.recompile_limit = 64
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    if not _failure(device):
        return ""
    remove_headers(Path(default_cache_dir()) / "precompiled_headers")  # wherever the rest is
    return _failure(device)


def _failure(device: str) -> str:
    try:
        torch.compile(lambda x: x.sin() + 1, options=compiler_options(device))(torch.ones(8, device=device))
    except Exception as error:
        return str(error).strip().splitlines()[0]
    return ""
