"""The settings of a tagger: everything a card, a preset or `--set` can say. No heavy import stands here."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.settings import CLOSED

Positive = Annotated[int, Field(gt=0)]
Choice = Literal["auto", "on", "off"]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, slots=True, config=CLOSED)
class Model:
    """The pretrained weights. `path` is a folder, a hub id, or `embedded:<name>`.

    `dtype` is that of the frozen base, unless `machine.widen` has it in float32; what is trained always is.
    `quantization` nf4 is QLoRA's 4 bits with double quantization. `attention` is our own for short rows (grouped) or
    one of transformers' (sdpa, eager; on GPUs flex_attention, flash_attention_2); auto takes grouped on a CPU, and
    wherever blocks are trained as joined ones; elsewhere what transformers prefers.
    """

    path: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    quantization: Literal["none", "nf4"] = "none"
    attention: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True, config=CLOSED)
class Lora:
    """Low-rank adapters. `targets` are module names, a pattern of whole module paths, or `all-linear`."""

    r: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    targets: str | tuple[str, ...] = "all-linear"


@dataclass(frozen=True, slots=True, config=CLOSED)
class Train:
    """The optimization. An update learns from `batch` times `accumulation` sentences, or windows of longer ones.

    How many of them the model reads at once is not said here: as many as the machine's memory holds.
    The head, which begins at random, may learn at a rate of its own, `head_lr`. On little data there are more epochs
    than `epochs`: as many as `min_updates` updates take.
    """

    method: Literal["lora", "full", "head"] = "lora"
    epochs: Positive = 3
    min_updates: Annotated[int, Field(ge=0)] = 0
    batch: Positive = 16
    accumulation: Positive = 1
    lr: Annotated[float, Field(gt=0)] = 2e-4
    head_lr: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    clip: Annotated[float, Field(ge=0)] = 1.0
    optimizer: Literal["adamw", "adamw-8bit"] = "adamw"
    choose: Literal["last", "best-validation"] = "last"


@dataclass(frozen=True, slots=True, config=CLOSED)
class Machine:
    """What changes how a run is carried out, and nothing but rounding in what comes out; left out of its identity.

    But for dropout in the model or its adapters: which of it is drawn depends on what a pass reads, and that, where
    `pass_subwords` is not given, on the memory that is free.

    Blocks are compiled, activations recomputed (gradient checkpointing) and 4-bit weights unpacked once for all steps
    where an estimate of the work, or of the memory, says that it pays: auto. Weights of 16 bits are widened to float32,
    and products computed in it, where a CPU has no instructions for 16 bits: auto. `cuda_graphs` has a GPU replay the
    passes of small decoders, which is not tried enough to be chosen unasked. `pass_subwords` is what a training pass
    reads at most, padding included where it is computed; 0 is by an estimate of the memory, and not more than pays.
    `cores`, `gpus` and `memory_gib` are what one run is given where many are carried out side by side: estimates as
    well, where they are not said.
    """

    device: str = "auto"
    cores: Positive | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    compile: Choice = "auto"
    gradient_checkpointing: Choice = "auto"
    unpack: Choice = "auto"
    widen: Choice = "auto"
    cuda_graphs: Literal["on", "off"] = "off"
    pass_subwords: Annotated[int, Field(ge=0)] = 0
    report_to: tuple[str, ...] = ()
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0


@dataclass(frozen=True, slots=True, config=CLOSED)
class TaggerSettings:
    """A token classifier. `unmask` are the mask bits, empty for an encoder; the first is the group nearest the input.

    Sentences over `max_length` subwords are read in windows that overlap by `overlap` subwords. `pooling` says which
    of a word's subwords speak for it. At prediction a pass reads at most `predict_batch` windows.
    """

    model: Model
    unmask: Annotated[str, Field(pattern="^[01]*$")] = ""
    pooling: Literal["first", "last", "mean"] = "first"
    dropout: Share = 0.1
    max_length: Annotated[int, Field(ge=8)] = 256
    overlap: Annotated[int, Field(ge=0)] = 64
    predict_batch: Positive = 128
    lora: Lora = field(default_factory=Lora)
    train: Train = field(default_factory=Train)
    machine: Machine = field(default_factory=Machine)
