"""The training loop of what learns by gradients: random batches, real accumulation, resumable anywhere."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from harness.adapters.backends.vllm import stop_engine
from harness.adapters.checkpoint import Best, Position, Trainable, Training, resume, save, trained_state
from harness.adapters.passes import Room
from harness.adapters.quicken import Work, quicken
from harness.adapters.settings import Machine, Train
from harness.adapters.trackers import Log, reporting
from torch import nn
from tqdm import tqdm
from transformers import get_scheduler

from harness.contracts import Context
from harness.environment import rarely_collecting
from harness.errors import CardError

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


class Objective(Protocol[E_contra]):
    """What is trained, and the loss of examples."""

    @property
    def model(self) -> Trainable:
        """What is trained."""
        ...

    def length(self, example: E_contra, /) -> int:
        """Its subwords."""
        ...

    def targets(self, example: E_contra, /) -> int:
        """How many predictions its loss is a sum of."""
        ...

    def longest(self, examples: Sequence[E_contra], /) -> int:
        """Subwords of the longest row that the model will read."""
        ...

    def losses(self, examples: Sequence[E_contra], room: Room, /) -> Iterator[tuple[torch.Tensor, int]]:
        """Summed losses whose sum is that of the examples, one for each pass of the model, with the subwords it read.

        A pass reads at most what there is room for, and never less than a row.
        """
        ...


class Trainer(Generic[E]):
    """Trains a model on examples. `validate` scores the model as it stands, for `choose=best-validation`."""

    def __init__(
        self,
        objective: Objective[E],
        train: Train,
        machine: Machine,
        context: Context,
        validate: Callable[[], float],
    ) -> None:
        stop_engine()  # of an earlier system: it holds memory that training needs
        self.objective, self.model = objective, objective.model
        self.train, self.machine, self.context, self.validate = train, machine, context, validate
        self.trained = dict(self.model.trained())
        self.optimizer = _optimizer(self.trained, train)
        self.best: Best | None = None

    def fit(self, examples: Sequence[E]) -> None:
        """Run all epochs, from the newest checkpoint of this run if it has one."""
        epochs, total = duration(self.train, len(examples))
        subwords = sum(map(self.objective.length, examples)) * epochs
        self.room = quicken(self.model, self.machine, Work(subwords, self.objective.longest(examples)))
        schedule = {"constant": "constant_with_warmup"}.get(self.train.schedule, self.train.schedule)
        self.scheduler = get_scheduler(schedule, self.optimizer, round(self.train.warmup * total), total)
        at, self.best = resume(self.context.folder, self._training())
        with (
            rarely_collecting(),
            reporting(self.machine.report_to, self.context) as log,
            tqdm(total=total, initial=at.update, disable=not self.context.progress, leave=False) as bar,
        ):
            while at.epoch < epochs:
                at = self._epoch(examples, at, log, bar)
                if self.train.choose == "best-validation":
                    self._consider(at, log)
                at = Position(at.epoch + 1, 0, at.update)
                self._save(at)
        if self.best:
            with torch.no_grad():
                for name, parameter in self.trained.items():
                    parameter.copy_(self.best.state[name])

    def _training(self) -> Training:
        return Training(self.model, self.optimizer, self.scheduler)

    def _save(self, at: Position) -> None:
        save(self.context.folder, self._training(), at, self.best)

    def _epoch(self, examples: Sequence[E], at: Position, log: Log, bar: Any) -> Position:
        self.model.train()
        size = self.train.batch * self.train.accumulation
        steps = _batches(examples, size, self.context.seed * 1009 + at.epoch)
        saved = time.monotonic()
        for done in range(at.batch, len(steps)):
            loss, subwords = self._update(steps[done])
            if not math.isfinite(loss):
                raise CardError(
                    f"Training diverged: the loss of update {at.update + 1} is {loss}. Try a lower train.lr than "
                    f"{self.train.lr:g}, or more train.warmup."
                )
            at = Position(at.epoch, done + 1, at.update + 1)
            rate = self.optimizer.param_groups[0]["lr"]
            log(
                {
                    "update": at.update,
                    "epoch": at.epoch + (done + 1) / len(steps),
                    "loss": loss,
                    "lr": rate,
                    "subwords": subwords,
                }
            )
            self.scheduler.step()
            bar.update()
            minutes = self.machine.checkpoint_minutes
            if minutes and time.monotonic() - saved > 60 * minutes:
                self._save(at)
                saved = time.monotonic()
        return at

    def _update(self, examples: Sequence[E]) -> tuple[float, int]:
        """One update: the mean over all targets of `examples`. Returns the loss and the subwords read."""
        targets = sum(map(self.objective.targets, examples))
        losses, subwords = [], 0
        for summed, read in self.objective.losses(examples, self.room):
            loss = summed / targets
            torch.autograd.backward(loss)
            losses.append(loss.detach())
            subwords += read
            del summed, loss  # nothing of a pass may be left when the next is recorded
        if self.train.clip:
            nn.utils.clip_grad_norm_(self.trained.values(), self.train.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return sum(map(float, losses)), subwords  # read last, since a GPU is waited for

    def _consider(self, at: Position, log: Log) -> None:
        f1 = self.validate()
        log({"update": at.update, "epoch": at.epoch + 1, "validation_f1": f1})
        if self.best is None or f1 > self.best.f1:
            self.best = Best(f1, trained_state(self.model))


def duration(train: Train, examples: int) -> tuple[int, int]:
    """Epochs, and updates in all, of training on that many examples."""
    updates_an_epoch = -(-examples // (train.batch * train.accumulation))
    epochs = max(train.epochs, -(-train.min_updates // updates_an_epoch))
    return epochs, updates_an_epoch * epochs


def _batches(examples: Sequence[E], size: int, seed: int) -> list[list[E]]:
    """All examples once, in an order drawn anew; batches of like length seem to teach less, see docs/performance.md."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed)).tolist()
    return [[examples[index] for index in order[first : first + size]] for first in range(0, len(order), size)]


def _optimizer(trained: Mapping[str, nn.Parameter], train: Train) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms) are not decayed, the head may have its own learning rate."""
    found: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in trained.items():
        found[name.startswith("head."), parameter.ndim > 1].append(parameter)
    groups = [
        {
            "params": parameters,
            "lr": (train.head_lr or train.lr) if in_head else train.lr,
            "weight_decay": train.weight_decay if is_matrix else 0.0,
        }
        for (in_head, is_matrix), parameters in found.items()
    ]
    if train.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, eps=train.eps, fused=True)
    from bitsandbytes.optim import AdamW8bit  # its pages, where it has them, are never given back

    optimizer: torch.optim.Optimizer = AdamW8bit(groups, lr=train.lr, betas=train.betas, eps=train.eps)
    return optimizer
