"""Dropout on a CPU, whose random numbers take longer than much of what they drop.

torch draws a number for every value. 16 bits say as much, and a draw of 64 holds four of them. Elsewhere than on a CPU
this is torch's own.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

_OUTCOMES = 2**16


@torch.library.custom_op("harness::drawn", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def drawn(like: torch.Tensor) -> torch.Tensor:
    """Random whole numbers of 16 bits in a tensor's shape, by torch's generator; compiled code calls this as it is."""
    count = like.numel()
    fours = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return fours.view(torch.int16)[:count].view(like.shape)


@drawn.register_fake
def _(like: torch.Tensor) -> torch.Tensor:
    return torch.empty(like.shape, dtype=torch.int16, device=like.device)


def kept(like: torch.Tensor, share: float) -> torch.Tensor:
    """Which values of a tensor's shape are kept, where a share is dropped: on a CPU to 1 in 65,536."""
    if like.device.type != "cpu":
        return torch.rand_like(like, dtype=torch.float32) >= share
    found: torch.Tensor = drawn(like) >= round(share * _OUTCOMES) - _OUTCOMES // 2
    return found


def dropped(values: torch.Tensor, kept: torch.Tensor, share: float) -> torch.Tensor:
    """Zeros in place of what is not kept, which is a share; the others as much larger, so that the mean stays."""
    return values * kept.to(values.dtype).mul_(1 / (1 - share))


def dropout(values: torch.Tensor, share: float, training: bool = True) -> torch.Tensor:
    """torch's dropout, by numbers of 16 bits on a CPU."""
    if not training or not share or values.device.type != "cpu":
        return F.dropout(values, share, training)
    return dropped(values, kept(values, share), share)


class Dropout(nn.Dropout):
    """torch's module, computed by `dropout`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return dropout(input, self.p, self.training)


def quicken_dropout(model: nn.Module) -> None:
    """Put `Dropout` in place of torch's modules in a model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
