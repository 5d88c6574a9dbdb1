"""Generation: vLLM against transformers' `generate` in batches, the same prompts on the same machine.

python -m benchmarks.generation [--prompts 64] [--tokens 48] [--rounds 3]
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.adapters.backends import Backend, Sampling, backend_class
from harness.adapters.generator import Generator
from harness.adapters.prompts import Prompt
from harness.adapters.weights import folder_of

from benchmarks.tables import command, interleaved, parser_of, positive, rate_rows, refuse_short, write
from harness.contracts import Context
from harness.dataset import Dataset, load_dataset
from harness.spans import Sentence
from harness.system import resolve_system, settings_of
from harness.task import task_card

BATCHES = (16, 64)
SYSTEMS = ("smollm2-0shot", "smollm2-5shot")


def main() -> None:
    """Measure and write the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--prompts", type=positive, default=64, help="at once")
    parser.add_argument("--tokens", type=positive, default=48, help="that each is answered with")
    parser.add_argument("--rounds", type=positive, default=3, help="of every contender, in turns")
    asked = parser.parse_args()
    dataset = load_dataset(task_card("lookright"))
    sentences = [labeled.sentence for split in ("test", "train") for labeled in dataset.splits[split].sentences]
    each = asked.prompts * (asked.rounds + 1)
    refuse_short(each, len(sentences), "sentences")
    contenders = {"vllm": _backend("vllm")}
    contenders |= {f"transformers, batches of {size}": _backend("transformers", size) for size in BATCHES}
    for backend in contenders.values():
        backend.start()
    rows = []
    for system in SYSTEMS:
        prompts = _prompts(system, dataset, sentences[:each])
        rates = _rates(contenders, prompts, Sampling(asked.tokens), asked.rounds)
        rows += [[system, *row] for row in rate_rows(rates, f"transformers, batches of {BATCHES[0]}")]
    text = (
        f"SmolLM2-135M in bf16, prompts of `lookright`, {asked.prompts} sentences a round that no contender has seen, "
        f"up to {asked.tokens} new tokens each, greedy. Completion tokens a second: the median of {asked.rounds} "
        "interleaved rounds, their range, and the median of the rounds' ratios."
    )
    write("generation", "Generation", text, ["prompts", "backend", "tokens/s", "range", "ratio"], rows)


def _rates(
    contenders: Mapping[str, Backend], prompts: Sequence[Prompt], sampling: Sampling, rounds: int
) -> dict[str, list[float]]:
    size = len(prompts) // (rounds + 1)

    def rate(backend: Backend, number: int) -> float:
        begin = time.perf_counter()
        answers = backend.complete(prompts[size * number : size * (number + 1)], sampling)
        written = sum(answer.completion_tokens for _, answer in answers)
        return written / (time.perf_counter() - begin)

    for backend in contenders.values():
        rate(backend, rounds)  # warm up
    return interleaved({name: partial(rate, backend) for name, backend in contenders.items()}, rounds)


def _prompts(system: str, dataset: Dataset, sentences: Sequence[Sentence]) -> list[Prompt]:
    settings = settings_of(resolve_system(system))
    with TemporaryDirectory() as folder:
        context = Context(dataset.labels, dataset.card.brief, 1, Path(folder), lambda row: None, lambda outputs: 0.0)
        writer = Generator(settings, context).new_writer(dataset.splits["train"].sentences)
    return [writer.write(sentence) for sentence in sentences]


def _backend(name: str, batch: int = 1) -> Backend:
    settings = settings_of(resolve_system("smollm2-0shot", overrides={"backend": name, "machine.batch": batch}))
    return backend_class(name)(settings, folder_of(settings.model))


if __name__ == "__main__":
    command(main)
