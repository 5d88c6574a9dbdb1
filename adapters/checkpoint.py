"""Checkpoints of training, in safetensors and JSON alone: written aside and renamed; the newest is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from harness.errors import StoreError
from harness.files import sync


class Trainable(nn.Module):
    """A model that knows which of its parameters are trained."""

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that training changes, with their names."""
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)


@dataclass(frozen=True, slots=True)
class Position:
    """Where training stands: batches done in this epoch, and updates done in all."""

    epoch: int = 0
    batch: int = 0
    update: int = 0


@dataclass(frozen=True, slots=True)
class Best:
    """The trained parameters of the best epoch so far, and its F1 on validation."""

    f1: float
    state: dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Training:
    """What a checkpoint holds, beside the position and the best epoch."""

    model: Trainable
    optimizer: torch.optim.Optimizer
    scheduler: Any


def save(folder: Path, training: Training, at: Position, best: Best | None) -> None:
    """Write a checkpoint into `folder`, then drop the older ones. No two positions have one name."""
    optimizer = training.optimizer
    target = folder / f"checkpoint-{at.update:08d}-{at.epoch:04d}"
    aside = folder / f".{target.name}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    # as torch has it: bitsandbytes' own puts its tensors a level deeper, and reads them here as well
    tensors, numbers = _flat(torch.optim.Optimizer.state_dict(optimizer)["state"])
    save_file(trained_state(training.model), aside / "trained.safetensors")
    if best:
        save_file(best.state, aside / "best.safetensors")
    save_file(tensors | _random_states(), aside / "optimizer.safetensors")
    scheduled = training.scheduler.state_dict()
    state = {
        "position": [at.epoch, at.batch, at.update],
        "best_f1": best.f1 if best else None,
        "optimizer": numbers,
        "learning_rates": [group["lr"] for group in optimizer.param_groups],
        "scheduler": {key: value for key, value in scheduled.items() if isinstance(value, (int, float, list))},
    }
    (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for path in aside.iterdir():
        sync(path)  # the older one goes next
    aside.rename(target)
    for older in folder.glob("checkpoint-*"):
        if older != target:
            shutil.rmtree(older, ignore_errors=True)


def resume(folder: Path, training: Training) -> tuple[Position, Best | None]:
    """Go on from the newest checkpoint in `folder`; at the beginning where there is none.

    Raises StoreError for one that is damaged, or of another model.
    """
    found = sorted(folder.glob("checkpoint-*"))
    if not found:
        return Position(), None
    newest = found[-1]
    try:
        return _resume(newest, training)
    except StoreError as error:
        raise StoreError(f"{error} Delete the folder {newest} to train anew.") from error
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StoreError(f"The checkpoint {newest} is damaged ({error}). Delete it to train anew.") from error


def _resume(newest: Path, training: Training) -> tuple[Position, Best | None]:
    state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
    tensors = load_file(newest / "optimizer.safetensors")
    load_trained(training.model, newest / "trained.safetensors")
    _set_random_states(tensors)
    optimizer, scheduler = training.optimizer, training.scheduler
    whole = optimizer.state_dict()
    whole["state"] = _nested(tensors, state["optimizer"])
    optimizer.load_state_dict(whole)
    scheduler.load_state_dict(scheduler.state_dict() | state["scheduler"])
    for group, rate in zip(optimizer.param_groups, state["learning_rates"], strict=True):
        group["lr"] = rate
    f1 = state["best_f1"]
    best = None if f1 is None else Best(f1, load_file(newest / "best.safetensors"))
    return Position(*state["position"]), best


def trained_state(model: Trainable) -> dict[str, torch.Tensor]:
    """The trained parameters by name, on the CPU."""
    return {name: p.detach().cpu().contiguous().clone() for name, p in model.trained()}


def load_trained(model: Trainable, path: Path) -> None:
    """Put saved parameters back. Raises StoreError unless they are exactly the ones that the model trains."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is no whole file of weights ({error}).") from error
    own: dict[str, nn.Parameter] = dict(model.trained())
    others = {(name, p.shape) for name, p in own.items()} ^ {(name, p.shape) for name, p in tensors.items()}
    if others:
        raise StoreError(
            f"{path} does not fit the model, whose trained parameters have other names or sizes ({min(others)[0]}, for "
            "one): another version of the harness wrote it, or it is of other settings."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def _flat(states: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    items = {f"{index}/{key}": value for index, state in states.items() for key, value in state.items()}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in items.items() if torch.is_tensor(value)}
    return tensors, {key: value for key, value in items.items() if not torch.is_tensor(value)}


def _nested(tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> dict[int, dict[str, Any]]:
    states: dict[int, dict[str, Any]] = {}
    for name, value in (tensors | numbers).items():
        index, slash, key = name.partition("/")
        if slash:
            states.setdefault(int(index), {})[key] = value
    return states


def _random_states() -> dict[str, torch.Tensor]:
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_states(tensors: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
