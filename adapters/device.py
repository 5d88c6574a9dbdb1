"""Where to compute, and in what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.adapters.settings import Machine, Model

from harness.errors import CardError

if TYPE_CHECKING:
    import torch

_INSTRUCTIONS = {  # any of which multiplies numbers of 16 bits, by torch's names: x86 first, Arm last
    "bfloat16": ("amx_bf16", "avx512_bf16", "bf16"),
    "float16": ("amx_fp16", "avx512_fp16", "fp16_arith"),
}


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU if there is one. Raises CardError for one that is not here."""
    import torch

    found = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(found)
        torch.empty(0, device=device)
        if device.type == "cuda":
            torch.cuda.set_device(device.index or 0)  # for what is loaded where nothing is said
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CardError(
            f"machine.device = {name!r} will not do here: {reason.rstrip('.')}. Try auto or cpu."
        ) from error
    return device


def check_attention(model: Model, machine: Machine) -> None:
    """Raises CardError for an attention that torch cannot train with on the device."""
    if model.attention == "flex_attention" and device_of(machine.device).type == "cpu":
        raise CardError(
            "model.attention=flex_attention is for GPUs: on a CPU torch cannot train with it, and on one without "
            "AVX-512 it computes padded sentences wrong. Use auto, eager or sdpa."
        )


def computed_in(model: Model, machine: Machine) -> torch.dtype:
    """What a model's products are computed in: the dtype of its weights, or float32 where they are widened."""
    import torch

    found: torch.dtype = torch.float32 if is_widened(model, machine) else getattr(torch, model.dtype)
    return found


def is_widened(model: Model, machine: Machine) -> bool:
    """Whether a model is computed in float32 instead of the dtype of its weights."""
    return machine.widen == "on" or (machine.widen == "auto" and not _multiplies(model.dtype, machine.device))


def _multiplies(dtype: str, device: str) -> bool:
    """Whether a device has instructions for products in that dtype: without them, float32 is many times as fast."""
    import torch

    if device_of(device).type != "cpu" or dtype not in _INSTRUCTIONS:
        return True
    tell = getattr(torch.cpu, "get_capabilities", None)  # which older releases of torch do not have
    return tell is None or any(tell().get(name, False) for name in _INSTRUCTIONS[dtype])


def free_bytes(name: str) -> int:
    """The memory that is free on the device of that name."""
    import torch

    device = device_of(name)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for whoever asks
        return torch.cuda.mem_get_info(device)[0] + kept
    import psutil

    return int(psutil.virtual_memory().available)


def holds_copies(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether copies of tensors fit half of the memory that is free on their device."""
    found = list(tensors)
    return not found or sum(tensor.nbytes for tensor in found) <= free_bytes(str(found[0].device)) // 2


def freed_device(name: str) -> torch.device:
    """The device of that name, free of an earlier engine. Raises CardError."""
    from harness.adapters.backends.vllm import stop_engine  # which asks this file what to compute in

    stop_engine()  # of an earlier run, whose memory is needed
    return device_of(name)
