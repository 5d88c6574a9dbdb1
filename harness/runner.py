"""Carrying out runs: fit, predict, judge, record. Finished runs are never run again; a killed one loses only itself."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from harness.contracts import Context, GoldSystem
from harness.dataset import Dataset
from harness.decode import Policy
from harness.environment import environment, free_memory, peak_memory, reset_peak_memory
from harness.errors import UserError
from harness.outputs import RawOutput, checked
from harness.predictions import spans_json, to_json
from harness.protocol import Judged, judge, mentions_of, signature
from harness.record import SCHEMA, Record, identity_of, plain, row_to_json
from harness.spans import Labeled
from harness.store import PREDICTIONS, RECORD, ROWS, TRAIN, WEIGHTS, RunKey, Store, write_sums
from harness.system import ResolvedSystem, adapter_class, settings_of


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run to carry out."""

    dataset: Dataset
    system: ResolvedSystem
    seed: int
    policy: Policy = Policy.STRICT
    keep_weights: bool = False
    progress: bool = False
    task_overrides: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """The digest of the weights, or of the file, that the system points at."""
        return str(adapter_class(self.system.card).fingerprint(settings_of(self.system)))

    def check(self) -> None:
        """Raise what would stop the run, as far as that can be known before it begins."""
        test = [labeled.sentence for labeled in self.dataset.splits["test"].sentences]
        adapter_class(self.system.card).check(settings_of(self.system), test)

    def key(self) -> RunKey:
        """Its name in the store; digests the weights it points at."""
        identity = identity_of(self.system, self.fingerprint(), self.dataset, self.policy)
        return RunKey(self.dataset.card.name, self.system.name, identity, self.seed)


def carry_out(plan: RunPlan, store: Store, key: RunKey) -> bool:
    """Run a plan unless the store has it; whether it ran. Waits for another process that is at the same run."""
    with _held(store, key):
        if store.has(key):
            store.drop_work(key)
            return False
        folder = store.work(key)
        try:
            _Run(plan, key, folder).carry_out()
        except UserError:
            store.drop_empty_work(key)
            raise
        store.finish(key)
        return True


def _held(store: Store, key: RunKey) -> AcquireReturnProxy[FileLock]:
    try:
        return store.held(key, wait=0)
    except Timeout:
        print("Another process is at this run: waiting for it.", file=sys.stderr)
        return store.held(key)


class _Run:
    """A run in progress."""

    def __init__(self, plan: RunPlan, key: RunKey, folder: Path) -> None:
        self.plan, self.key, self.folder = plan, key, folder
        self.dataset = plan.dataset
        self.adapter = adapter_class(plan.system.card)
        self.log = _TrainLog(folder / TRAIN)
        context = Context(
            labels=self.dataset.labels,
            brief=self.dataset.card.brief,
            seed=plan.seed,
            folder=folder,
            log=self.log.add,
            validation_f1=lambda outputs: self.judged("validation", outputs).summary.f1,
            progress=plan.progress,
        )
        self.system = self.adapter(settings_of(plan.system), context)
        self.seen = mentions_of(self.dataset.splits["train"].sentences)

    def carry_out(self) -> None:
        started = datetime.now(UTC)
        free_memory()
        reset_peak_memory()
        splits = self.dataset.splits
        begin = time.monotonic()
        self.system.fit(splits["train"].sentences, splits["validation"].sentences)
        fit_seconds = time.monotonic() - begin + self.log.earlier
        begin = time.monotonic()
        self.system.ready()
        load_seconds = time.monotonic() - begin
        judged: dict[str, Judged] = {}
        raw: dict[str, Sequence[RawOutput]] = {}
        seconds = 0.0
        for split in self.adapter.scored_splits:
            begin = time.monotonic()
            raw[split] = self.ask(splits[split].sentences)
            seconds += time.monotonic() - begin
            judged[split] = self.judged(split, raw[split])
        sentences = sum(result.summary.sentences for result in judged.values())
        own = asdict(self.system.cost())
        seconds = own.pop("predict_seconds") or seconds
        cost = {
            "fit_seconds": fit_seconds,
            "load_seconds": load_seconds,
            "predict_seconds": seconds,
            "sentences_per_second": sentences / seconds if seconds else None,
            **peak_memory(),
            **own,
        }
        self.write(judged, raw)
        record = self.record(judged, cost, started)
        (self.folder / "result" / RECORD).write_text(record.to_json(), encoding="utf-8")

    def ask(self, labeled: Sequence[Labeled]) -> Sequence[RawOutput]:
        """Ask for outputs: of words alone, but for the oracle."""
        if isinstance(self.system, GoldSystem):
            return list(self.system.answer(labeled))
        return checked(self.system.predict([one.sentence for one in labeled]), len(labeled))

    def judged(self, split: str, outputs: Sequence[RawOutput]) -> Judged:
        gold = self.dataset.splits[split]
        line = signature(split, gold.hash, self.plan.policy, self.dataset.limit)
        return judge(gold.sentences, outputs, self.dataset.labels, line, self.plan.policy, self.seen)

    def write(self, judged: Mapping[str, Judged], raw: Mapping[str, Sequence[RawOutput]]) -> None:
        result = self.folder / "result"
        predictions, rows = [], []
        for split, judgement in judged.items():
            for output, decoded, row in zip(raw[split], judgement.decoded, judgement.rows, strict=True):
                spans, report = spans_json(decoded.spans), dict(decoded.report)
                predictions.append(
                    {"id": row.sentence, "split": split, "raw": to_json(output), "spans": spans, "report": report}
                )
                rows.append({"split": split, **row_to_json(row)})
        _write_lines(result / PREDICTIONS, predictions)
        _write_lines(result / ROWS, rows)
        write_sums(result, judged["test"].rows)
        _write_lines(result / TRAIN, self.log.rows())
        if self.plan.keep_weights:
            (result / WEIGHTS).mkdir()
            self.system.save(result / WEIGHTS)

    def record(self, judged: Mapping[str, Judged], cost: dict[str, Any], started: datetime) -> Record:
        system, dataset = self.plan.system, self.dataset
        return Record(
            schema=SCHEMA,
            identity=self.key.identity,
            system=system.name,
            title=titled(system.title, self.plan.task_overrides),
            adapter=system.card.adapter,
            adapter_version=self.adapter.version,
            preset=system.preset,
            overrides=system.overrides,
            task_overrides=dict(self.plan.task_overrides),
            settings=system.settings,
            fingerprint=self.plan.fingerprint(),
            sees_gold=isinstance(self.system, GoldSystem),
            task=dataset.card.name,
            task_card=asdict(dataset.card),
            labels=dict(dataset.labels),
            data={
                name: {
                    "hash": split.hash,
                    "sentences": len(split.sentences),
                    "also_in_train": dataset.also_in_train(name),
                    "reading": dict(split.report),
                }
                for name, split in dataset.splits.items()
            },
            limit=dataset.limit,
            seed=self.plan.seed,
            policy=self.plan.policy.value,
            scores={split: judgement.summary for split, judgement in judged.items()},
            choices=dict(self.system.cost().choices),
            cost=cost,
            environment=environment(),
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )


class _TrainLog:
    """Rows of training progress, kept on disk so that an interrupted run does not lose those before its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path, self.begin = path, time.monotonic()
        self.before_next = "\n" if path.exists() else ""  # a crash may have cut the last line off
        before = self._read()
        self.earlier = float(before[-1]["seconds"]) if before else 0.0

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row; `seconds` since the run began, earlier sessions included."""
        seconds = round(self.earlier + time.monotonic() - self.begin, 3)
        line = json.dumps({**row, "seconds": seconds}, default=plain)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(self.before_next + line + "\n")
        self.before_next = ""

    def rows(self) -> list[dict[str, Any]]:
        """Each `update` once: what was done again after a crash counts as it was done last. Rows without one all."""
        latest = {
            (row.get("update", f"line {number}"), "validation_f1" in row): row
            for number, row in enumerate(self._read())
        }
        return list(latest.values())

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:  # the line that a crash cut off
                continue
        return found


def titled(name: str, task_overrides: Mapping[str, Any]) -> str:
    """A system's title, with what was changed of the task."""
    changes = ", ".join(f"{key}={value}" for key, value in sorted(task_overrides.items()))
    return f"{name} (task: {changes})" if changes else name


def _write_lines(path: Path, values: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for value in values:
            stream.write(_line(value) + "\n")


def _line(value: Mapping[str, Any]) -> str:
    """A JSON line; half characters that a model wrote, which no file can hold, become escapes."""
    text = json.dumps(value, ensure_ascii=False, default=plain)
    return text if _encodable(text) else json.dumps(value, default=plain)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
