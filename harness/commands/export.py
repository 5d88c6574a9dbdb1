"""`harness export`: a stored run as a folder for a model hub: card, bibliography, record, and its weights."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import StoreError, UserError
from harness.files import write_whole
from harness.pages.bibtex import bibliography, citations_of
from harness.pages.markdown import text
from harness.record import Record
from harness.store import RECORD, WEIGHTS, Store, read_record
from harness.system import resolve_system

_LICENSES = ("apache-2.0", "mit")  # those that a hub knows by the name that our cards use


def export_run(runs: Path, name: str, out: Path) -> None:
    """Write the folder and print what is in it. Raises UserError for a run nobody knows, and for a folder in use."""
    folder = Store(runs).find(name)
    record = read_record(folder)
    if record.sees_gold:
        raise UserError(f"{record.title} is given the gold: its results say nothing of a model, and are not exported.")
    there, aside = out.exists(), out / ".part"
    if there and (not out.is_dir() or any(path != aside for path in out.iterdir())):
        raise UserError(f"{out} is there already and not empty; --out DIR names another folder.")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        write_whole(aside / "README.md", model_card(record))
        write_whole(aside / "citations.bib", bibliography([record]))
        shutil.copyfile(folder / RECORD, aside / RECORD)
        if (folder / WEIGHTS).is_dir():
            shutil.copytree(folder / WEIGHTS, aside / WEIGHTS)
        for path in sorted(aside.iterdir()):
            path.rename(out / path.name)
    except OSError as error:
        what = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror  # of the first of many files
        raise StoreError(f"{folder} cannot be written to {out} ({what}).") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not there:
            with suppress(OSError):  # it is not empty, but where this failed
                out.rmdir()
    print("\n".join(str(path) for path in sorted(out.rglob("*")) if path.is_file()))


def model_card(record: Record) -> str:
    """A model card with `model-index` metadata, as hubs read it."""
    from huggingface_hub import ModelCardData

    test = record.scores["test"]
    data = ModelCardData(
        model_name=record.title,
        base_model=_base(record),
        tags=["harness", "sequence-labeling"],
        pipeline_tag="token-classification",
        eval_results=_results(record),
        license=_license(record),
    )
    rows = [
        f"| {text(label)} | {cell['f1']:.2f} | {cell['precision']:.2f} | {cell['recall']:.2f} | {cell['gold']:,.0f} |"
        for label, cell in test.labels.items()
    ]
    low, high = test.interval
    cited = " ".join(map(text, citations_of(record)))
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {text(record.title)} on {text(record.task)}",
        text(record.task_card["description"]),
        f"Seed {record.seed}. Micro F1 of exact spans on the test split: **{test.f1:.2f}** (95% bootstrap interval "
        f"{low:.1f} to {high:.1f}), precision {test.precision:.2f}, recall {test.recall:.2f}.",
        f"Signature: `{test.signature}`",
        "\n".join(["| label | F1 | P | R | gold spans |", "| --- | --- | --- | --- | --- |", *rows]),
        f"Trained parameters: {record.cost['trained_parameters']:,} of {record.cost['parameters']:,}. "
        f"The whole record is in `{RECORD}`.",
        f"To cite: {cited}" if cited else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(record: Record) -> list[Any]:
    from huggingface_hub import EvalResult

    test = record.scores["test"]
    return [
        EvalResult(
            task_type="token-classification",
            task_name="sequence labeling",
            dataset_type=str(record.task_card["hub"].get("id", record.task)),
            dataset_name=record.task,
            dataset_split="test",
            metric_type=metric,
            metric_name=f"{metric} of exact spans ({test.signature})",
            metric_value=round(value, 4),
        )
        for metric, value in (("f1", test.f1), ("precision", test.precision), ("recall", test.recall))
    ]


def _base(record: Record) -> str | None:
    """The model's id on a hub, where it has one."""
    path = str(record.settings.get("model", {}).get("path", ""))
    return path if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not Path(path).exists() else None


def _license(record: Record) -> str | None:
    """The license of the base, where it is one that hubs know."""
    try:
        found = resolve_system(record.system).card.license.lower()
    except UserError:
        return None
    return found if found in _LICENSES else None
