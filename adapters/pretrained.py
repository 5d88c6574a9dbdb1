"""Pretrained weights in memory, with what is trained of them: everything, low-rank adapters, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from harness.adapters.settings import Lora, Model, Train

from harness.errors import CardError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pretrained(kind: Any, folder: Path, model: Model, dtype: torch.dtype | None = None) -> Any:
    """The model in a folder, made by one of transformers' auto classes, in `dtype` or the one of its settings.

    Raises CardError where it cannot be loaded.
    """
    options: dict[str, Any] = {}
    if model.quantization == "nf4":
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[model.dtype],
        )
    try:
        return kind.from_pretrained(
            folder,
            dtype=dtype or DTYPES[model.dtype],
            attn_implementation=model.attention,
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            **options,
        )
    except (ValueError, OSError, ImportError, KeyError) as error:
        raise CardError(f"The model in {folder} cannot be loaded: {error}") from error


def prepare(backbone: Any, model: Model, train: Train, lora: Lora) -> Any:
    """Choose what is trained. Raises CardError for what does not go together."""
    if train.gradient_checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    if train.method == "full":
        if model.quantization != "none":
            raise CardError(
                "train.method=full cannot train 4-bit weights; use train.method=lora or model.quantization=none."
            )
        return backbone
    backbone.requires_grad_(False)
    if train.method == "head":
        return backbone
    return with_lora(backbone, lora)


def with_lora(backbone: Any, lora: Lora) -> Any:
    """The model with low-rank adapters. Raises CardError where their targets are not in it."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        bias="none",
        init_lora_weights=True,
    )
    try:
        return get_peft_model(backbone, config)
    except ValueError as error:
        raise CardError(f"lora.targets = {lora.targets!r} does not fit this model: {error}") from error
