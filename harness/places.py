"""Where a text stands in a sentence: at whole words only, read in three ways."""

from __future__ import annotations

from enum import StrEnum

from harness.spans import Sentence


class Reading(StrEnum):
    """How a text is compared with the sentence, strictest first."""

    EXACT = "exact"
    CASE = "case"
    WHITESPACE = "whitespace"


class Places:
    """Finds texts in a sentence. A place begins where a word begins and ends where one ends: "US" is not in "USA"."""

    def __init__(self, sentence: Sentence) -> None:
        self.sentence, self.offsets = sentence, sentence.shown_offsets
        self._lines: dict[Reading, _Line] = {}
        self._found: dict[tuple[Reading, str], list[tuple[int, int]]] = {}

    def find(self, text: str, reading: Reading) -> list[tuple[int, int]]:
        """The places of `text` in words, [start, end), from left to right. They may overlap each other."""
        key = reading, _as_read(text, reading)
        if key not in self._found:
            self._found[key] = self._line(reading).find(key[1])
        return self._found[key]

    def start(self, word: int) -> int:
        """The character where a word begins in the sentence as it is shown."""
        return self.offsets[word][0]

    def _line(self, reading: Reading) -> _Line:
        if reading not in self._lines:
            self._lines[reading] = _Line(self.sentence, reading)
        return self._lines[reading]


class _Line:
    """The sentence as one text in a reading that knows where words begin and end in it."""

    def __init__(self, sentence: Sentence, reading: Reading) -> None:
        shown, offsets = sentence.shown, sentence.shown_offsets
        parts: list[str] = []
        self.starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        at = length = 0
        for word, (start, end) in enumerate(offsets):
            gap, read = _as_read(shown[at:start], reading), _as_read(shown[start:end], reading)
            parts += [gap, read]
            length += len(gap)
            self.starts[length] = word
            length += len(read)
            self.ends.setdefault(length, word)
            at = end
        self.text = "".join(parts)

    def find(self, text: str) -> list[tuple[int, int]]:
        found = []
        at = self.text.find(text) if text else -1
        while at >= 0:
            start, end = self.starts.get(at), self.ends.get(at + len(text))
            if start is not None and end is not None:
                found.append((start, end + 1))
            at = self.text.find(text, at + 1)
        return found


def _as_read(text: str, reading: Reading) -> str:
    if reading is Reading.EXACT:
        return text
    folded = text.casefold()
    return folded if reading is Reading.CASE else "".join(folded.split())
