"""Supervised fine-tuning on prompts and responses: the loss is on the responses alone.

All prompts of a task begin with the same instruction. Examples are laid out in rows as

    [common beginning][rest of prompt 1][response 1][rest of prompt 2][response 2]...

where each token attends to the common beginning and to its own example only, at the positions it would have alone, and
in blocks that slide no farther back than their window: the losses are those of the examples one by one, and the common
beginning is read once a row.
Suffixes of names: L tokens of a row, T response tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from harness.adapters.checkpoint import Trainable, load_trained
from harness.adapters.generator_settings import InstructedSettings
from harness.adapters.masks import kind_of
from harness.adapters.passes import Room
from harness.adapters.pretrained import autocast_in, load_pretrained, prepare
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from harness.errors import CardError

_ROW = 1024  # tokens of a row, unless a single example has more


@dataclass(frozen=True, slots=True)
class Example:
    """The tokens of a prompt and of the response to it, its end included."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


class InstructModel(Trainable):
    """A causal language model with low-rank adapters in float32."""

    def __init__(self, settings: InstructedSettings, folder: Path) -> None:
        super().__init__()
        if settings.model.attention not in ("auto", "grouped", "eager", "sdpa"):
            raise CardError(
                f"model.attention = {settings.model.attention!r} cannot take the masks that keep examples apart; "
                "use auto, grouped, eager or sdpa."
            )
        if settings.train.method == "head":
            raise CardError("train.method=head trains a tagger's head; this system has none: use lora or full.")
        base = load_pretrained(AutoModelForCausalLM, folder, settings.model, settings.machine, settings.train)
        self.language = prepare(base, settings.model, settings.train, settings.lora, settings.machine)
        self.additive = base.config._attn_implementation != "sdpa"  # which takes masks of true and false
        self.autocast = autocast_in(settings.model, settings.train, settings.machine)
        kinds = {kind_of(base.config, block) for block in range(base.config.num_hidden_layers)}
        self.window: int | None = base.config.sliding_window if "sliding" in kinds else None
        self.mixed = len(kinds) > 1


class InstructObjective:
    """The cross-entropy of response tokens. A batch is a sequence of packs: examples that were packed together."""

    def __init__(self, model: InstructModel, prefix: int) -> None:
        self.model, self.prefix = model, prefix
        self.device = next(model.parameters()).device

    def length(self, pack: Sequence[Example], /) -> int:
        return sum(self._size(one) for one in pack)

    def targets(self, pack: Sequence[Example], /) -> int:
        return sum(len(one.response) for one in pack)

    def longest(self, packs: Sequence[Sequence[Example]], /) -> int:
        return max(_ROW, self.prefix + max(self._size(one) for pack in packs for one in pack))

    def losses(self, packs: Sequence[Sequence[Example]], room: Room, /) -> Iterator[tuple[torch.Tensor, int]]:
        for row in self._rows([one for pack in packs for one in pack], min(_ROW, room.subwords)):
            yield self._loss(row)

    def _size(self, example: Example) -> int:
        return len(example.prompt) - self.prefix + len(example.response)

    def _rows(self, examples: Sequence[Example], most: int) -> Iterator[list[Example]]:
        row: list[Example] = []
        used = self.prefix
        for example in examples:
            if row and used + self._size(example) > most:
                yield row
                row, used = [], self.prefix
            row.append(example)
            used += self._size(example)
        if row:
            yield row

    def _loss(self, examples: Sequence[Example]) -> tuple[torch.Tensor, int]:
        laid = layout(examples, self.prefix)
        full = sliding = self._mask(laid.visible_LL)
        if self.model.window:
            sliding = self._mask(laid.visible_LL & laid.within(self.model.window))
        masks = {"full_attention": full, "sliding_attention": sliding}
        autocast = self.model.autocast
        with torch.autocast(self.device.type, autocast, enabled=autocast is not None):
            scores_TV = self.model.language(
                input_ids=laid.ids_L[None].to(self.device),
                position_ids=laid.positions_L[None].to(self.device),
                attention_mask=masks if self.model.mixed else sliding,
                logits_to_keep=laid.before_T.to(self.device),
                use_cache=False,
            ).logits[0]
        loss = F.cross_entropy(scores_TV.float(), laid.targets_T.to(self.device), reduction="sum")
        return loss, len(laid.ids_L)

    def _mask(self, visible_LL: torch.Tensor) -> torch.Tensor:
        """As the model's attention takes it, of shape [1, 1, L, L]."""
        if self.model.additive:
            dtype = self.model.language.get_input_embeddings().weight.dtype
            visible_LL = torch.zeros(visible_LL.shape, dtype=dtype).masked_fill(~visible_LL, torch.finfo(dtype).min)
        return visible_LL[None, None].to(self.device)


@dataclass(frozen=True, slots=True)
class Layout:
    """A row: its tokens, their positions, what each attends to, and where the response tokens are foretold."""

    ids_L: torch.Tensor
    positions_L: torch.Tensor
    visible_LL: torch.Tensor
    before_T: torch.Tensor
    targets_T: torch.Tensor

    def within(self, window: int) -> torch.Tensor:
        """Whether each is less than so many positions before the other: of shape [L, L]."""
        return self.positions_L[:, None] - self.positions_L[None] < window


def layout(examples: Sequence[Example], prefix: int) -> Layout:
    """Lay examples whose first `prefix` tokens are the same out in a row."""
    ids = list(examples[0].prompt[:prefix])
    positions, owner = list(range(prefix)), [-1] * prefix
    before: list[int] = []
    targets: list[int] = []
    for number, example in enumerate(examples):
        own = [*example.prompt[prefix:], *example.response]
        first = len(ids) + len(example.prompt) - prefix
        before += range(first - 1, first - 1 + len(example.response))
        targets += example.response
        positions += range(prefix, prefix + len(own))
        owner += [number] * len(own)
        ids += own
    owner_L = torch.tensor(owner)
    same_LL = (owner_L[:, None] == owner_L[None]) | (owner_L[None] == -1)
    visible_LL = same_LL & torch.ones(same_LL.shape, dtype=torch.bool).tril()
    return Layout(torch.tensor(ids), torch.tensor(positions), visible_LL, torch.tensor(before), torch.tensor(targets))


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all prompts begin with; each keeps one of its own."""
    if not prompts:
        return 0
    low, high = min(prompts), max(prompts)
    limit = min(len(low), len(high), min(map(len, prompts)) - 1)
    return next((i for i in range(limit) if low[i] != high[i]), limit)


def packs(examples: Sequence[Example], tokens: int) -> list[tuple[Example, ...]]:
    """Examples packed in order, each pack of up to that many tokens; one example a pack for 0."""
    found: list[tuple[Example, ...]] = []
    pack: list[Example] = []
    used = 0
    for example in examples:
        size = len(example.prompt) + len(example.response)
        if pack and used + size > tokens:
            found.append(tuple(pack))
            pack, used = [], 0
        pack.append(example)
        used += size
    return [*found, tuple(pack)] if pack else found


def export(settings: InstructedSettings, base: Path, trained: Path, folder: Path) -> None:
    """Write the base with the trained weights merged into it, in the settings' dtype: what any server can load."""
    plain = replace(settings.model, quantization="none")
    model = InstructModel(replace(settings, model=plain), base)
    load_trained(model, trained)
    language = model.language
    merged: Any = language.merge_and_unload() if settings.train.method == "lora" else language
    merged.to(getattr(torch, settings.model.dtype)).save_pretrained(folder)
