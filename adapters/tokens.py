"""A language model's own tokens: its tokenizer, its context, the tokens of a prompt."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from harness.adapters.libraries import import_transformers
from harness.adapters.prompts import Prompt
from harness.adapters.settings import Model
from harness.adapters.weights import loading

from harness.errors import CardError

_UNKNOWN_LENGTH = 2048
_LONGEST = 8192


@cache
def load_tokenizer(folder: Path, model: Model) -> Any:
    """The tokenizer in a model's folder."""
    import_transformers()
    from transformers import AutoTokenizer

    with loading(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)


def context_length(folder: Path) -> int:
    """How many tokens the model can read and write in all, as far as memory is kept for them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return min(int(config.get("max_position_embeddings") or _UNKNOWN_LENGTH), _LONGEST)


def token_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The tokens of a prompt, in the model's own template if it is a chat.

    What looks like a special token in a sentence is read as plain characters: no sentence can end its own turn.
    Raises CardError for a chat with a model that has no template.
    """
    if not prompt.chat:
        return plain_ids(tokenizer, prompt.turns[0], True)
    if not tokenizer.chat_template:
        raise CardError("This model has no chat template; ask it with --set prompt.style=sections.")
    if not any(token in turn for token in _special_tokens(tokenizer) for turn in prompt.turns):
        return _marked(tokenizer, _chat(tokenizer, prompt.messages))
    holders = [f"\x02{number}\x03" for number in range(len(prompt.turns))]
    messages = [{**message, "content": holder} for message, holder in zip(prompt.messages, holders, strict=True)]
    rest, found = _chat(tokenizer, messages), []
    for holder, turn in zip(holders, prompt.turns, strict=True):
        before, _, rest = rest.partition(holder)
        found += _marked(tokenizer, before) + plain_ids(tokenizer, turn)
    return found + _marked(tokenizer, rest)


@cache
def _special_tokens(tokenizer: Any) -> frozenset[str]:
    """All texts that the tokenizer reads as one special token, those without a part of their own among them."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return frozenset(added.union(tokenizer.all_special_tokens))


def _chat(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def _marked(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a template, with its special ones."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def plain_ids(tokenizer: Any, text: str, begin: bool = False) -> list[int]:
    """The tokens of a text, none of them special but those that `begin` a text."""
    return list(tokenizer(text, add_special_tokens=begin, split_special_tokens=True)["input_ids"])
