"""Data sets of the Hugging Face hub, or folders in its layout, through the package `datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.tasks.fields import field, named, words
from pydantic.dataclasses import dataclass

from harness.decode import Policy, decode_tags, gold_changes
from harness.errors import CardError, DataError, MissingData
from harness.reading import Reading, Request
from harness.schemes import Scheme
from harness.settings import CLOSED
from harness.spans import Sentence


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    """`id` is a hub id or a folder. `splits` maps our split names to theirs. `words` and `tags` are column names."""

    id: str
    name: str | None = None
    revision: str | None = None
    words: str = "tokens"
    tags: str = "ner_tags"
    document: str = ""
    scheme: Scheme = Scheme.IOB2
    repair: Policy = Policy.CONLLEVAL
    splits: dict[str, str] | None = None


def read(request: Request) -> Reading:
    """Read one split. Scripts of data sets are never run. Raises MissingData where the hub cannot be reached."""
    options = request.options_as(Options)
    data = _load(options, (options.splits or {}).get(request.split, request.split))
    for column in (options.words, options.tags):
        if column not in data.column_names:
            raise CardError(
                f"The data set {options.id!r} has no column {column!r}; it has {', '.join(data.column_names)}."
            )
    names = getattr(getattr(data.features[options.tags], "feature", None), "names", None)
    reading = Reading()
    source = Path(options.id)
    for number, row in enumerate(data, 1):
        sentence = _sentence(request, options, row, source, number)
        tags = [_tag(tag, names, source, number) for tag in field(row, options.tags, list, source, number)]
        if len(sentence.words) != len(tags):
            raise DataError(source, number, f"{len(sentence.words)} words but {len(tags)} tags.")
        try:
            decoded = decode_tags(tags, options.scheme, options.repair)
        except ValueError as error:
            raise DataError(source, number, f"{error}.") from None
        reading.report.update(gold_changes(decoded.report, options.repair))
        for span in decoded.spans:
            request.check_label(span.label, source, number)
        reading.add(sentence, decoded.spans, source, number)
    return reading


def _load(options: Options, split: str) -> Any:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub import constants, snapshot_download

    try:
        if not Path(options.id).is_dir() and not constants.HF_HUB_OFFLINE:
            # says no at once, where load_dataset tries again and again
            snapshot_download(options.id, repo_type="dataset", revision=options.revision, allow_patterns=["README.md"])
        return load_dataset(options.id, options.name, split=split, revision=options.revision)
    except (OSError, RuntimeError, ValueError, DatasetsError, StopIteration) as error:  # the last of an empty file
        said = error.__cause__ or error
        reason = (str(said).splitlines() or [type(said).__name__])[0]
        raise MissingData(
            f"The data set {options.id!r} (split {split!r}) could not be loaded: {reason}. "
            "Check its id and the connection to the hub, or name a local folder with --set options.id=DIR."
        ) from error


def _tag(tag: Any, names: list[str] | None, source: Path, number: int) -> str:
    """The tag's text. Hidden labels (-1) and numbers without names are refused."""
    if isinstance(tag, str):
        return tag
    if names is None or not isinstance(tag, int) or not 0 <= tag < len(names):
        raise DataError(source, number, f"{tag!r} is no tag of this data set; are its labels hidden?")
    return names[tag]


def _sentence(request: Request, options: Options, row: Any, source: Path, number: int) -> Sentence:
    try:
        return Sentence(
            f"{request.split}-{number}",
            words(row, options.words, source, number),
            named(row, options.document, source, number),
        )
    except ValueError as error:
        raise DataError(source, number, f"{error}.") from None
