"""transformers' own `generate`, in batches: for machines without vLLM, and what vLLM is measured against."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from harness.adapters.backends import Answer, Backend, Sampling
from harness.adapters.libraries import import_libraries
from harness.adapters.prompts import Prompt
from harness.adapters.tokens import load_tokenizer, token_ids

from harness.environment import free_memory


class Transformers(Backend):
    """Batches of prompts of like length, padded on the left. Answers are not held to schemas."""

    model: Any = None

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        self.start()
        assert self.folder is not None
        tokenizer = load_tokenizer(self.folder, self.settings.model)
        ids = [token_ids(tokenizer, prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
        size = 1 if sampling.temperature else self.settings.machine.batch  # draws must not depend on batch mates
        for first in range(0, len(order), size):
            group = order[first : first + size]
            yield from zip(group, self._generate(tokenizer, [ids[i] for i in group], sampling), strict=True)

    def start(self) -> None:
        if self.model is None:
            import_libraries()
            from harness.adapters.device import freed_device
            from harness.adapters.pretrained import load_pretrained
            from transformers import AutoModelForCausalLM

            assert self.folder is not None
            model, machine = self.settings.model, self.settings.machine
            device = freed_device(machine.device)
            free_memory()
            self.model = load_pretrained(AutoModelForCausalLM, self.folder, model, machine).eval()
            self.model.to(device)

    def _generate(self, tokenizer: Any, ids: Sequence[list[int]], sampling: Sampling) -> list[Answer]:
        import torch
        from transformers import GenerationConfig

        model = self.model
        ends = model.generation_config.eos_token_id
        ends = [end for end in (ends if isinstance(ends, list) else [ends, tokenizer.eos_token_id]) if end is not None]
        pad = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        length = max(map(len, ids))
        ids_BL = torch.tensor([[pad] * (length - len(one)) + list(one) for one in ids], device=model.device)
        mask_BL = torch.tensor([[0] * (length - len(one)) + [1] * len(one) for one in ids], device=model.device)
        drawn: dict[str, Any] = {"do_sample": False}
        if sampling.temperature:
            torch.manual_seed(zlib.crc32(repr((sampling.seed, ids)).encode()))
            drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            eos_token_id=ends,
            pad_token_id=pad,
            repetition_penalty=1.0,
            stop_strings=list(sampling.stop) or None,
            **drawn,
        )
        with torch.inference_mode():
            found_BL = model.generate(ids_BL, attention_mask=mask_BL, generation_config=config, tokenizer=tokenizer)
        return [
            _answer(tokenizer, _written(row[length:], pad), len(one), ends, sampling)
            for row, one in zip(found_BL.tolist(), ids, strict=True)
        ]


def _written(row: Sequence[int], pad: int) -> Sequence[int]:
    """A row without what filled it up after it had stopped."""
    return row[: max((i for i, token in enumerate(row, 1) if token != pad), default=0)]


def _answer(tokenizer: Any, written: Sequence[int], read: int, ends: Sequence[int], sampling: Sampling) -> Answer:
    done = next((i for i, token in enumerate(written) if token in ends), None)
    kept = written if done is None else written[:done]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    stops = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
    count = len(kept) + (done is not None)
    cut = done is None and not stops and len(kept) >= sampling.max_tokens
    return Answer(text[: min(stops)] if stops else text, read, count, cut)
