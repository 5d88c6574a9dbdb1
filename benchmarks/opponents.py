"""What a user would otherwise run to train a tagger, on the same windows, model and adapters as ours.

`TrainerStack` is the straightforward one: transformers' token classifier in float32 under bf16 autocast, PEFT's LoRA,
transformers' Trainer, random batches padded to the longest, SDPA. `PaperLoop` is a plain loop over such batches with
eager attention and gradient checkpointing always on, as in the paper's code. On processors without instructions for
bf16, where it would be a hundred times slower, all compute in float32.
Suffixes of names: B rows, L subwords, T tags.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit
from harness.adapters.device import computed_in, device_of
from harness.adapters.settings import TaggerSettings
from harness.adapters.tagging import TaggedWindow
from harness.adapters.weights import folder_of
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import (
    AutoModelForTokenClassification,
    BitsAndBytesConfig,
    Trainer,
    TrainingArguments,
    get_scheduler,
)

from benchmarks.tables import finish

_IGNORED = -100
_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Opponent(ABC):
    """A token classifier of transformers: a decoder with LoRA, causal as `<decoder>-unmask-0000` is, or an encoder."""

    attention: ClassVar[str] = "sdpa"

    def __init__(self, settings: TaggerSettings, tags: int, pad: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.pad, self.random = settings, pad, random.Random(seed)
        self.computed = computed_in(settings.model, settings.machine)
        self.is_mixed = self.computed is not torch.float32
        base = AutoModelForTokenClassification.from_pretrained(
            folder_of(settings.model), num_labels=tags, attn_implementation=self.attention, **self.loaded()
        )
        base.config.pad_token_id = pad
        base.config.use_cache = False
        self.device = device_of(settings.machine.device)
        self.model = self._adapted(base).to(self.device) if settings.train.method == "lora" else base.to(self.device)
        self.prepare()

    def _adapted(self, base: Any) -> Any:
        lora = self.settings.lora
        return get_peft_model(
            base,
            LoraConfig(
                task_type="TOKEN_CLS",
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=_LINEAR if lora.targets == "all-linear" else list(lora.targets),
            ),
        )

    def loaded(self) -> dict[str, Any]:
        """How weights are loaded."""
        return {"dtype": torch.float32}

    def prepare(self) -> None:
        """What else is done to the model before training."""

    def autocast(self) -> torch.autocast:
        """Computes in bf16, where weights may be in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_mixed)

    @abstractmethod
    def train(self, windows: Sequence[TaggedWindow], updates: int) -> float:
        """Train for some updates on windows drawn at random; returns the subwords a second, without padding."""

    @torch.no_grad()
    def predict(self, windows: Sequence[TaggedWindow], batch: int = 16) -> list[list[int]]:
        """The best tag of each word, in batches as they come, padded to the longest."""
        self.model.eval()
        found = []
        for i in range(0, len(windows), batch):
            group = windows[i : i + batch]
            inputs = self.collate([self.example(window) for window in group])
            labels_BL = inputs.pop("labels")
            with self.autocast():
                best_BL = self.model(**inputs).logits.argmax(-1)
            found += [best_BL[row][labels_BL[row] != _IGNORED].tolist() for row in range(len(group))]
        return found

    def example(self, window: TaggedWindow) -> dict[str, list[int]]:
        labels = [_IGNORED] * len(window.window.ids)
        for (start, _), tag in zip(window.window.owned_bounds, window.tags, strict=True):
            labels[start] = tag
        return {"input_ids": list(window.window.ids), "labels": labels}

    def collate(self, examples: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        length = max(len(example["input_ids"]) for example in examples)

        def padded(key: str, value: int) -> torch.Tensor:
            return torch.tensor([example[key] + [value] * (length - len(example[key])) for example in examples])

        ids_BL = padded("input_ids", self.pad)
        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        mask_BL = (torch.arange(length)[None] < lengths[:, None]).long()
        found = {"input_ids": ids_BL, "attention_mask": mask_BL, "labels": padded("labels", _IGNORED)}
        return {name: tensor.to(self.device) for name, tensor in found.items()}

    def shuffled(self, windows: Sequence[TaggedWindow], count: int) -> list[TaggedWindow]:
        """`count` windows at random, all of them once before any a second time."""
        drawn: list[TaggedWindow] = []
        while len(drawn) < count:
            drawn += self.random.sample(windows, min(len(windows), count - len(drawn)))
        return drawn


class TrainerStack(Opponent):
    """transformers' Trainer with what a tutorial would say."""

    def train(self, windows: Sequence[TaggedWindow], updates: int) -> float:
        train = self.settings.train
        drawn = self.shuffled(windows, updates * train.batch * train.accumulation)
        with TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=str(Path(folder)),
                per_device_train_batch_size=train.batch,
                gradient_accumulation_steps=train.accumulation,
                max_steps=updates,
                learning_rate=train.lr,
                lr_scheduler_type=train.schedule,
                adam_beta1=train.betas[0],
                adam_beta2=train.betas[1],
                adam_epsilon=train.eps,
                bf16=self.is_mixed,
                use_cpu=self.device.type == "cpu",
                dataloader_pin_memory=False,  # what is collated is on the device
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            data: Any = [self.example(window) for window in drawn]
            trainer = Trainer(self.model, arguments, data_collator=self.collate, train_dataset=data)
            begin = time.perf_counter()
            trainer.train()
            return _subwords(drawn) / (time.perf_counter() - begin)


class PaperLoop(Opponent):
    """The loop of the paper's code but for its 4-bit weights: bf16, eager attention, checkpointing at every step."""

    attention = "eager"

    def loaded(self) -> dict[str, Any]:
        return {"dtype": self.computed}

    def prepare(self) -> None:
        self.model.gradient_checkpointing_enable()
        self.model.enable_input_require_grads()
        for _, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def train(self, windows: Sequence[TaggedWindow], updates: int) -> float:
        train = self.settings.train
        drawn = self.shuffled(windows, updates * train.batch * train.accumulation)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        eight_bits = PagedAdamW8bit if self.device.type == "cuda" else AdamW8bit
        kind: Any = eight_bits if train.optimizer == "adamw-8bit" else torch.optim.AdamW
        optimizer = kind(trained, lr=train.lr, betas=train.betas, eps=train.eps, weight_decay=train.weight_decay)
        scheduler = get_scheduler(train.schedule, optimizer, 0, updates)
        self.model.train()
        begin = time.perf_counter()
        for number, first in enumerate(range(0, len(drawn), train.batch), 1):
            inputs = self.collate([self.example(window) for window in drawn[first : first + train.batch]])
            labels_BL = inputs.pop("labels")
            with self.autocast():
                scores_BLT = self.model(**inputs).logits
            loss = F.cross_entropy(scores_BLT.float().flatten(0, 1), labels_BL.flatten(), ignore_index=_IGNORED)
            torch.autograd.backward(loss / train.accumulation)
            if number % train.accumulation:
                continue
            torch.nn.utils.clip_grad_norm_(trained, train.clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        finish()
        return _subwords(drawn) / (time.perf_counter() - begin)


class PaperLoop4Bit(PaperLoop):
    """The same with weights in NF4 with double quantization, as the paper has them."""

    def loaded(self) -> dict[str, Any]:
        quantized = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=self.computed,
            llm_int8_skip_modules=["score"],
        )
        return {**super().loaded(), "quantization_config": quantized}


def _subwords(windows: Sequence[TaggedWindow]) -> int:
    return sum(len(window.window.ids) for window in windows)
