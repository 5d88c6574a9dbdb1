"""Raw outputs on disk: how the harness writes them, and how it reads anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.columns import Layout, column_sentences
from harness.errors import DataError, UnknownName
from harness.files import json_items
from harness.outputs import RawOutput, Spans, Tags, Text
from harness.responses import format_of
from harness.schemes import Scheme, scheme_of, split_tag
from harness.spans import Sentence, Span


def to_json(output: RawOutput) -> dict[str, Any]:
    """A raw output as JSON values; what is at its default is left out."""
    if isinstance(output, Tags):
        values: dict[str, Any] = {"tags": list(output.labels), "scheme": output.scheme.value}
    elif isinstance(output, Text):
        values = {"text": output.text, "format": output.format.value} | ({"cut": True} if output.cut else {})
    else:
        values = {"spans": spans_json(output.spans), "unit": output.unit}
        if output.scores is not None:
            values["scores"] = list(output.scores)
    return values | ({"unseen": list(output.unseen)} if output.unseen else {})


def spans_json(spans: Sequence[Span]) -> list[list[Any]]:
    """`[[start, end, label], ...]`"""
    return [[span.start, span.end, span.label] for span in spans]


def read_predictions(path: Path, sentences: Sequence[Sentence], layout: Layout, scheme: Scheme) -> list[RawOutput]:
    """What a file says of these sentences.

    JSON (an array or lines): objects with `tags` (and `scheme`), `spans` (`[start, end, label]` or objects; `unit`
    words or characters) or a response (`text` and its `format`), matched by `id` where they have
    one, by order elsewhere. A `raw` object, as in our own predictions.jsonl, is taken in place of the line
    that holds it. Anything else is a column file, matched by order.
    Raises DataError for what does not fit the sentences.
    """
    if path.suffix in (".json", ".jsonl"):
        return _from_json(path, sentences, scheme)
    return _from_columns(path, sentences, layout, scheme)


def read_stored(path: Path, sentences: Sequence[Sentence]) -> list[RawOutput]:
    """What a stored run said of the test sentences: in order, whatever their ids are by now."""
    items = [(line, item) for line, item in json_items(path) if item["split"] == "test"]
    pairs = zip(items, sentences, strict=True)
    return [_output(path, line, item, sentence, Scheme.IOB2) for (line, item), sentence in pairs]


def _from_columns(path: Path, sentences: Sequence[Sentence], layout: Layout, scheme: Scheme) -> list[RawOutput]:
    found: list[RawOutput] = []
    last = 0
    for number, predicted in enumerate(column_sentences(path, layout)):
        first, last = predicted.lines[0], predicted.lines[-1]
        if number >= len(sentences):
            raise DataError(path, first, f"a sentence too many: the gold has only {len(sentences)}.")
        words = sentences[number].words
        if len(predicted.words) != len(words):
            what = f"{len(predicted.words)} words, but sentence {sentences[number].id} of the gold has {len(words)}."
            raise DataError(path, first, what, "Sentences must come in the gold's order, with all their words.")
        for word, gold_word, tag, line in zip(predicted.words, words, predicted.tags, predicted.lines, strict=True):
            if word != gold_word:
                raise DataError(path, line, f"the word is {word!r}, but the gold has {gold_word!r} here.")
            _check_tag(path, line, tag, scheme)
        found.append(Tags(tuple(predicted.tags), scheme))
    if len(found) != len(sentences):
        raise DataError(path, last, f"the file ends after {len(found)} sentences; the gold has {len(sentences)}.")
    return found


def _check_tag(path: Path, line: int, tag: str, scheme: Scheme) -> None:
    try:
        split_tag(tag, scheme)
    except ValueError as error:
        raise DataError(
            path, line, f"{error}.", "--pred-scheme of harness score, or --set scheme=NAME of a run, names another."
        ) from None


def _from_json(path: Path, sentences: Sequence[Sentence], scheme: Scheme) -> list[RawOutput]:
    items = list(json_items(path))
    for line, item in items:
        if not isinstance(item, dict):
            raise DataError(path, line, "each prediction must be an object.")
    known = {sentence.id: sentence for sentence in sentences}
    without = [line for line, item in items if "id" not in item]
    if 0 < len(without) < len(items):
        raise DataError(
            path, without[0], "this prediction has no id, and others have one.", "Give all of them, or none."
        )
    if not without:
        items = [(line, item) for line, item in items if item.get("split", "test") == "test"]
        by_id: dict[str, RawOutput] = {}
        for line, item in items:
            id = str(item["id"])
            if id in by_id:
                raise DataError(path, line, f"the sentence {id!r} is predicted twice.")
            if id not in known:
                raise DataError(path, line, f"the gold has no sentence {id!r}.")
            by_id[id] = _output(path, line, item, known[id], scheme)
        absent = [id for id in known if id not in by_id]
        if absent:
            raise DataError(
                path, None, f"{len(absent)} sentences of the gold are not predicted, the first is {absent[0]!r}."
            )
        return [by_id[sentence.id] for sentence in sentences]
    if len(items) != len(sentences):
        raise DataError(path, None, f"{len(items)} predictions for {len(sentences)} sentences of the gold.")
    return [_output(path, line, item, s, scheme) for (line, item), s in zip(items, sentences, strict=True)]


def _output(path: Path, line: int, item: dict[str, Any], sentence: Sentence, scheme: Scheme) -> RawOutput:
    raw = item.get("raw", item)
    try:
        if "tags" in raw:
            return _tags(path, line, raw, sentence, scheme)
        if "format" in raw:
            return Text(str(raw["text"]), format_of(raw["format"]), bool(raw.get("cut")), _unseen(raw, sentence))
        spans = tuple(_span(span) for span in raw["spans"])
        unit = raw.get("unit", "words")
        if unit not in ("words", "characters"):
            raise ValueError(f"unit must be words or characters, not {unit!r}")
        if unit == "characters" and sentence.text is None:
            raise ValueError("the task has no text to count characters in; give spans in words")
        scores = tuple(map(float, raw.get("scores") or ()))
        return Spans(spans, unit, scores or None, _unseen(raw, sentence))
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, UnknownName) as error:
        what = f"no prediction can be read here ({error})."
        raise DataError(
            path, line, what, 'Expected "tags": [...], "spans": [[start, end, label], ...], or "text" and its "format".'
        ) from None


def _tags(path: Path, line: int, raw: dict[str, Any], sentence: Sentence, scheme: Scheme) -> Tags:
    named = scheme_of(raw["scheme"]) if "scheme" in raw else scheme
    tags = tuple(raw["tags"])
    if len(tags) != len(sentence.words):
        raise DataError(
            path, line, f"{len(tags)} tags for the {len(sentence.words)} words of sentence {sentence.id!r}."
        )
    for tag in tags:
        _check_tag(path, line, tag, named)
    return Tags(tags, named, _unseen(raw, sentence))


def _unseen(raw: dict[str, Any], sentence: Sentence) -> tuple[int, ...]:
    unseen = tuple(raw.get("unseen", ()))
    if not all(isinstance(word, int) and 0 <= word < len(sentence.words) for word in unseen):
        raise ValueError(f"unseen must hold numbers of words from 0 to {len(sentence.words) - 1}")
    return unseen


def _span(value: Any) -> Span:
    if isinstance(value, dict):
        value = (value["start"], value["end"], value["label"])
    start, end, label = value
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(label, str)):
        raise ValueError(f"{value!r:.60} is no span")
    return Span(start, end, label)
