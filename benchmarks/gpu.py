"""Training and inference at the shape of Llama-2-7B, with random weights in NF4: ours, and the paper's loop.

Ours unpacks the weights once where the memory allows; it is measured with weights that stay packed, too.

python -m benchmarks.gpu [--shape 7b|small] [--task lookright] [--data DIR] [--seconds 20] [--rounds 3]
    [--compile on|off]

Sentences are those of a real task, so that their lengths are. `--shape small` runs in minutes on a CPU: a check of the
benchmark, not a measurement. The 7B shape needs 14 GB of disk for the weights while it runs, where TMPDIR says.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness.adapters.classifier import build_encoder
from harness.adapters.device import computed_in, device_of
from harness.adapters.settings import TaggerSettings
from harness.adapters.weights import folder_of
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from benchmarks.contenders import OURS, PAPER, SEED, Facts, contender_of, windows_of
from benchmarks.tables import command, interleaved, name_of, parser_of, positive, rate_rows, square_rate, write
from harness.dataset import load_dataset
from harness.environment import free_memory
from harness.system import resolve_system, settings_of
from harness.task import task_card

SHAPES: dict[str, dict[str, int]] = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "small": {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4},
}
PACKED = "harness, weights stay packed"
GRID_SENTENCES = 5 * (14_041 + 14_041 + 2_737 + 14_672)  # epochs, and the training sentences of the paper's four tasks
GRID_RUNS = 16 * 2 * 5  # configurations, models, seeds
_PREDICTED = 1024  # windows


def main() -> None:
    """Measure and write the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="7b", help="Llama-2-7B's, or one that a CPU can do")
    parser.add_argument("--task", default="lookright", help="whose sentences are read")
    parser.add_argument("--data", type=Path, help="the folder with the task's files")
    parser.add_argument("--seconds", type=positive, default=20, help="of a round, about")
    parser.add_argument("--rounds", type=positive, default=3, help="of every contender, in turns")
    parser.add_argument("--compile", choices=("on", "off"), default="on", help="our blocks, as long trainings have it")
    asked = parser.parse_args()
    dataset = load_dataset(task_card(asked.task), asked.data)
    with TemporaryDirectory() as folder:
        settings = _settings(asked, Path(folder))
        windows = windows_of(build_encoder(settings), dataset, "train")
        packed = replace(settings, machine=replace(settings.machine, unpack="off"))
        contenders: dict[str, Any] = {}
        updates, memory = {}, {}
        for name, kind, its in ((OURS, OURS, settings), (PACKED, OURS, packed), (PAPER, PAPER, settings)):
            before = _allocated()
            contenders[name], _ = contender_of(kind, its, dataset, SEED)
            updates[name] = _updates(contenders[name], windows, asked.seconds)
            memory[name] = _peak(contenders[name], windows, updates[name], before)
            print(f"{name}: {updates[name]} updates a round, at most {memory[name] or '?'} MiB of a GPU", flush=True)
        measures = {name: partial(_measured, one, windows, updates[name]) for name, one in contenders.items()}
        found = interleaved(measures, asked.rounds)
    _write(asked, settings, Facts(contenders[OURS].model, windows), found, memory)


def _measured(contender: Any, windows: Any, updates: int, _: int) -> tuple[float, float]:
    """Subwords a second of training, and sentences a second at inference."""
    trained = contender.train(windows, updates)
    some = windows[:_PREDICTED]
    contender.predict(some[:32])  # bitsandbytes packs 4-bit weights anew for it
    begin = time.perf_counter()
    contender.predict(some)
    return trained, len(some) / (time.perf_counter() - begin)


def _write(
    asked: argparse.Namespace,
    settings: TaggerSettings,
    facts: Facts,
    found: dict[str, list[tuple[float, float]]],
    memory: dict[str, str],
) -> None:
    size = settings.train.batch * settings.train.accumulation
    dtype = computed_in(settings.model, settings.machine)
    ceiling = square_rate(device_of("auto"), dtype)
    rates, predicted = ({name: [one[which] for one in each] for name, each in found.items()} for which in (0, 1))
    rows = []
    for row, inference in zip(rate_rows(rates, PAPER), rate_rows(predicted, PAPER), strict=True):
        rate = median(rates[row[0]])
        hours = GRID_RUNS * GRID_SENTENCES * facts.subwords / rate / 3600
        share = f"{rate * facts.flops() / ceiling:.0%}"
        rows.append([*row, memory[row[0]], share, f"{hours:,.0f}", *inference[1:]])
    text = (
        f"Shape {asked.shape}: {SHAPES[asked.shape]}, random weights in NF4, which `harness` unpacks once where the "
        f"memory allows, LoRA r {settings.lora.r} on {', '.join(settings.lora.targets)}, our blocks compiled: "
        f"{asked.compile}. A round is about {asked.seconds} seconds of updates of {size} sentences of `{asked.task}` "
        f"({facts.subwords:.0f} subwords on average). The share is of {ceiling / 1e12:,.1f} TFLOP/s, what products "
        f"of large square matrices reach in {name_of(dtype)}. Hours are those of the paper's whole grid at this rate: "
        "16 configurations, 2 models, 4 tasks, 5 seeds, were its sentences of this length. At inference ours sorts "
        "its sentences, the loop takes batches of 16 as they come."
    )
    head = ["", "training, subwords/s", "range", "ratio", "peak memory, MiB", "share", "hours for the grid"]
    head += ["inference, sentences/s", "range", "ratio"]
    is_real = asked.shape != "small"  # which shows that all of it runs, and measures nothing
    write(f"gpu-{asked.shape}", f"Training at the shape {asked.shape}", text, head, rows, keep=is_real)


def _settings(asked: argparse.Namespace, folder: Path) -> TaggerSettings:
    """The paper's settings for random weights of that shape, which are written to the folder."""
    embedded = settings_of(resolve_system("smollm2-unmask-0011"))
    tokenizer = AutoTokenizer.from_pretrained(folder_of(embedded.model))
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(vocab_size=len(tokenizer), **SHAPES[asked.shape])
    with device_of("auto"):
        torch.manual_seed(SEED)
        LlamaModel._from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    settings: Any = settings_of(resolve_system("llama2-unmask-0011", preset="paper"))
    model = replace(settings.model, path=str(folder))
    return replace(settings, model=model, machine=replace(settings.machine, compile=asked.compile))


def _allocated() -> int:
    """Bytes of the GPU that are in use."""
    free_memory()
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def _updates(contender: Any, windows: Any, wanted: int) -> int:
    """How many updates take a contender so many seconds: more and more are tried, which warms it up as well."""
    updates, took = 2, 0.0
    contender.train(windows, updates)
    while took < wanted / 4:
        begin = time.perf_counter()
        contender.train(windows, updates)
        took = time.perf_counter() - begin
        updates = max(1, round(updates * min(4, wanted / took)))
    return updates


def _peak(contender: Any, windows: Any, updates: int, before: int) -> str:
    """Memory of the GPU at its highest in a round, beyond what was in use `before`, in MiB."""
    if not torch.cuda.is_available():
        return ""
    torch.cuda.reset_peak_memory_stats()
    contender.train(windows, updates)
    return f"{(torch.cuda.max_memory_allocated() - before) / 2**20:,.0f}"


if __name__ == "__main__":
    command(main)
