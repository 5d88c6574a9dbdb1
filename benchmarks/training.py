"""Training and inference of a tagger: ours, the straightforward stack, and the loop of the paper's code.

python -m benchmarks.training --task tsa-md --data DIR [--updates 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness.adapters.classifier import build_classifier, build_encoder
from harness.adapters.device import device_of
from harness.adapters.lowrank import merged
from harness.adapters.quicken import blocks
from harness.adapters.settings import TaggerSettings, Train
from harness.adapters.subwords import SubwordEncoder
from harness.adapters.tagging import TaggedWindow, TagObjective, tagged_windows
from harness.adapters.training import Trainer

from benchmarks.opponents import Opponent, PaperLoop, PaperLoop4Bit, TrainerStack
from benchmarks.tables import context_of, interleaved, rate_rows, seconds, square_rate, write
from harness.commands.quiet import quiet_libraries
from harness.dataset import Dataset, load_dataset
from harness.schemes import encode, tags_of
from harness.system import resolve_system, settings_of
from harness.task import task_card

OURS = "harness"
OPPONENTS: dict[str, type[Opponent]] = {
    "Trainer and PEFT": TrainerStack,
    "the paper's loop, bf16 weights": PaperLoop,
    "the paper's loop, NF4 weights": PaperLoop4Bit,
}
SEED = 120


class Ours:
    """Our tagger, trained a round at a time."""

    def __init__(self, settings: TaggerSettings, dataset: Dataset) -> None:
        torch.manual_seed(SEED)
        self.settings, self.dataset = settings, dataset
        self.model, self.encoder = build_classifier(settings, len(tags_of(dataset.labels)))
        self.model.to(device_of(settings.machine.device))

    def train(self, windows: Sequence[TaggedWindow], updates: int) -> float:
        """Train an epoch of that many updates; returns the seconds until the last of them."""
        train = replace(self.settings.train, epochs=1, min_updates=0)
        moments: list[float] = []
        with TemporaryDirectory() as folder:
            context = replace(
                context_of(self.dataset, Path(folder), SEED), log=lambda row: moments.append(time.perf_counter())
            )
            objective = TagObjective(self.model, self.encoder)
            trainer = Trainer(objective, train, self.settings.machine, context, lambda: 0.0)
            begin = time.perf_counter()
            trainer.fit(windows[: updates * train.batch * train.accumulation])
            return moments[-1] - begin

    def predict(self, windows: Sequence[TaggedWindow]) -> None:
        """What `Tagger.predict` does: adapters merged, sorted batches."""
        self.model.eval()
        size = self.settings.predict_batch
        order = sorted(windows, key=lambda one: len(one.window.ids), reverse=True)
        with torch.inference_mode(), merged(self.model):
            for i in range(0, len(order), size):
                self.model(self.encoder.batch([one.window for one in order[i : i + size]])).argmax(1).tolist()


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="tsa-md")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--accumulation", type=int, nargs="*", default=[1, 4], help="batches of 16 an update, to measure"
    )
    asked = parser.parse_args()
    quiet_libraries()
    settings = settings_of(resolve_system("smollm2-unmask-0000"))
    dataset = load_dataset(task_card(asked.task), asked.data)
    built = {name: contender_of(name, settings, dataset) for name in (OURS, *OPPONENTS)}
    contenders = {name: contender for name, (contender, _) in built.items()}
    windows = shuffled(windows_of(built[OURS][1], dataset, "train"))
    facts = Facts(contenders[OURS].model, windows)
    for accumulation in asked.accumulation:
        train = replace(settings.train, accumulation=accumulation)
        for contender in contenders.values():
            contender.settings = replace(contender.settings, train=train)
        updates = max(4, asked.updates // accumulation)
        rates = training_rates(contenders, windows, updates, asked.rounds)
        _write_training(asked.task, facts, train, rates)
    rates = _inference_rates(contenders, windows, asked.rounds)
    text = "Sentences a second: ours sorts them and merges the adapters; the others take batches of 16 as they come."
    _write(asked.task, "inference", text, ["", "sentences/s", "range", "ratio"], rate_rows(rates, OURS))


def contender_of(name: str, settings: TaggerSettings, dataset: Dataset) -> tuple[Any, SubwordEncoder]:
    """Ours, compiled, or an opponent; and the encoder of its windows."""
    if name == OURS:
        ours = Ours(replace(settings, machine=replace(settings.machine, compile="on")), dataset)
        return ours, ours.encoder
    encoder = build_encoder(settings)
    return OPPONENTS[name](settings, len(tags_of(dataset.labels)), encoder.pad, SEED), encoder


def shuffled(windows: Sequence[TaggedWindow]) -> list[TaggedWindow]:
    """In the order that all contenders get them."""
    torch.manual_seed(SEED)
    return [windows[i] for i in torch.randperm(len(windows)).tolist()]


def stretch(windows: Sequence[TaggedWindow], number: int, size: int) -> list[TaggedWindow]:
    """The windows of a round: the next ones, and from the first again behind the last."""
    return [windows[(number * size + i) % len(windows)] for i in range(size)]


def share_rows(rates: Mapping[str, Sequence[float]], flops: float, square: float) -> list[list[str]]:
    """A row a contender, as `rate_rows` has it, with its operations as a share of `square`."""
    shares = [f"{median(found) * flops / square:.0%}" for found in rates.values()]
    return [[*row, share] for row, share in zip(rate_rows(rates, OURS), shares, strict=True)]


def subwords_of(windows: Sequence[TaggedWindow]) -> int:
    """All subwords of some windows."""
    return sum(len(one.window.ids) for one in windows)


@dataclass(frozen=True)
class Facts:
    """What is computed on what: the model, and the windows it is trained on."""

    model: torch.nn.Module
    windows: Sequence[TaggedWindow]

    @property
    def subwords(self) -> float:
        """Of a window, on average."""
        return subwords_of(self.windows) / len(self.windows)

    def matrices(self, trained: bool) -> list[torch.Tensor]:
        """The weights of the blocks that are trained, or those that are not."""
        found = [p for one in blocks(self.model) for p in one.parameters()]
        return [p for p in found if p.requires_grad is trained and p.ndim > 1]

    def flops(self) -> float:
        """Operations of an update, a subword: two a weight forward, two back, and two more for a trained one."""
        width: int = self.model.backbone.config.hidden_size  # type: ignore[union-attr, assignment]
        attention = 12 * self.subwords * width * sum(1 for _ in blocks(self.model))
        frozen, trained = (sum(p.numel() for p in self.matrices(which)) for which in (False, True))
        return 4 * frozen + 6 * trained + attention

    def ceilings(self, subwords: int) -> tuple[float, float]:
        """Operations a second of bf16 products: of square matrices, and of the model's own, forward and back."""
        weights = self.matrices(False)
        sides = {side: torch.randn(subwords, side, dtype=torch.bfloat16) for w in weights for side in w.shape}

        def own() -> None:
            for weight in weights:
                torch.nn.functional.linear(sides[weight.shape[1]], weight)
            for weight in weights:
                sides[weight.shape[0]] @ weight

        with torch.no_grad():
            return square_rate(torch.device("cpu")), 4 * subwords * sum(w.numel() for w in weights) / seconds(own)


def training_rates(
    contenders: dict[str, Any], windows: Sequence[TaggedWindow], updates: int, rounds: int
) -> dict[str, list[float]]:
    """Subwords a second, without padding."""
    train = contenders[OURS].settings.train
    size = updates * train.batch * train.accumulation

    def rate(contender: Any, number: int) -> float:
        mine = stretch(windows, number, size)
        return subwords_of(mine) / contender.train(mine, updates)

    for contender in contenders.values():
        contender.train(windows[: 2 * train.batch * train.accumulation], 2)  # warm up
    measures = {name: lambda number, one=one: rate(one, number) for name, one in contenders.items()}
    return interleaved(measures, rounds)


def _inference_rates(
    contenders: dict[str, Any], windows: Sequence[TaggedWindow], rounds: int
) -> dict[str, list[float]]:
    """Windows a second: sentences, but for those over the model's length."""

    def rate(contender: Any, number: int) -> float:
        mine = stretch(windows, number, 320)
        begin = time.perf_counter()
        contender.predict(mine)
        return len(mine) / (time.perf_counter() - begin)

    for contender in contenders.values():
        contender.predict(windows[:32])
    return interleaved({name: lambda number, one=one: rate(one, number) for name, one in contenders.items()}, rounds)


def windows_of(encoder: Any, dataset: Dataset, split: str) -> list[TaggedWindow]:
    """The windows of a split, with their tags."""
    numbers = {tag: number for number, tag in enumerate(tags_of(dataset.labels))}
    sentences = dataset.splits[split].sentences
    tags = [[numbers[tag] for tag in encode(one.spans, len(one.sentence.words))] for one in sentences]
    return list(tagged_windows(encoder.windows([one.sentence.words for one in sentences]), tags))


def _write_training(task: str, facts: Facts, train: Train, rates: dict[str, list[float]]) -> None:
    size = train.batch * train.accumulation
    flops = facts.flops()
    square, own = facts.ceilings(round(size * facts.subwords))
    text = (
        f"SmolLM2-135M, causal, LoRA r 16 on all linear layers; updates of {size} sentences of `{task}` of "
        f"{facts.subwords:.0f} subwords on average, the others' in batches of {train.batch}. Subwords a second, "
        f"without padding: medians of {len(rates[OURS])} interleaved rounds, with range and median of the rounds' "
        f"ratios to ours. An update needs {flops / 1e9:.2f} GFLOP a subword. The share is of {square / 1e12:.2f} "
        f"TFLOP/s, what bf16 products of 2048 x 2048 matrices reach here; those of the model's own matrices with this "
        f"many rows, one after another and nothing else, reach {own / 1e12:.2f}."
    )
    head = ["", "subwords/s", "range", "ratio", "share"]
    _write(task, f"updates of {size}", text, head, share_rows(rates, flops, square))


def _write(task: str, what: str, text: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    write(f"training-{task}-{what.replace(' ', '-').lower()}", f"Tagger on {task}: {what}", text, head, rows)


if __name__ == "__main__":
    main()
