"""`harness run`: a grid of runs, one after the other."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board import entries
from harness.commands.quiet import quiet_libraries
from harness.commands.tables import print_table
from harness.dataset import Dataset, load_dataset
from harness.decode import policy_of
from harness.errors import CardError, MissingData, MissingModel, UserError
from harness.runner import RunPlan, carry_out
from harness.settings import parse_overrides
from harness.store import WEIGHTS, RunKey, Store, read_record
from harness.system import ResolvedSystem, adapter_class, refuse_unused, resolve_system, settings_of, system_names
from harness.task import TaskCard, is_task_key, task_card, task_names

FIRST_SEED = 120


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What `harness run` was asked, as it was asked."""

    systems: Sequence[str]
    tasks: Sequence[str]
    seeds: str
    preset: str
    set: Sequence[str]
    data: Path | None
    limit: int | None
    runs: Path
    policy: str
    save: bool
    json: bool


def run_grid(options: GridOptions) -> int:
    """Carry out the grid; the exit code. Everything that can be checked is checked before the first run begins."""
    quiet_libraries()
    overrides = parse_overrides(list(options.set))
    on_tasks = {key: value for key, value in overrides.items() if is_task_key(key)}
    on_systems = {key: value for key, value in overrides.items() if not is_task_key(key)}
    tasks = dict.fromkeys(name for pattern in options.tasks for name in task_names(pattern))
    cards = [task_card(name, on_tasks) for name in tasks]
    names = list(dict.fromkeys(name for pattern in options.systems for name in system_names(pattern)))
    systems = [resolve_system(name, options.preset, on_systems) for name in names]
    refuse_unused(on_systems, options.preset, systems)
    seeds = seeds_of(options.seeds)
    policy = policy_of(options.policy)
    datasets = _ready(cards, systems, options)
    plans = [
        RunPlan(dataset, system, seed, policy, options.save, sys.stderr.isatty(), on_tasks)
        for dataset in datasets
        for system in systems
        for seed in (seeds if adapter_class(system.card).seeded(settings_of(system)) else [FIRST_SEED])
    ]
    for plan in plans:
        plan.check()
    failed, keys = _carry_out_all(plans, Store(options.runs))
    _report(Store(options.runs), keys, options.json)
    return 1 if failed else 0


def seeds_of(text: str) -> list[int]:
    """`3` -> 120, 121, 122; `120,7` -> 120, 7. Raises CardError."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        raise CardError(f"--seeds takes a number of seeds (3) or a list of them (120,121), not {text!r}.")
    if "," in text:
        return list(dict.fromkeys(numbers))
    if not 1 <= numbers[0] <= 100:
        raise CardError(
            f"--seeds {text} would be {text} runs; for the seed {text} alone write --seeds '{text},', with the comma."
        )
    return list(range(FIRST_SEED, FIRST_SEED + numbers[0]))


def _ready(cards: Sequence[TaskCard], systems: Sequence[ResolvedSystem], options: GridOptions) -> list[Dataset]:
    """The data of every task; raises one error that names all that is missing, data and weights."""
    missing: list[str] = []
    datasets: list[Dataset] = []
    for card in cards:
        try:
            datasets.append(load_dataset(card, options.data, options.limit))
        except MissingData as error:
            missing.append(str(error))
    for system in systems:
        lack = adapter_class(system.card).missing(settings_of(system))
        if lack and lack not in missing:
            missing.append(lack)
    if len(datasets) < len(cards):
        raise MissingData(" ".join(missing))
    if missing:
        raise MissingModel(" ".join(missing))
    return datasets


def _carry_out_all(plans: Sequence[RunPlan], store: Store) -> tuple[int, list[RunKey]]:
    """Carry out plans in order; how many failed, and the keys of those that are now in the store."""
    failed, keys = 0, []
    for number, plan in enumerate(plans, 1):
        title = f"[{number}/{len(plans)}] {plan.dataset.card.name} · {plan.system.title} · seed {plan.seed}"
        _say(title)
        try:
            key = plan.key()
            ran = carry_out(plan, store, key)
            record = read_record(store.root / key.path)
            test = record.scores["test"]
            spent = f"trained in {record.cost['fit_seconds']:.0f} s, " if record.cost["fit_seconds"] >= 1 else ""
            _say(f"{title}: F1 {test.f1:.2f} ({spent}{'new' if ran else 'already in the store'})")
            if plan.keep_weights and not ran and not (store.root / key.path / WEIGHTS).is_dir():
                _say(f"{title}: --save came too late, the stored run has no weights; --runs DIR makes it anew.")
            keys.append(key)
        except Exception as error:
            if len(plans) == 1:
                raise
            failed += 1
            _say(f"{title}: failed: {error}")
            if not isinstance(error, UserError):
                traceback.print_exc()
    return failed, keys


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(store: Store, keys: Sequence[RunKey], as_json: bool) -> None:
    """Print what this grid asked for: every run as JSON, or a small table for each task."""
    if as_json:
        from dataclasses import asdict

        print(
            json.dumps(
                [asdict(read_record(store.root / key.path)) for key in keys], indent=2, ensure_ascii=False, default=str
            )
        )
        return
    asked = {(key.task, key.identity) for key in keys}
    found = store.by_task()
    for task in dict.fromkeys(key.task for key in keys):
        for line, board in entries(found.get(task, [])).items():
            rows = [entry for entry in board if (task, entry.first.identity) in asked]
            if rows:
                print(f"\n{task}  {line}")
                print_table(rows)
