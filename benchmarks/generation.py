"""Generation: vLLM against transformers' `generate` in batches, the same prompts on the same machine.

python -m benchmarks.generation [--prompts 64] [--tokens 48] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.adapters.backends import Backend, Sampling, backend_class
from harness.adapters.generator import Generator
from harness.adapters.prompts import Prompt
from harness.adapters.weights import folder_of

from benchmarks.tables import interleaved, rate_rows, write
from harness.commands.quiet import quiet_libraries
from harness.contracts import Context
from harness.dataset import load_dataset
from harness.system import resolve_system, settings_of
from harness.task import task_card

BATCHES = (16, 64)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    quiet_libraries()
    prompts = _prompts(asked.prompts * (asked.rounds + 1))
    sampling = Sampling(asked.tokens)
    contenders = {"vllm": _backend("vllm")}
    contenders |= {f"transformers, batches of {size}": _backend("transformers", size) for size in BATCHES}

    def rate(backend: Backend, number: int) -> float:
        mine = prompts[asked.prompts * number : asked.prompts * (number + 1)]
        begin = time.perf_counter()
        written = sum(answer.completion_tokens for _, answer in backend.complete(mine, sampling))
        return written / (time.perf_counter() - begin)

    for backend in contenders.values():
        backend.start()
        rate(backend, asked.rounds)  # warm up
    measures = {name: lambda number, b=backend: rate(b, number) for name, backend in contenders.items()}
    rates = interleaved(measures, asked.rounds)
    text = (
        f"SmolLM2-135M in bf16, zero-shot prompts of `lookright`, {asked.prompts} sentences a round that no contender "
        f"has seen, up to {asked.tokens} new tokens each, greedy. Completion tokens a second: the median of "
        f"{asked.rounds} interleaved rounds, their range, and the median of the rounds' ratios."
    )
    head = ["backend", "tokens/s", "range", "ratio"]
    write("generation", "Generation", text, head, rate_rows(rates, f"transformers, batches of {BATCHES[0]}"))


def _prompts(count: int) -> list[Prompt]:
    dataset = load_dataset(task_card("lookright"))
    settings = settings_of(resolve_system("smollm2-0shot"))
    sentences = [labeled.sentence for split in ("test", "train") for labeled in dataset.splits[split].sentences]
    with TemporaryDirectory() as folder:
        context = Context(dataset.labels, dataset.card.brief, 1, Path(folder), lambda row: None, lambda outputs: 0.0)
        writer = Generator(settings, context).new_writer([])
    return [writer.write(sentence) for sentence in sentences[:count]]


def _backend(name: str, batch: int = 1) -> Backend:
    settings = settings_of(resolve_system("smollm2-0shot", overrides={"backend": name, "machine.batch": batch}))
    return backend_class(name)(settings, folder_of(settings.model))


if __name__ == "__main__":
    main()
