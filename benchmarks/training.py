"""Training and inference of a tagger: ours, the straightforward stack, and the loop of the paper's code.

python -m benchmarks.training --task tsa-md --data DIR [--system smollm2-unmask-0000] [--updates 12] [--rounds 3]
    [--accumulation 1] [--side-by-side]

Each is measured in a process of its own on all cores, as a single run is; or, side by side, in as many at once as there
are cores, each on one, as the runs of a grid are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from harness.adapters.device import computed_in, device_of
from harness.adapters.settings import TaggerSettings

from benchmarks.contenders import OPPONENTS, OURS, SEED, TRAINER, Facts, contender_of, windows_of
from benchmarks.processes import last_line, running_on, tell, told, wait_for
from benchmarks.tables import command, interleaved, name_of, parser_of, positive, shown, spread, square_rate, write
from harness.dataset import Dataset, load_dataset
from harness.environment import peak_memory, usable_cores
from harness.errors import CardError
from harness.system import resolve_system, settings_of
from harness.task import task_card

_LONGER = 4  # as many updates of ours as of the others': so it is measured about as long
_PREDICTED = 160  # windows
_SYSTEM = "smollm2-unmask-0000"


@dataclass(frozen=True, slots=True)
class Found:
    """Subwords a second of training, without padding; the peak of memory in MiB, of the GPU where there is one;
    sentences a second at inference.

    `square` and `own`, right after the training: operations a second of large square products, and of the model's own
    matrices with the rows of an update, one after another and nothing else; the latter of ours only.
    """

    trained: float
    square: float
    own: float
    memory: float
    predicted: float

    def __str__(self) -> str:
        return f"{self.trained:,.1f} subwords/s, {self.memory:,.0f} MiB, {self.predicted:.1f} sentences/s"


def main() -> None:
    """Measure and write the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--task", default="tsa-md", help="whose sentences are read")
    parser.add_argument("--data", type=Path, help="the folder with the task's files")
    parser.add_argument("--system", default=_SYSTEM, help="an encoder, or a decoder whose mask is left as it is")
    parser.add_argument("--updates", type=positive, default=12, help="of a round")
    parser.add_argument("--rounds", type=positive, default=3, help="of every contender, in turns")
    parser.add_argument("--accumulation", type=positive, default=1, help="batches of 16 an update")
    parser.add_argument("--side-by-side", action="store_true", help="a process on each core")
    parser.add_argument("--only", choices=(OURS, *OPPONENTS), help=argparse.SUPPRESS)  # one, in this process
    parser.add_argument("--round", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    settings = _comparable(asked.system)
    train, machine = settings.train, settings.machine
    settings = replace(
        settings, train=replace(train, accumulation=asked.accumulation), machine=replace(machine, compile="on")
    )
    dataset = load_dataset(task_card(asked.task), asked.data)
    if asked.only:
        print(json.dumps(asdict(_measured(asked.only, settings, dataset, asked.updates, asked.round))))
        return
    everyone = (OURS, *(OPPONENTS if settings.train.method == "lora" else [TRAINER]))  # the paper has adapters
    found = interleaved({name: partial(_together, name, asked) for name in everyone}, asked.rounds)
    _write(asked, settings, dataset, found)


def _comparable(system: str) -> TaggerSettings:
    """Its settings. Raises CardError for a system that the others would not train as well."""
    found: Any = settings_of(resolve_system(system))
    if not isinstance(found, TaggerSettings) or "1" in found.unmask or found.train.method == "head":
        raise CardError(
            f"--system {system}: only an encoder that is trained whole, or a decoder with adapters whose mask is left "
            "as it is, can be compared, such as minilm and smollm2-unmask-0000."
        )
    return found


def _measured(name: str, settings: TaggerSettings, dataset: Dataset, updates: int, number: int) -> Found:
    """One contender, once it is warm and the others are."""
    contender, encoder = contender_of(name, settings, dataset, SEED + 100 * number)
    windows = windows_of(encoder, dataset, "train")
    contender.train(windows, 2)
    print("ready", flush=True)
    told()
    trained = contender.train(windows, updates * _LONGER if name == OURS else updates)
    memory = peak_memory()
    square = square_rate(device_of(settings.machine.device), computed_in(settings.model, settings.machine))
    own = 0.0
    if name == OURS and settings.train.method == "lora":
        facts = Facts(contender.model, windows)
        own = facts.own_rate(round(settings.train.batch * settings.train.accumulation * facts.subwords))
    contender.predict(windows[:32])  # not before training: bitsandbytes packs 4-bit weights anew for it
    begin = time.perf_counter()
    contender.predict(windows[:_PREDICTED])
    predicted = min(len(windows), _PREDICTED) / (time.perf_counter() - begin)
    return Found(trained, square, own, memory.get("gpu_memory_mib", memory["memory_mib"]), predicted)


def _together(name: str, asked: argparse.Namespace, number: int) -> Found:
    """The sum over processes that do the same and begin at the same moment, when all are warm; of memory, the most."""
    options = {f"--{key}": getattr(asked, key) for key in ("task", "system", "updates", "accumulation")}
    options |= {"--only": name, "--round": number, **({"--data": asked.data} if asked.data else {})}
    arguments = ["benchmarks.training", *(str(part) for option in options.items() for part in option)]
    shares = [[core] for core in usable_cores()] if asked.side_by_side else [usable_cores()]
    kept = name == OURS and asked.side_by_side
    with ExitStack() as stack:
        processes = [stack.enter_context(running_on(cores, arguments, kept)) for cores in shares]
        for process in processes:
            wait_for(process, "ready")
        for process in processes:
            tell(process, "begin")
        each = [Found(**json.loads(last_line(process))) for process in processes]
    return Found(
        trained=sum(one.trained for one in each),
        square=sum(one.square for one in each),
        own=sum(one.own for one in each),
        memory=max(one.memory for one in each),
        predicted=sum(one.predicted for one in each),
    )


def _text(asked: argparse.Namespace, settings: TaggerSettings, facts: Facts, ours: Sequence[Found]) -> str:
    """What was measured, and how."""
    size, flops = settings.train.batch * settings.train.accumulation, facts.flops()
    dtype = name_of(computed_in(settings.model, settings.machine))
    lora = f"LoRA r {settings.lora.r}, {settings.lora.targets}"
    what = lora if settings.train.method == "lora" else "all weights trained"
    where = f"{len(usable_cores())} processes at once, each on one core" if asked.side_by_side else "one process"
    text = (
        f"`{asked.system}`, {what}, {where}: updates of {size} sentences of `{asked.task}` "
        f"of {facts.subwords:.0f} subwords on average, the others' in batches of {settings.train.batch}. Subwords a "
        "second, without padding, and sentences a second at inference (ours sorts them and merges adapters; the "
        f"others take batches of 16 as they come): medians of {asked.rounds} interleaved rounds, with range and median "
        f"of the rounds' ratios of ours to each; the peak of memory is that of a process in training. An update needs "
        f"{flops / 1e9:.2f} GFLOP a subword. All compute in {dtype}; the share is of `square`, the TFLOP/s of large "
        "square products in it, in the same processes right after training."
    )
    own = median(one.own for one in ours)
    if not own:
        return text
    share = median(one.trained * flops / one.own for one in ours)
    return (
        f"{text} Those of the model's own matrices with the rows of an update, one after another and nothing else, "
        f"reach {own / 1e12:.2f} in ours then, of which its training is {share:.0%}."
    )


def _write(
    asked: argparse.Namespace, settings: TaggerSettings, dataset: Dataset, found: dict[str, list[Found]]
) -> None:
    contender, encoder = contender_of(OURS, settings, dataset, SEED)
    facts = Facts(contender.model, windows_of(encoder, dataset, "train"))
    size = settings.train.batch * settings.train.accumulation
    flops = facts.flops()
    rows = []
    for name, each in found.items():
        trained, ours_trained = ([one.trained for one in some] for some in (each, found[OURS]))
        predicted, ours_predicted = ([one.predicted for one in some] for some in (each, found[OURS]))
        rate = median(trained)
        share = median(one.trained * flops / one.square for one in each)
        square = median(one.square for one in each) / 1e12
        memory = median(one.memory for one in each)
        cells = [f"{share:.0%}", f"{square:.2f}", shown(rate / facts.subwords), f"{memory:,.0f}"]
        rows.append([name, *_cells(trained, ours_trained), *cells, *_cells(predicted, ours_predicted)])
    head = ["", "training, subwords/s", "range", "ours is", "share", "square", "sentences/s", "peak MiB"]
    head += ["inference, sentences/s", "range", "ours is"]
    how = "side by side" if asked.side_by_side else "alone"
    title = f"{asked.system} on {asked.task}: updates of {size}, {how}"
    which = "" if asked.system == _SYSTEM else f"-{asked.system}"
    write(
        f"training{which}-{asked.task}-{size}-{how.replace(' ', '-')}",
        title,
        _text(asked, settings, facts, found[OURS]),
        head,
        rows,
    )


def _cells(rates: Sequence[float], ours: Sequence[float]) -> list[str]:
    """Median rate, range over rounds, median of the rounds' ratios of ours to it."""
    ratio = median(our / their for our, their in zip(ours, rates, strict=True))
    return [shown(median(rates)), spread(rates), f"{ratio:.1f}x"]


if __name__ == "__main__":
    command(main)
