"""Responses of generative models: written, parsed, placed; every item in one class, whatever the model wrote."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decode import decode
from harness.decode.text import ITEM, LOST, PLACED
from harness.errors import UnknownName
from harness.outputs import Text
from harness.responses import Format, Item, format_of, names_of, parse, write
from harness.spans import Sentence, Span

LABELS = {"PER": "person", "LOC": "location", "ORG": "organization", "work": "creative work"}
FORMATS = list(Format)


def sentence(text: str) -> Sentence:
    return Sentence("1", tuple(text.split()))


def placed(response: str, text: str, format: Format = Format.LISTING) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The words and label of every span, and how many items ended in each class."""
    made = sentence(text)
    found = decode(Text(response, format), made, LABELS)
    return [(made.surface(span), span.label) for span in found.spans], {
        k.removeprefix(ITEM): v for k, v in found.report.items()
    }


HOSTILE = [
    'he said "she said \'no "way"\'" to Ann',
    "Rome ; Bill : Ann # 2 \\ #2 \\: a\\;b ::",
    "a < b > c </person> <person> <person>Ann</person> &lt; <3 <!-- x -->",
    "Rome Rome Rome Rome and Rome , Rome",
    "a a a a a",
    "US USA USSR New York New Orleans New New York",
    "👩‍👩‍👧 loves 🇫🇷 and é e\u0301 ﬁ Ⅻ ß SS ss İ i",
    "שלום \u202eעולם\u202c من بغداد إلى Rome",
    "[ { ] } {\"text\": \"Rome\", \"label\": \"location\"}",
    "\u200b x \u200b \ufeff y",
]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", HOSTILE)
def test_any_gold_survives_any_format(text: str, format: Format) -> None:
    made, names = sentence(text), names_of(LABELS)
    draw = random.Random(text)
    for _ in range(50):
        spans = tuple(drawn_spans(draw, len(made.words)))
        found = decode(Text(write(spans, made, names, format), format), made, LABELS)
        assert found.spans == spans
        assert sum(found.report.values()) == len(spans)


def drawn_spans(draw: random.Random, words: int) -> list[Span]:
    at, found = 0, []
    while at < words:
        size = draw.randint(1, 3)
        if draw.random() < 0.5 and at + size <= words:
            found.append(Span(at, at + size, draw.choice(list(LABELS))))
            at += size
        else:
            at += 1
    return found


WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda word: word == word.strip(" \t\r\n")
)


@st.composite
def gold(draw: st.DrawFn) -> tuple[Sentence, tuple[Span, ...]]:
    """A sentence of any characters, with or without a text of its own, and spans on it."""
    words = tuple(draw(st.lists(WORD, min_size=1, max_size=8)))
    spans = tuple(drawn_spans(random.Random(draw(st.integers(0, 10**6))), len(words)))
    if draw(st.booleans()):
        return Sentence("1", words), spans
    text, offsets = "", []
    for word in words:
        text += draw(st.sampled_from(["", " ", "  ", "\n", "\t"]))
        offsets.append((len(text), len(text) + len(word)))
        text += word
    return Sentence("1", words, text=text, offsets=tuple(offsets)), spans


@given(gold(), st.sampled_from(FORMATS))
@settings(max_examples=1500)
def test_any_words_survive_any_format(case: tuple[Sentence, tuple[Span, ...]], format: Format) -> None:
    made, spans = case
    found = decode(Text(write(spans, made, names_of(LABELS), format), format), made, LABELS)
    assert [(made.surface(s), s.label) for s in found.spans] == [(made.surface(s), s.label) for s in spans]


def test_a_mention_is_whole_words_and_each_item_has_one_place() -> None:
    """Row 1 of the peers: a string inside another word is no mention of it."""
    assert placed("US:location", "US USA USSR")[0] == [("US", "LOC")]
    assert placed("New York:location", "New Orleans or New York")[0] == [("New York", "LOC")]
    assert placed("New York Times:organization;New York:location", "The New York Times of New York")[0] == [
        ("New York Times", "ORG"),
        ("New York", "LOC"),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_no_cap_on_mentions(format: Format) -> None:
    """Row 2: forty mentions of one label are forty mentions."""
    made = sentence(" ".join(f"Ann{i}" for i in range(40)))
    spans = tuple(Span(i, i + 1, "PER") for i in range(40))
    assert decode(Text(write(spans, made, names_of(LABELS), format), format), made, LABELS).spans == spans


def test_order_does_not_matter_and_a_bad_item_costs_itself_alone() -> None:
    """Row 3: items out of order, an item without a colon, an unknown label."""
    found, classes = placed("Rome:location;Bill:person;nonsense;Ann:god;Ann:person", "Ann met Bill in Rome")
    assert found == [("Ann", "PER"), ("Bill", "PER"), ("Rome", "LOC")]
    assert classes == {"exact": 3, "unparseable": 1, "unknown-label": 1}


def test_spans_are_scored_and_not_bags_of_strings() -> None:
    """Row 7: the second Rome is another mention than the first."""
    made = sentence("Rome is not Rome")
    found = decode(Text("Rome#2:location", Format.LISTING), made, LABELS).spans
    assert found == (Span(3, 4, "LOC"),)


@pytest.mark.parametrize(
    ("response", "classes"),
    [
        ("Rome:location", {"exact": 1}),
        ("rome:Location", {"case": 1}),
        ("NewYork:LOC", {"whitespace": 1}),
        ("the:location", {"ambiguous": 1}),
        ("the:location;the:location", {"exact": 2}),
        ("the:location;the:person", {"ambiguous": 2}),
        ("the#2:location", {"exact": 1}),
        ("the#3:location", {"ambiguous": 1}),
        ("Rome:location;Rome:location", {"exact": 1, "duplicate": 1}),
        ("Rome:location;Rome:person", {"ambiguous": 1, "overlapping": 1}),
        ("New York:location;York:person", {"exact": 1, "overlapping": 1}),
        ("Rome:town", {"unknown-label": 1}),
        ("Paris:location", {"not-in-text": 1}),
        ("Rom:location", {"not-in-text": 1}),
        ("There are none.", {"unparseable": 1}),
        (":location", {"unparseable": 1}),
        ("", {}),
        (" ; ;; \n", {}),
        ("Rome:location\nthe end", {"exact": 1, "unparseable": 1}),
    ],
)  # fmt: skip
def test_classes_of_items(response: str, classes: dict[str, int]) -> None:
    assert placed(response, "Rome and the mayor of the New York")[1] == classes


@pytest.mark.parametrize(
    ("response", "found", "classes"),
    [
        ('[{"text": "Rome", "label": "location"}]', [("Rome", "LOC")], {"exact": 1}),
        ('```json\n{"mentions": [{"text": "Rome", "label": "location"}]}\n```', [("Rome", "LOC")], {"exact": 1}),
        ('[{"text": "Bill", "label": "person"}, {"text": "Rome", "lab', [("Bill", "PER")], {"ambiguous": 1, "unparseable": 1}),
        ('[{"text": "Ro, "label": "x"}, {"text": "Bill", "label": "person"}]', [("Bill", "PER")], {"ambiguous": 1, "unparseable": 1}),
        ('[{"text": "Bill", "label": "person", "occurrence": 2}]', [("Bill", "PER")], {"exact": 1}),
        ('[{"text": 3, "label": "person"}]', [], {"unparseable": 1}),
        ('["Rome"]', [], {"unparseable": 1}),
        ("[]", [], {}),
        ("```json\n[]\n```", [], {}),
        ('{"mentions": ["Rome"]}', [], {"unparseable": 1}),
        ('{"text": ["Rome"], "label": "location"}', [], {"unparseable": 1}),
        ('{"mentions": []}', [], {}),
        ("none", [], {"unparseable": 1}),
    ],
)  # fmt: skip
def test_json(response: str, found: list[tuple[str, str]], classes: dict[str, int]) -> None:
    assert placed(response, "Bill and Bill in Rome", Format.JSON) == (found, classes)


@pytest.mark.parametrize(
    ("response", "spans", "classes"),
    [
        ("Bill and <person>Bill</person> in Rome", [Span(2, 3, "PER")], {"exact": 1}),
        ("Sure! Bill and <person>Bill</person> in Rome", [Span(2, 3, "PER")], {"ambiguous": 1}),
        ("<person>Bill and <person>Bill</person>", [Span(2, 3, "PER")], {"exact": 1, "unparseable": 1}),
        ("<person>Bill</location> in <location>Rome", [], {"unparseable": 2}),
        ("<b>Rome</b>", [], {"unknown-label": 1}),
        ("Bill and Bill in Rome", [], {}),
    ],
)
def test_inline(response: str, spans: list[Span], classes: dict[str, int]) -> None:
    made = sentence("Bill and Bill in Rome")
    found = decode(Text(response, Format.INLINE), made, LABELS)
    assert list(found.spans) == spans
    assert {k.removeprefix(ITEM): v for k, v in found.report.items()} == classes


def test_names_of_labels() -> None:
    assert names_of({"A": "same", "B": "same", "C": "x <y>\\"}) == {"A": "A", "B": "B", "C": "x y"}
    assert names_of({"A": "same", "B": "same", "C": "A", "<>": "<>"}) == {"A": "A", "B": "B", "C": "A 2", "<>": "label"}
    assert names_of({"Life:Die": "die"}) == {"Life:Die": "die"}
    with pytest.raises(UnknownName, match="json"):
        format_of("jsn")


def test_a_cut_response_is_counted() -> None:
    assert decode(Text("Rome:loc", Format.LISTING, cut=True), sentence("Rome"), LABELS).report["response-cut"] == 1


PIECES = [*"\\;:#<>/{}[]\"', \n\t\r0123\u202e\ud800é", "Rome", "rome", "Bill", "New York", "New", "York", "person", "location", "god",
          "creative work", "<person>", "</person>", "<location>", "</location>", '{"text": "', '"label": "', '"}', '", ', "#2", "#999999",
          "```", "null", "1e999", "NaN", "import os; os.system('x')", "<script>", "### Response:", "\\n", "None"]  # fmt: skip
TEXT = "Bill went from Rome to New York and Rome with Bill New"


def check_response(response: str, format: Format) -> None:
    """No exception, no invalid span, and every item in exactly one class."""
    made = sentence(TEXT)
    items, broken = parse(response, format)
    found = decode(Text(response, format), made, LABELS)
    classes = {k.removeprefix(ITEM): v for k, v in found.report.items()}
    assert set(classes) <= {*PLACED, *LOST}
    assert sum(classes.values()) == len(items) + broken
    assert sum(classes.get(name, 0) for name in PLACED) == len(found.spans)
    end = 0
    for span in found.spans:
        assert end <= span.start < span.end <= len(made.words)
        assert span.label in LABELS
        end = span.end


@pytest.mark.parametrize("format", FORMATS)
def test_thirty_thousand_mutated_responses_a_format(format: Format) -> None:
    """Real responses with pieces cut out, doubled and put in, and plain noise."""
    draw = random.Random(format.value)
    made, names = sentence(TEXT), names_of(LABELS)
    for number in range(33_000):
        parts = [write(drawn_spans(draw, len(made.words)), made, names, format)] if number % 4 else []
        for _ in range(draw.randint(1, 6)):
            response = "".join(parts)
            at, after = sorted(draw.choices(range(len(response) + 1), k=2))
            middle = draw.choice([draw.choice(PIECES), response[at:after] * 2, ""])
            parts = [response[:at], middle, response[after:] if draw.random() < 0.8 else response[at:]]
        check_response("".join(parts), format)


@given(st.text(), st.sampled_from(FORMATS))
@settings(max_examples=1000)
def test_any_text_at_all(response: str, format: Format) -> None:
    check_response(response, format)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["text", "label", "occurrence", "x"]), inner),
    )
)
@settings(max_examples=500)
def test_any_json_at_all(value: object) -> None:
    check_response(json.dumps(value), Format.JSON)


LONG = ["Rome:location;", "x:person;", "\\", ";", ":", "#", "\\:", "a#1", "<person>", "</person>", "<person>Rome</person>", "<", "<a", "\\<",
        '{"text": "Rome", "label": "location"},', "{", '{"', '{"a":', '{"a":[', "[", '"', '{"text": "Rome', "9", '{"text":9', "Rome ", " "]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("piece", LONG)
def test_a_megabyte_does_not_hang(piece: str, format: Format) -> None:
    """The test's limit is far above what linear work takes, and far below what quadratic work would."""
    response = piece * (1_000_000 // len(piece))
    begin = time.process_time()
    check_response(response, format)
    assert time.process_time() - begin < 30


def test_hints_settle_at_the_strictest_reading_that_has_the_place() -> None:
    made = sentence("Rome ROME Rome")
    found = decode(Text("Rome#2:location;Rome#2:location;ROME:person", Format.LISTING), made, LABELS)
    assert found.spans == (Span(1, 2, "PER"), Span(2, 3, "LOC"))
    assert Counter(found.report) == {"item:exact": 2, "item:duplicate": 1}
    assert parse("Rome#2:location", Format.LISTING)[0] == [Item("Rome", "location", 2, literal="Rome#2")]


@pytest.mark.parametrize(
    ("response", "text", "words"),
    [
        ("Section #2:location", "Section #2 is here", "Section #2"),
        ("#1:location", "we are #1 today", "#1"),
        (r"C:\new:location", r"see C:\new there", r"C:\new"),
    ],
)
def test_a_text_that_looks_like_an_escape_is_read_literally(response: str, text: str, words: str) -> None:
    """What a model writes that was told of no escape; the oracle escapes it."""
    assert placed(response, text) == ([(words, "LOC")], {"exact": 1})


def test_the_order_of_overlapping_items_does_not_matter() -> None:
    one, other = "a b:location;b c:person", "b c:person;a b:location"
    assert placed(one, "a b c") == placed(other, "a b c")


def test_a_long_sentence_of_one_word_takes_no_time() -> None:
    words = " ".join(["Rome"] * 400)
    marked = " ".join(["<location>Rome</location>"] * 400)
    begin = time.process_time()
    assert len(placed(marked, words, Format.INLINE)[0]) == 400
    assert time.process_time() - begin < 5
