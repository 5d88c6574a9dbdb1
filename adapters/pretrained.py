"""Pretrained weights in memory, with what is trained of them: everything, low-rank adapters, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from harness.adapters.attention import GROUPED
from harness.adapters.device import check_attention, computed_in, device_of, free_bytes
from harness.adapters.llama_block import joinable
from harness.adapters.lowrank import with_lora
from harness.adapters.settings import Lora, Machine, Model, Train
from harness.adapters.weights import loading
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.environment import free_memory
from harness.errors import CardError


def load_pretrained(kind: Any, folder: Path, model: Model, machine: Machine, train: Train | None = None) -> Any:
    """The model in a folder, made by one of transformers' auto classes, in what it is computed in.

    Where all of it is to be trained, it is in float32, see `autocast_in`. Raises CardError where it cannot be loaded.
    """
    check_attention(model, machine)
    device = device_of(machine.device)
    options = _packed(model, machine, device) if model.quantization == "nf4" else {}

    def load(attention: str | None) -> tuple[Any, Mapping[str, Any]]:
        with loading(folder):
            loaded: tuple[Any, Mapping[str, Any]] = kind.from_pretrained(
                folder,
                dtype=torch.float32 if train and train.method == "full" else computed_in(model, machine),
                attn_implementation=attention,
                use_safetensors=True,
                trust_remote_code=model.trust_remote_code,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
            return loaded

    if model.attention != "auto":
        loaded, found = load(model.attention)
    elif device.type != "cpu":
        loaded, found = load(None)
    else:
        try:
            loaded, found = load(GROUPED)
        except CardError as error:
            if not (isinstance(error.__cause__, KeyError) and error.__cause__.args == (GROUPED,)):
                raise
            loaded, found = load("eager")  # a model that looks attention up among its own
    _refuse_misfits(folder, found)
    return loaded


def _packed(model: Model, machine: Machine, device: torch.device) -> dict[str, Any]:
    """What transformers is told for weights in NF4."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in(model, machine),
    )
    return {"device_map": {"": device}, "quantization_config": config}


def _refuse_misfits(folder: Path, found: Mapping[str, Any]) -> None:
    """Raise CardError for weights that would be random: those that a file lacks, or has in another shape.

    But for a pooler's, which language models come without, and which nothing here reads.
    """
    what = "config.json and *.safetensors do not belong together."
    for name, stored, expected in sorted(found["mismatched_keys"]):
        raise CardError(f"{folder} has {name} as {list(stored)} where {list(expected)} was expected: {what}")
    absent = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if absent:
        raise CardError(f"{folder} lacks {len(absent)} weights of its model, the first of them {absent[0]}: {what}")


def autocast_in(model: Model, train: Train, machine: Machine) -> torch.dtype | None:
    """What a model whose float32 weights are all trained is computed in; None where it needs no autocast."""
    computed = computed_in(model, machine)
    return computed if train.method == "full" and computed is not torch.float32 else None


def prepare(backbone: Any, model: Model, train: Train, lora: Lora, machine: Machine) -> Any:
    """Choose what is trained. Raises CardError for what does not go together."""
    backbone.config.use_cache = False
    if train.method == "full":
        if model.quantization != "none":
            raise CardError(
                "train.method=full cannot train 4-bit weights; use train.method=lora or model.quantization=none."
            )
        return backbone
    if model.quantization != "none" and _unpacks(backbone, model, machine):
        backbone = backbone.dequantize(computed_in(model, machine))
        free_memory()  # the 4-bit weights and what they were packed with hold each other
    backbone.requires_grad_(False)
    if model.attention == "auto":
        group_where_joined(backbone)
    if train.method == "head":
        return backbone
    return with_lora(backbone, lora)


def group_where_joined(backbone: PreTrainedModel) -> None:
    """Give a model grouped attention where that lets its blocks be joined, whatever attention it was loaded with."""
    found = list(blocks(backbone))
    if found and all(map(joinable, found)):
        backbone.set_attn_implementation(GROUPED)


def backbone_of(model: nn.Module) -> PreTrainedModel:
    """The model of transformers' in a model, without its adapters."""
    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def blocks(backbone: nn.Module) -> Iterator[nn.Module]:
    """The blocks of any of transformers' models."""
    return (module for module in backbone.modules() if isinstance(module, GradientCheckpointingLayer))


def elements(parameter: torch.Tensor) -> int:
    """How many numbers a parameter holds; 4-bit weights, stored two to a byte, count as what they stand for."""
    state = getattr(parameter, "quant_state", None)
    return int(parameter.numel() if state is None else state.shape.numel())


def _unpacks(backbone: Any, model: Model, machine: Machine) -> bool:
    """Whether the values of 4-bit weights are kept in memory, instead of being computed at every step."""
    if machine.unpack != "auto":
        return machine.unpack == "on"
    size = backbone.num_parameters() * computed_in(model, machine).itemsize
    return bool(2 * size < free_bytes(machine.device))
