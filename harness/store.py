"""The store: a folder a run, which appears under its name only when it is whole.

runs/<task>/<system>/<identity>/seed-<n>/
    record.json          what was run and what came out
    predictions.jsonl    raw output, spans and decoding report of every sentence
    rows.jsonl           counts a sentence and split, from which every score can be summed again
    sums.npy             the same in all of test, a unit: what boards read
    train.jsonl          loss and learning rate
    weights/             the trained weights, where asked for (safetensors)
runs/.work/              runs in progress and their checkpoints
runs/.locks/             one lock a run
runs/.failed/            why runs failed, until they are tried again
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np
from filelock import AcquireReturnProxy, FileLock, Timeout

from harness.errors import StoreError, UserError
from harness.files import sync, write_whole
from harness.intervals import Sums, sums_by_unit
from harness.record import Record, from_json, row_from_json
from harness.scoring import Row

RECORD, PREDICTIONS, ROWS, TRAIN = "record.json", "predictions.jsonl", "rows.jsonl", "train.jsonl"
SUMS = "sums.npy"
_SUMS_HEAD = re.compile(  # as `write_sums` leaves it
    rb"\x93NUMPY\x01\x00..\{'descr': '<i4', 'fortran_order': False, 'shape': \((\d+), 3\), \} *\n", re.DOTALL
)
WEIGHTS, TRACKERS = "weights", "trackers"


@dataclass(frozen=True, slots=True)
class RunKey:
    """The name of a run in the store."""

    task: str
    system: str
    identity: str
    seed: int

    @property
    def path(self) -> Path:
        return Path(_safe(self.task), _safe(self.system), self.identity, f"seed-{self.seed}")


def _safe(name: str) -> str:
    """A name as one folder's name, of 80 bytes at most."""
    plain = re.sub(r"[^\w.=+-]+", "_", name).strip("._")
    return plain.encode()[-80:].decode(errors="ignore") or "unnamed"


class Store:
    """Runs on disk. Reading needs no lock: a folder that is there is whole."""

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise StoreError(f"The store {root} is a file; --runs DIR names a folder.")
        self.root = root

    def has(self, key: RunKey) -> bool:
        return (self.root / key.path / RECORD).exists()

    def _write(self, path: Path, text: str) -> None:
        try:
            write_whole(path, text)
        except StoreError as error:
            raise self._unwritable(str(error.__cause__)) from error

    def _unwritable(self, reason: str) -> StoreError:
        return StoreError(f"The store {self.root} cannot be written ({reason}); --runs DIR names another.")

    def held(self, key: RunKey, wait: float = -1) -> AcquireReturnProxy[FileLock]:
        """The lock of a run, until the end of a `with`; the kernel lets go of it when its holder dies.

        Raises Timeout where another process has it for longer than so many seconds (-1: waits without end), StoreError.
        """
        return self._locked("--".join(key.path.parts), wait)

    def _locked(self, name: str, wait: float = -1) -> AcquireReturnProxy[FileLock]:
        folder = self.root / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return FileLock(folder / f"{name}.lock").acquire(timeout=wait)
        except Timeout:
            raise
        except OSError as error:
            raise self._unwritable(str(error.strerror)) from error

    def is_free(self, key: RunKey) -> bool:
        """Whether no process has this run under way, as far as can be seen."""
        try:
            with self.held(key, wait=0):
                return True
        except Timeout:
            return False
        except StoreError:  # the run itself will say what is wrong with the store
            return True

    def work(self, key: RunKey) -> Path:
        """The folder of a run in progress: `result/` is what will be stored, the rest is the system's."""
        folder = self.root / ".work" / key.path
        shutil.rmtree(folder / "result", ignore_errors=True)
        try:
            (folder / "result").mkdir(parents=True)
            self._check_target(self.root / key.path, folder)
        except OSError as error:
            raise self._unwritable(str(error.strerror)) from error
        return folder

    def _check_target(self, target: Path, folder: Path) -> None:
        """Raise StoreError where `folder`, when the run is done, could not be renamed to `target`."""
        if target.exists() and any(target.iterdir()):
            raise StoreError(f"{target} is no whole run: it has no {RECORD}. Move it out of the store to go on.")
        there = next(path for path in (target, *target.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise self._unwritable(f"{there} is not to be written in")
        if there.stat().st_dev != folder.stat().st_dev:
            raise self._unwritable(f"{there} is on another file system, where no finished run can be moved to")

    def finish(self, key: RunKey) -> Path:
        """Put the result of a run under its name, whole or not at all, and drop the work folder."""
        folder, target = self.root / ".work" / key.path, self.root / key.path
        try:
            if (folder / TRACKERS).exists():
                (folder / TRACKERS).rename(folder / "result" / TRACKERS)
            for path in (folder / "result").rglob("*"):
                sync(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / "result").rename(target)
            sync(target.parent)
        except OSError as error:
            raise self._unwritable(str(error.strerror)) from error
        self.drop_work(key)
        return target

    def fail(self, key: RunKey, error: str, trace: str = "", host: str = "") -> None:
        """Keep why a run failed."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = {"error": error, "trace": trace, "host": host, "at": now}
        self._write(self._failed(key), json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def failure(self, key: RunKey) -> dict[str, str] | None:
        """Why a run failed: its error, trace, host and when (`at`); or None for one that did not."""
        return _failure(self._failed(key))

    def failures(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """Every run that failed: where it would stand in the store, and what `failure` says."""
        for path in sorted((self.root / ".failed").glob("*/*/*/seed-*.json")):
            if values := _failure(path):
                yield path.relative_to(self.root / ".failed").with_suffix(""), values

    def forgive(self, key: RunKey) -> None:
        """Forget that a run failed."""
        self._failed(key).unlink(missing_ok=True)

    def _failed(self, key: RunKey) -> Path:
        return self.root / ".failed" / key.path.with_suffix(".json")

    def take(self, key: RunKey, files: Mapping[str, bytes]) -> None:
        """Put in a run that was made elsewhere, unless it is here by now."""
        with self.held(key):
            if not self.has(key):
                result = self.work(key) / "result"
                for name, content in files.items():
                    (result / name).parent.mkdir(parents=True, exist_ok=True)
                    (result / name).write_bytes(content)
                self.finish(key)

    def mark(self) -> str:
        """A word in the store by which others can tell that they see the same one."""
        path = self.root / ".mark"
        with self._locked("mark"):  # two grids that begin at once agree on one
            if not path.exists():
                self._write(path, uuid.uuid4().hex)
            return path.read_text(encoding="ascii")

    def has_mark(self, mark: str) -> bool:
        """Whether this is the store with that mark."""
        try:
            return (self.root / ".mark").read_text(encoding="ascii") == mark
        except OSError:
            return False

    def drop_work(self, key: RunKey) -> None:
        """Remove what is left of a run in progress."""
        shutil.rmtree(self.root / ".work" / key.path, ignore_errors=True)

    def drop_empty_work(self, key: RunKey) -> None:
        """Remove a run in progress that has nothing to go on from: no checkpoint, no answer."""
        folder = self.root / ".work" / key.path
        if all(path.name == "result" for path in folder.glob("*")):
            self.drop_work(key)

    def folders(self, task: str = "") -> list[Path]:
        """The folders of all runs, or of those of one task."""
        home = _safe(task) if task else "[!.]*"
        return sorted(path.parent for path in self.root.glob(f"{home}/*/*/seed-*/{RECORD}"))

    def folder(self, record: Record) -> Path:
        """The folder of a stored run."""
        return self.root / RunKey(record.task, record.system, record.identity, record.seed).path

    def records(self, task: str = "") -> Iterator[tuple[Path, Record]]:
        """Every run's folder and record, or those of one task."""
        for folder in self.folders(task):
            record = read_record(folder)
            if task in ("", record.task):
                yield folder, record

    def find(self, name: str) -> Path:
        """The folder of one run, named by its path or by a part of it that no other run has. Raises UserError."""
        direct = Path(name)
        with contextlib.suppress(OSError):  # too long a name
            if (direct / RECORD).exists():
                return direct
        names = {str(folder.relative_to(self.root)): folder for folder in self.folders()}
        if name.rstrip("/") in names:
            return names[name.rstrip("/")]
        found = [folder for path, folder in names.items() if name in path]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UserError(f"No run in {self.root} is called {name!r}. See them with: harness ls runs.")
        some = ", ".join(str(folder.relative_to(self.root)) for folder in found[:4])
        raise UserError(
            f"{len(found)} runs in {self.root} are called {name!r}: {some}{' ...' if len(found) > 4 else ''}. "
            "Name one of them."
        )


def _failure(path: Path) -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None


def by_task(folders: Iterable[Path]) -> Iterator[tuple[str, list[tuple[Path, Record]]]]:
    """Each task with the folders and records of its runs, which are read when it is the task's turn.

    `folders` are sorted, as `Store.folders` has them. Raises StoreError for a run among those of another task.
    """
    for home, group in groupby(folders, lambda folder: folder.parents[2]):
        found: dict[str, list[tuple[Path, Record]]] = {}
        for folder in group:
            record = read_record(folder)
            if _safe(record.task) != home.name:
                raise StoreError(
                    f"{folder} holds a run of task {record.task}, whose runs stand under {_safe(record.task)} in a "
                    "store. Move the folder there, or out of the store, to go on."
                )
            found.setdefault(record.task, []).append((folder, record))
        yield from sorted(found.items())


def read_record(folder: Path) -> Record:
    """The record of the run in `folder`."""
    path = folder / RECORD
    try:
        return from_json(path.read_bytes(), str(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise unreadable(path, "record", error) from error


def read_rows(folder: Path, split: str) -> list[Row]:
    """The rows of a split of the run in `folder`. Raises StoreError where they cannot be read."""
    path = folder / ROWS
    try:
        with path.open(encoding="utf-8") as stream:
            return [row_from_json(value) for value in map(json.loads, stream) if value["split"] == split]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise unreadable(path, "list of rows", error) from error


def unreadable(path: Path, what: str, error: Exception) -> StoreError:
    """What to say of a run's file that is missing or broken."""
    return StoreError(f"{path} is no readable {what} ({error}). Move the folder out of the store to go on.")


def write_sums(folder: Path, rows: Sequence[Row]) -> None:
    """Keep the counts of each unit of test beside the rows that they are summed from."""
    np.save(folder / SUMS, sums_by_unit(rows).astype(np.int32), allow_pickle=False)


def read_sums(folder: Path) -> Sums:
    """`sums_by_unit` of the test split of the run in `folder`."""
    try:
        content = (folder / SUMS).read_bytes()
        head = _SUMS_HEAD.match(content)
        if head:  # read here in a third of numpy's time, which boards of many runs feel
            return np.frombuffer(content, "<i4", offset=head.end()).reshape(int(head[1]), 3).astype(np.int64)
    except (OSError, ValueError):  # a run of an earlier version, or a file cut off
        pass
    return sums_by_unit(read_rows(folder, "test"))
