"""The diagnostic: the same everywhere, and its facets say what is true of its sentences."""

from __future__ import annotations

from collections import Counter

import pytest
from harness.tasks.lookright import ADJECTIVES, OPPOSITE, VERBS, VERDICTS

from harness.dataset import Dataset, load_dataset
from harness.spans import Labeled
from harness.task import task_card


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset(task_card("lookright"))


def mentions(data: Dataset, split: str) -> set[str]:
    return {lab.sentence.surface(span).lower() for lab in data.splits[split].sentences for span in lab.spans}


def test_it_is_the_same_on_every_machine(data: Dataset) -> None:
    assert data.hash == load_dataset(task_card("lookright")).hash
    assert data.hash != load_dataset(task_card("lookright", {"options.seed": 8})).hash
    assert data.hash.startswith("ed2b9c61211a8ae4")


def test_most_test_mentions_are_unseen(data: Dataset) -> None:
    train = mentions(data, "train")
    test = [lab.sentence.surface(span).lower() for lab in data.splits["test"].sentences for span in lab.spans]
    assert sum(mention not in train for mention in test) / len(test) > 0.85


def test_sides_distances_and_polarities_are_balanced(data: Dataset) -> None:
    facets = Counter(name for lab in data.splits["train"].sentences for names in lab.facets for name in names)
    assert 0.9 < facets["cue:left"] / facets["cue:right"] < 1.1
    bands = [facets[f"distance:{band}"] for band in ("1-3", "4-6", "7-9", "10-12")]
    assert min(bands) > 0.8 * max(bands)
    labels = data.splits["train"].spans
    assert min(labels.values()) > 0.8 * max(labels.values())


def cues() -> dict[str, str]:
    """The polarity of every cue word."""
    found = {word: polarity for polarity, words in {**ADJECTIVES}.items() for word in words}
    found |= {word: polarity for polarity, words in VERDICTS.items() for word in words}
    return found | {form: polarity for polarity, pairs in VERBS.items() for pair in pairs for form in pair.split("/")}


def cue_at(labeled: Labeled, at: int) -> str:
    words = labeled.sentence.words
    polarity = cues()[words[at]]
    return OPPOSITE[polarity] if words[at - 1] == "not" else polarity


def test_every_mention_has_the_polarity_of_the_word_at_its_side_and_distance(data: Dataset) -> None:
    known = cues()
    for labeled in data.splits["test"].sentences:
        for span, facets in zip(labeled.spans, labeled.facets, strict=True):
            side, (low, high) = facets[0].removeprefix("cue:"), map(int, facets[1].removeprefix("distance:").split("-"))
            distances = range(low, high + 1)
            places = [span.start - d if side == "left" else span.end - 1 + d for d in distances]
            places = [p for p in places if 0 <= p < len(labeled.sentence.words) and labeled.sentence.words[p] in known]
            assert any(cue_at(labeled, place) == span.label for place in places), (labeled, span)


def test_some_sentences_mention_nothing_and_none_mentions_more_than_three(data: Dataset) -> None:
    counts = Counter(len(labeled.spans) for labeled in data.splits["train"].sentences)
    assert set(counts) == {0, 1, 2, 3}
    assert all(1 <= span.end - span.start <= 4 for lab in data.splits["train"].sentences for span in lab.spans)
