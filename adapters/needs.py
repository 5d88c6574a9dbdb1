"""How much of a machine a model needs, by estimates that were held against measured peaks."""

from __future__ import annotations

from functools import cache

from harness.adapters import weights
from harness.adapters.device import device_of
from harness.adapters.settings import Machine, Model

from harness.contracts import Resources


def needs(model: Model | None, machine: Machine, fixed_gib: float, gib_per_billion: float, cores: int = 1) -> Resources:
    """What a run with a model needs: on a CPU so much memory, fixed and for each billion of its parameters; or a GPU.

    What the settings of the machine say is taken instead. Without a model, on a server for example, it is little.
    """
    gpus = machine.gpus
    if gpus is None:
        gpus = int(model is not None and device_of(machine.device).type == "cuda")
    size = _billions(model) if model else 0.0
    estimate = 4 + 2 * size if gpus else fixed_gib + gib_per_billion * size
    memory = machine.memory_gib or round(estimate, 1)
    return Resources(machine.cores or (1 if gpus else cores), gpus, memory)


@cache
def _billions(model: Model) -> float:
    return weights.parameters(weights.folder_of(model)) / 1e9
