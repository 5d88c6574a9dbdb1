"""`harness predict`: spans for new text from a stored model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.contracts import Context, System
from harness.decode import decode, policy_of
from harness.environment import IMPORTED, rarely_collecting
from harness.errors import DataError, MissingModel, UserError
from harness.files import lines_of, read_text
from harness.outputs import checked
from harness.record import Record
from harness.settings import build, flat
from harness.spans import Sentence
from harness.store import WEIGHTS, Store, read_record
from harness.system import MACHINE, adapter_called
from harness.task import Brief


@rarely_collecting(IMPORTED)
def predict_lines(runs: Path, run: str, file: Path | None, words: bool, trust: bool) -> None:
    """Print a JSON object for each line that has a word in it: its text, its words, its spans.

    A run whose model came with code is only loaded where its reader says that it may: `trust`.
    """
    from harness.commands.quiet import quiet_libraries, wait_briefly

    quiet_libraries()
    wait_briefly()
    folder = Store(runs).find(run)
    record = read_record(folder)
    weights = folder / WEIGHTS
    if not weights.is_dir():
        raise UserError(
            f"The run {folder} kept no weights. Run it again with --save and another --runs folder to keep them."
        )
    if flat(record.settings).get("model.trust_remote_code") and not trust:
        raise UserError(
            f"The run {folder} would have code of its model run here; say --trust-remote-code if you trust that code."
        )
    text = read_text(file) if file else _standard_input()
    sentences = [_sentence(line, number, words) for number, line in lines_of(text) if line.strip()]
    if not sentences:
        raise UserError("There is no text to label: give a file with a sentence a line, or pipe it in.")
    with TemporaryDirectory(prefix="harness-") as work:
        model = _model(folder, record, Path(work))
        model.load(weights)
        model.ready()
        outputs = checked(model.predict(sentences), len(sentences))
    policy = policy_of(record.policy)
    for sentence, output in zip(sentences, outputs, strict=True):
        spans = decode(output, sentence, record.labels, policy).spans
        found = [{"start": s.start, "end": s.end, "label": s.label, "text": sentence.surface(s)} for s in spans]
        print(json.dumps({"text": sentence.text, "words": sentence.words, "spans": found}, ensure_ascii=False))


def _model(folder: Path, record: Record, work: Path) -> System:
    """The system of a run, as it is before training. Raises MissingModel where what it was trained on is not here."""
    adapter = adapter_called(record.adapter)
    settings = build(adapter.settings_type, _without_devices(record.settings), f"the settings of {folder}")
    if lack := adapter.missing(settings):
        raise MissingModel(f"What {folder} was trained on top of must be where it was then. {lack}")
    if adapter.fingerprint(settings) != record.fingerprint:
        raise MissingModel(f"What {folder} was trained on top of has changed since; its weights fit no more.")
    brief = build(Brief, record.task_card.get("brief", {}), f"the task's brief in {folder}")
    context = Context(record.labels, brief, record.seed, work, lambda row: None, lambda outputs: 0.0)
    made: System = adapter(settings, context)
    return made


def _without_devices(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, but for the devices that it was made on, which need not be here, and for keys."""
    apart = ("device", "gpus", "key_variable")
    machine = {key: value for key, value in settings.get(MACHINE, {}).items() if key not in apart}
    return {**settings, MACHINE: machine} if MACHINE in settings else dict(settings)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("standard input", None, f"byte {error.start} is not valid UTF-8.") from error


def _sentence(line: str, number: int, words: bool) -> Sentence:
    if words:
        return Sentence(f"line-{number}", tuple(line.split()))
    from harness.tasks.words import sentence_of

    return sentence_of(line, f"line-{number}")
