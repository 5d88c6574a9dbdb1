"""What a generative model wrote, placed on the words of the sentence.

Every item of a response ends in exactly one class:

    exact, case, whitespace    placed: it stands there as written; but for case; but for case and white space
    ambiguous                  placed, on the first of several places that it may have meant
    duplicate                  another item has its place, with the same label
    overlapping                other items have all its places
    unknown-label              the task has no such label
    not-in-text                it stands nowhere in the sentence, at whole words
    unparseable                it is no item of the format

The order of items does not matter, but among items of the same text, which take its places as they come. Items that
say which place they mean go first, then longer texts before shorter ones; stricter readings go before looser ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from harness.decode.decoded import Decoded
from harness.outputs import Text
from harness.places import Places, Reading
from harness.responses import Item, names_of, parse
from harness.spans import Sentence, Span

PLACED = ("exact", "case", "whitespace", "ambiguous")
LOST = ("duplicate", "overlapping", "unknown-label", "not-in-text", "unparseable")
ITEM = "item:"  # begins the names of these classes in a report
CUT = "response-cut"


def decode_text(output: Text, sentence: Sentence, labels: Mapping[str, str] | None) -> Decoded:
    """Parse and place a response. `labels` maps labels to their words; None where any label will do."""
    items, broken = parse(output.text, output.format)
    placing = _Placing(sentence, items, _labels_of(items, labels))
    placing.place_all()
    report = Counter({f"{ITEM}{name}": count for name, count in Counter(placing.classes).items()})
    report[f"{ITEM}unparseable"] += broken
    report[CUT] += output.cut
    return Decoded(tuple(sorted(placing.spans)), {name: count for name, count in report.items() if count})


def named_texts(output: Text, labels: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """The text and the label of every item that a response holds, wherever it may stand; unknown labels as written."""
    items, _ = parse(output.text, output.format)
    found = _labels_of(items, labels)
    return [(item.text, label or item.label) for item, label in zip(items, found, strict=True)]


def _labels_of(items: Sequence[Item], labels: Mapping[str, str] | None) -> list[str | None]:
    """The label that each item names; None for no label of the task."""
    if labels is None:
        return [item.label for item in items]
    known = _known(tuple(labels.items()))
    return [known.get(_folded(item.label)) for item in items]


@lru_cache(maxsize=8)
def _known(labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Labels by all that may name them: their words and themselves, in any case."""
    themselves = {_folded(label): label for label, _ in labels}
    return themselves | {_folded(name): label for label, name in names_of(dict(labels)).items()}


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


class _Placing:
    """The items of one response on their way to the words of one sentence."""

    def __init__(self, sentence: Sentence, items: Sequence[Item], labels: Sequence[str | None]) -> None:
        self.places = Places(sentence)
        self.items, self.labels = [self._meant(item) for item in items], labels
        self.taken = [False] * len(sentence.words)
        self.spans: set[Span] = set()
        self.classes = ["" if label else "unknown-label" for label in labels]
        self.free: dict[tuple[Reading, str], list[tuple[int, int]]] = {}
        self.reasons: dict[tuple[str, str], str] = {}

    def _meant(self, item: Item) -> Item:
        """The item, read literally where only that stands in the sentence."""
        if item.literal is None or len(self.places.find(item.text, Reading.WHITESPACE)) >= (item.occurrence or 1):
            return item
        return Item(item.literal, item.label) if self.places.find(item.literal, Reading.WHITESPACE) else item

    def place_all(self) -> None:
        """Give every item its class, and a span to those that are placed."""
        for reading in Reading:
            for index in self._open():
                self._place_pointed(index, reading)
            for group in self._groups(reading):
                self._place_group(group, reading)
        for index in self._open():
            self.classes[index] = self._lost(index)

    def _open(self) -> list[int]:
        """Items without a class yet, the longer before the shorter."""
        found = [index for index, name in enumerate(self.classes) if not name]
        return sorted(found, key=lambda index: (-len(self.items[index].text), self.items[index].text))

    def _place_pointed(self, index: int, reading: Reading) -> None:
        """Place an item that says which place it means."""
        item = self.items[index]
        if item.occurrence is not None:
            places = self.places.find(item.text, reading)
            if item.occurrence <= len(places):
                place = places[item.occurrence - 1]
                if self._is_free(place):
                    self._take(index, place, reading.value)
                else:
                    self.classes[index] = self._lost(index)
        elif item.start is not None and (free := self._free(item.text, reading)):
            start = item.start
            distance, place = min((abs(self.places.start(place[0]) - start), place) for place in free)
            self._take(index, place, "ambiguous" if distance and len(free) > 1 else reading.value)

    def _groups(self, reading: Reading) -> Iterable[list[int]]:
        """Open items of the same text that do not say which place they mean, or whose number is too high for any."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index in self._open():
            item = self.items[index]
            pointed = item.occurrence is not None or item.start is not None
            if not pointed or (reading is Reading.WHITESPACE and self._beyond(item)):
                groups[item.text].append(index)
        return groups.values()

    def _beyond(self, item: Item) -> bool:
        return item.occurrence is not None and item.occurrence > len(self.places.find(item.text, Reading.WHITESPACE))

    def _place_group(self, group: Sequence[int], reading: Reading) -> None:
        free = self._free(self.items[group[0]].text, reading)
        several = len(free) > len(group) or len({self.labels[index] for index in group}) > 1
        unsure = several or any(self.items[index].occurrence for index in group)
        for index, place in zip(group, free, strict=False):
            if self._is_free(place):
                self._take(index, place, "ambiguous" if unsure else reading.value)

    def _free(self, text: str, reading: Reading) -> list[tuple[int, int]]:
        """The places of a text that are free still; the list shrinks, so that many items of one text cost little."""
        key = reading, text
        known = self.free.get(key)
        places = self.places.find(text, reading) if known is None else known
        self.free[key] = [place for place in places if self._is_free(place)]
        return self.free[key]

    def _is_free(self, place: tuple[int, int]) -> bool:
        return not any(self.taken[place[0] : place[1]])

    def _take(self, index: int, place: tuple[int, int], name: str) -> None:
        label = self.labels[index]
        assert label is not None
        self.spans.add(Span(*place, label))
        self.taken[place[0] : place[1]] = [True] * (place[1] - place[0])
        self.classes[index] = name

    def _lost(self, index: int) -> str:
        key = self.items[index].text, self.labels[index] or ""
        if key not in self.reasons:
            places = self.places.find(key[0], Reading.WHITESPACE)
            again = any(Span(*place, key[1]) in self.spans for place in places)
            self.reasons[key] = "duplicate" if again else "overlapping" if places else "not-in-text"
        return self.reasons[key]
