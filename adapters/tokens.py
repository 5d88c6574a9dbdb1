"""A language model's own tokens: its tokenizer, its context, the tokens of a prompt."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from harness.adapters.prompts import Prompt
from harness.adapters.settings import Model

from harness.errors import CardError

_UNKNOWN_LENGTH = 2048


@cache
def load_tokenizer(folder: Path, model: Model) -> Any:
    """The tokenizer in a model's folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    except (ValueError, OSError, ImportError, KeyError) as error:
        raise CardError(f"The tokenizer in {folder} cannot be loaded: {error}") from error


def context_length(folder: Path) -> int:
    """How many tokens the model can read and write in all."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int(config.get("max_position_embeddings") or _UNKNOWN_LENGTH)


def token_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The tokens of a prompt, in the model's own template if it is a chat."""
    if not prompt.chat:
        return list(tokenizer(prompt.turns[0])["input_ids"])
    if not tokenizer.chat_template:
        raise CardError("This model has no chat template; ask it with --set prompt.style=sections.")
    text = tokenizer.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
