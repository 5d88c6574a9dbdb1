"""What a model is asked: a task's labels, examples from train, and one sentence."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.adapters.generator_settings import GeneratorSettings

from harness.contracts import Context
from harness.errors import CardError
from harness.responses import describe, names_of, write
from harness.spans import Labeled, Sentence

Count = Callable[["Prompt"], int]
_NEAR = 3  # times as many similar sentences are looked at as are taken


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to a model: a text to go on from; for `chat`, turns of a user and an assistant, a user's last.

    `examples` is how many examples it holds.
    """

    turns: tuple[str, ...]
    chat: bool
    examples: int = 0

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as chat templates take them."""
        return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(self.turns)]

    def __str__(self) -> str:
        if not self.chat:
            return self.turns[0]
        return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in self.messages)


class PromptWriter:
    """Writes the prompt of any sentence.

    `count` gives the tokens of a prompt, `room` is the most that one may have. Examples come from `train`, or are all
    of it where they were `chosen` before.
    """

    def __init__(
        self,
        settings: GeneratorSettings,
        context: Context,
        train: Sequence[Labeled],
        count: Count,
        room: int,
        chosen: bool = False,
    ) -> None:
        self.settings, self.prompt, self.count = settings, settings.prompt, count
        self.limit = min(settings.prompt.max_tokens, room)
        self.brief, self.labels = context.brief, names_of(context.labels)
        if not self.labels:
            raise CardError("The task has no labels to ask for: its card names none, and train has no mention.")
        shots = self.prompt.shots
        similar = shots and self.prompt.choose == "similar"
        self.examples = list(train) if similar or chosen else covering(train, shots, context.seed)
        self.similar = _Similar(self.examples) if similar else None

    def write(self, sentence: Sentence) -> Prompt:
        """The prompt of a sentence, with as many examples as fit; those chosen last go first."""
        found = self.similar.nearest(sentence, self.prompt.shots) if self.similar else self.examples
        examples = [one for one in found if one.sentence != sentence]  # no sentence is shown its own answer
        while True:
            prompt = self._layout(examples, sentence)
            if not examples or self.count(prompt) <= self.limit:
                return prompt
            examples = examples[:-1]

    def response(self, labeled: Labeled) -> str:
        """The right response for a sentence."""
        return write(labeled.spans, labeled.sentence, self.labels, self.settings.format)

    def _layout(self, examples: Sequence[Labeled], sentence: Sentence) -> Prompt:
        shown = list(reversed(examples))  # the best one stands next to the sentence
        if self.prompt.style == "chat":
            turns = [part for one in shown for part in (self._asked(one.sentence), self.response(one))]
            turns.append(self._asked(sentence))
            return Prompt((f"{self._instruction()}\n\n{self._options()}\n\n{turns[0]}", *turns[1:]), True, len(shown))
        parts = [f"### Instruction:\n{self._instruction()}", f"### Options:\n{self._options()}"]
        for one in shown:
            parts += [_section(one.sentence) + self.response(one)]
        return Prompt(("\n\n".join([*parts, _section(sentence)]),), False, len(shown))

    def _instruction(self) -> str:
        brief = self.brief
        return (
            f"Find the {brief.mentions} in the sentence and give the {brief.attribute} of each. "
            f"Copy them from the sentence as they are. " + describe(self.settings.format, brief.attribute, self.labels)
        )

    def _options(self) -> str:
        defined = self.brief.definitions if self.prompt.definitions else {}
        names = [f"{name} ({defined[label]})" if label in defined else name for label, name in self.labels.items()]
        options = ("; " if defined else ", ").join(names)
        return f"Possible values of the {self.brief.attribute}: {options}" if self.prompt.style == "chat" else options

    @staticmethod
    def _asked(sentence: Sentence) -> str:
        return f"Sentence: {sentence.shown}"


def _section(sentence: Sentence) -> str:
    return f"### Sentence:\n{sentence.shown}\n\n### Response:\n"


def covering(train: Sequence[Labeled], count: int, seed: int) -> list[Labeled]:
    """Examples drawn at random that show as many labels as they can, and, from three on, one without any mention."""
    if not train or not count:
        return []
    order = list(train)
    random.Random(seed).shuffle(order)
    lengths = sorted(len(one.sentence.words) for one in order)
    limit = lengths[len(lengths) * 3 // 4]  # no example is among the longest quarter
    order = [one for one in order if len(one.sentence.words) <= limit]
    empty = next((one for one in order if not one.spans), None) if count >= 3 else None
    chosen = _most_labels([one for one in order if one.spans], count - (empty is not None))
    return [*chosen, *([empty] if empty else [])]


def _most_labels(order: Sequence[Labeled], count: int) -> list[Labeled]:
    """Sentences that show as many labels as they can; of equals, the first."""
    rest = list(order)
    chosen: list[Labeled] = []
    shown: set[str] = set()
    while rest and len(chosen) < count:
        best = max(rest, key=lambda one: len({span.label for span in one.spans} - shown))
        rest.remove(best)
        chosen.append(best)
        shown |= {span.label for span in best.spans}
    return chosen


class _Similar:
    """Finds training sentences that share words with a sentence, rare words first: cosine of TF-IDF.

    Of the nearest few, those are taken that show new labels.
    """

    def __init__(self, train: Sequence[Labeled]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.train = train
        self.vectorizer = TfidfVectorizer(analyzer=_lower_words, sublinear_tf=True)
        self.table = self.vectorizer.fit_transform([one.sentence.words for one in train])

    def nearest(self, sentence: Sentence, count: int) -> list[Labeled]:
        row = self.vectorizer.transform([sentence.words])
        scores = (self.table @ row.T).toarray().ravel()
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[: _NEAR * count + 1]
        near = [one for one in (self.train[i] for i in order) if one.sentence != sentence]
        return _most_labels(near[: _NEAR * count], count)


def _lower_words(words: Sequence[str]) -> list[str]:
    return [word.lower() for word in words]
