"""Where to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.adapters.backends.vllm import stop_engine
from harness.adapters.settings import Train

from harness.errors import CardError

if TYPE_CHECKING:
    import torch


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU if there is one. Raises CardError for one that is not here."""
    import torch

    found = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(found)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CardError(f"machine.device = {name!r} will not do here: {reason} Try auto, cpu or cuda.") from error
    return device


def free_bytes(name: str) -> int:
    """The memory that is free on the device of that name."""
    import torch

    device = device_of(name)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return int(psutil.virtual_memory().available)


def training_device(name: str, train: Train) -> torch.device:
    """The device of that name, free for training, if the optimizer can run on it. Raises CardError."""
    stop_engine()  # of an earlier run, whose memory is needed
    device = device_of(name)
    if train.optimizer == "paged-adamw-8bit" and device.type == "cpu":
        raise CardError(
            "train.optimizer=paged-adamw-8bit runs on a GPU only; on the CPU use --set train.optimizer=adamw."
        )
    return device
