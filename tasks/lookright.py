"""`lookright`: restaurant reviews from a grammar of our own, where the place of the evidence is known.

Every mention has one cue that decides its polarity: a verb to its left ("we loved ... the grilled squid") or an
adjective to its right ("the grilled squid ... was superb"), 1 to 12 words away. The cues of the other mentions in the
sentence are distractors, "not" turns a cue around, and some sentences mention nothing. A tagger that reads from left to
right sees the left cues and can only guess at the right ones.

The splits share the grammar but not the mentions: each mention belongs to train, validation or test by its hash, and
only one in ten mentions of validation and test is drawn from train's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import field as default
from random import Random
from typing import Annotated, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.reading import Reading, Request
from harness.settings import CLOSED
from harness.spans import Labeled, Sentence, Span

T = TypeVar("T")
Size = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]

POLARITIES = ("positive", "negative", "neutral")
OPPOSITE = {"positive": "negative", "negative": "positive"}

# base form and past form: "we did not love the ..." / "we loved the ..."
VERBS = {
    "positive": (
        "love/loved",
        "enjoy/enjoyed",
        "adore/adored",
        "praise/praised",
        "recommend/recommended",
        "admire/admired",
    ),
    "negative": (
        "hate/hated",
        "regret/regretted",
        "dislike/disliked",
        "despise/despised",
        "resent/resented",
        "criticize/criticized",
    ),
    "neutral": ("order/ordered", "try/tried", "notice/noticed", "see/saw", "choose/chose", "share/shared"),
}
ADJECTIVES = {
    "positive": ("superb", "excellent", "wonderful", "delightful", "perfect", "great", "amazing"),
    "negative": ("awful", "terrible", "horrible", "disappointing", "poor", "bad", "dreadful"),
    "neutral": ("average", "ordinary", "unremarkable", "standard", "typical", "usual", "okay"),
}
SUBJECTS = ("we", "I", "my friends", "everyone", "my parents", "they", "our group")
# stand alone right behind their mention: "the grilled squid disappointed"
VERDICTS = {
    "positive": ("delighted", "impressed", "excelled", "shone"),
    "negative": ("disappointed", "failed", "appalled", "annoyed"),
    "neutral": ("arrived", "came", "sufficed", "followed"),
}
COPULAS = ("was", "seemed", "looked", "felt")
JOINTS = (", and", ", while", ";", ", but", ", although")
# neutral words to stand between a cue and its mention, by their number
FILLERS = {
    1: ("again", "today", "here", "yesterday", "tonight", "once"),
    2: ("last night", "on Sunday", "this time", "for lunch", "at noon", "in March"),
    3: (
        "with my sister",
        "near the station",
        "after the concert",
        "during our stay",
        "in the evening",
        "at the corner",
    ),
    4: ("before the long drive", "while it was raining", "on our second visit", "as on other days"),
}
PLAIN = (
    "we came {0} {1} .",
    "{2} walked past the old bridge {0} .",
    "{2} found a parking space {0} and went home {1} .",
    "it rained {0} , so {2} took the bus {1} .",
    "{2} will be back {0} .",
)
MODIFIERS = (
    "grilled", "smoked", "homemade", "crispy", "spicy", "roasted", "braised", "fresh", "sweet", "pickled", "Thai",
    "Tuscan", "Korean", "seasonal", "wild", "slow-cooked", "stuffed", "marinated", "black", "red", "summer", "corner",
)  # fmt: skip
MATERIALS = (
    "squid", "lamb", "lentil", "pumpkin", "salmon", "chicken", "mushroom", "lemon", "almond", "ginger", "duck",
    "garlic", "rice", "onion", "cherry", "tomato", "cabbage", "walnut", "crab", "honey", "barley", "fennel", "olive",
    "pepper",
)  # fmt: skip
HEADS = (
    "soup", "salad", "curry", "pasta", "burger", "cake", "pie", "stew", "sauce", "bread", "noodles", "dumplings",
    "tart", "pizza", "platter", "sandwich", "risotto", "pancake", "service", "staff", "waiter", "menu", "terrace",
    "music",
    "wine list", "dessert", "decor", "bill", "portion", "espresso",
)  # fmt: skip


@dataclass(frozen=True, slots=True, config=CLOSED)
class Sizes:
    """Sentences by split."""

    train: Size = 900
    validation: Size = 150
    test: Size = 500


@dataclass(frozen=True, slots=True, config=CLOSED)
class Options:
    """How many sentences each split has, and the seed of the grammar."""

    seed: int = 7
    sizes: Sizes = default(default_factory=Sizes)
    without_mention: Share = 0.1
    negated: Share = 0.2
    max_distance: Annotated[int, Field(ge=1, le=100)] = 12


def read(request: Request) -> Reading:
    """Generate a split. The same options give the same sentences on every machine."""
    options = request.options_as(Options)
    draw = Random(f"{options.seed}:{request.split}")
    grammar = _Grammar(options, request.split, draw)
    size: int = getattr(options.sizes, request.split)
    return Reading([grammar.sentence(f"{request.split}-{number}") for number in range(size)])


class _Grammar:
    """Draws sentences. Only `Random.random` is used, whose sequence Python promises to keep."""

    def __init__(self, options: Options, split: str, draw: Random) -> None:
        self.options, self.split, self.draw = options, split, draw

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.draw.random() * len(items))]

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def sentence(self, id: str) -> Labeled:
        if self.chance(self.options.without_mention):
            text = self.pick(PLAIN).format(self.filler(2), self.filler(3), self.pick(SUBJECTS))
            return Labeled(Sentence(id, _capitalized(text.split())), ())
        words: list[str] = []
        spans: list[Span] = []
        facets: list[tuple[str, ...]] = []
        for number in range(1 + int(self.draw.random() * 3)):
            if number:
                words += self.pick(JOINTS).split()
            clause, span, facet = self.clause()
            spans.append(Span(span.start + len(words), span.end + len(words), span.label))
            facets.append(facet)
            words += clause
        words.append(".")
        return Labeled(Sentence(id, _capitalized(words)), tuple(spans), tuple(facets))

    def clause(self) -> tuple[list[str], Span, tuple[str, ...]]:
        """One mention with its cue: the words, the mention's span in them, and its facets."""
        polarity = self.pick(POLARITIES)
        mention = self.mention().split()
        left = self.chance(0.5)
        distance = 1 + int(self.draw.random() * self.options.max_distance)
        negated = polarity != "neutral" and distance > 2 and self.chance(self.options.negated)
        source = OPPOSITE[polarity] if negated else polarity
        if left:
            words, start = self.left_clause(source, negated, distance, mention)
        else:
            words, start = self.right_clause(source, negated, distance, mention)
        side = "left" if left else "right"
        band = _band(distance)
        facet = (f"cue:{side}", f"distance:{band}", f"cue-distance:{side} {band}")
        return words, Span(start, start + len(mention), polarity), facet

    def left_clause(self, source: str, negated: bool, distance: int, mention: list[str]) -> tuple[list[str], int]:
        base, past = self.pick(VERBS[source]).split("/")
        verb = ["did", "not", base] if negated else [past]
        between = [*self.filler(distance - 2).split(), "the"] if distance > 1 else []
        words = [*self.pick(SUBJECTS).split(), *verb, *between]
        return [*words, *mention], len(words)

    def right_clause(self, source: str, negated: bool, distance: int, mention: list[str]) -> tuple[list[str], int]:
        if distance == 1:
            return ["the", *mention, self.pick(VERDICTS[source])], 1
        linking = [self.pick(COPULAS), "not"] if negated else [self.pick(COPULAS)]
        between = [*self.filler(distance - 1 - len(linking)).split(), *linking]
        return ["the", *mention, *between, self.pick(ADJECTIVES[source])], 1

    def filler(self, size: int) -> str:
        """`size` neutral words."""
        pieces: list[str] = []
        while size:
            length = 1 + int(self.draw.random() * min(size, max(FILLERS)))
            piece = self.pick(FILLERS[length])
            if pieces and pieces[-1] == piece:
                continue
            pieces.append(piece)
            size -= length
        return " ".join(pieces)

    def mention(self) -> str:
        """A mention of this split, of one to four words."""
        home = self.split if self.split == "train" or not self.chance(0.1) else "train"
        while True:
            parts = [self.pick(HEADS)]
            if self.chance(0.55):
                parts.insert(0, self.pick(MATERIALS))
            if self.chance(0.4):
                parts.insert(0, self.pick(MODIFIERS))
            mention = " ".join(parts)
            if _home(mention) == home:
                return mention


def _home(mention: str) -> str:
    share = hashlib.sha256(mention.encode()).digest()[0] / 256
    return "train" if share < 0.6 else "validation" if share < 0.75 else "test"


def _band(distance: int) -> str:
    low = 1 + 3 * ((distance - 1) // 3)
    return f"{low}-{low + 2}"


def _capitalized(words: Sequence[str]) -> tuple[str, ...]:
    return (words[0][:1].upper() + words[0][1:], *words[1:])
