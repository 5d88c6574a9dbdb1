"""The codec: every scheme round-trips, and reads tags as the standard tools do."""

from __future__ import annotations

import itertools
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

from harness.decode import Policy, decode_tags
from harness.errors import UnknownName
from harness.schemes import Scheme, chunks, encode, scheme_of, split_tag, tags_of
from harness.scoring import row_of, score
from harness.spans import Span

LABELS = ("PER", "LOC", "ORG-x")
IOB2_TAGS = tags_of(LABELS)


@st.composite
def spans_in(draw: st.DrawFn, length: int = 12) -> list[Span]:
    """Sorted spans that do not overlap."""
    spans, at = [], 0
    while at < length and draw(st.booleans()):
        start = draw(st.integers(at, length - 1))
        end = draw(st.integers(start + 1, min(length, start + 4)))
        spans.append(Span(start, end, draw(st.sampled_from(LABELS))))
        at = end
    return spans


def touching(spans: list[Span]) -> bool:
    return any(a.end == b.start and a.label == b.label for a, b in itertools.pairwise(spans))


@pytest.mark.parametrize("scheme", Scheme)
@given(spans=spans_in())
def test_spans_survive_every_scheme(scheme: Scheme, spans: list[Span]) -> None:
    decoded = decode_tags(encode(spans, 12, scheme), scheme)
    assert decoded.report == {}
    if scheme is Scheme.IO and touching(spans):
        assert len(decoded.spans) < len(spans)
    else:
        assert list(decoded.spans) == spans


def test_iob1_is_written_as_conll_2003_writes_it() -> None:
    spans = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 5, "LOC")]
    assert encode(spans, 5, Scheme.IOB1) == ["I-PER", "I-PER", "B-PER", "O", "I-LOC"]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        (Scheme.BIOES, ["B-PER", "I-PER", "E-PER", "S-LOC"]),
        (Scheme.BILOU, ["B-PER", "I-PER", "L-PER", "U-LOC"]),
        (Scheme.BMEWO, ["B-PER", "M-PER", "E-PER", "W-LOC"]),
    ],
)
def test_closed_schemes_write_their_own_letters(scheme: Scheme, tags: list[str]) -> None:
    assert encode([Span(0, 3, "PER"), Span(3, 4, "LOC")], 4, scheme) == tags


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B-", "B", "", "BPER", "o", "-PER"])
def test_malformed_tags_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="is no tag of IOB2"):
        split_tag(tag, Scheme.IOB2)


def test_labels_keep_their_dashes_and_letters() -> None:
    assert split_tag("B-creative-work", Scheme.IOB2) == ("B", "creative-work")
    assert split_tag("I-I", Scheme.IOB2) == ("I", "I")


def test_an_unknown_scheme_gets_the_nearest() -> None:
    with pytest.raises(UnknownName, match="BIOES"):
        scheme_of("BIOE")


def test_bio_is_what_most_call_iob2() -> None:
    assert scheme_of("bio") is Scheme.IOB2


PAIRS = st.lists(st.tuples(st.sampled_from(IOB2_TAGS), st.sampled_from(IOB2_TAGS)), min_size=1, max_size=8)


@settings(max_examples=10_000)
@given(corpus=st.lists(PAIRS, min_size=1, max_size=3))
def test_the_headline_is_seqevals_strict_iob2_to_the_last_digit(corpus: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in pairs] for pairs in corpus]
    predicted = [[p for _, p in pairs] for pairs in corpus]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where there is nothing to predict
        expected = f1_score(gold, predicted, mode="strict", scheme=IOB2)
    rows = [
        row_of(str(i), None, decode_tags(g).spans, decode_tags(p).spans)
        for i, (g, p) in enumerate(zip(gold, predicted, strict=True))
    ]
    assert score(rows).micro.f1 == expected


@pytest.mark.parametrize(("scheme", "theirs"), [(Scheme.BIOES, IOBES), (Scheme.BILOU, BILOU)])
@settings(max_examples=500)
@given(data=st.data())
def test_closed_schemes_are_read_strictly_as_seqeval_reads_them(
    scheme: Scheme, theirs: type, data: st.DataObject
) -> None:
    tags = data.draw(st.lists(st.sampled_from(tags_of(LABELS[:2], scheme)), min_size=1, max_size=10))
    expected = [Span(e.start, e.end, e.tag) for e in Entities([tags], theirs).entities[0]]
    assert list(decode_tags(tags, scheme).spans) == expected


@settings(max_examples=1000)
@given(tags=st.lists(st.sampled_from(tags_of(LABELS[:2])), min_size=1, max_size=10))
def test_the_conlleval_policy_reads_as_conlleval(tags: list[str]) -> None:
    expected = [Span(start, end + 1, label) for label, start, end in get_entities(tags)]
    assert list(decode_tags(tags, policy=Policy.CONLLEVAL).spans) == expected


@pytest.mark.parametrize(
    ("tags", "strict", "conlleval", "discard"),
    [
        (["I-PER", "I-PER", "O"], [], [Span(0, 2, "PER")], []),
        (["B-PER", "I-LOC", "O"], [Span(0, 1, "PER")], [Span(0, 1, "PER"), Span(1, 2, "LOC")], []),
        (["B-PER", "O", "I-LOC"], [Span(0, 1, "PER")], [Span(0, 1, "PER"), Span(2, 3, "LOC")], [Span(0, 1, "PER")]),
        (["B-PER", "B-PER"], *[[Span(0, 1, "PER"), Span(1, 2, "PER")]] * 3),
    ],
)
def test_policies_differ_where_they_say(
    tags: list[str], strict: list[Span], conlleval: list[Span], discard: list[Span]
) -> None:
    found = {policy: list(decode_tags(tags, policy=policy).spans) for policy in Policy}
    assert found == {Policy.STRICT: strict, Policy.CONLLEVAL: conlleval, Policy.DISCARD: discard}


def test_repairs_are_counted_and_the_input_is_left_alone() -> None:
    tags = ["I-PER", "O", "B-PER", "I-LOC"]
    assert decode_tags(tags).report == {"no-begin": 1, "label-change": 1}
    assert tags == ["I-PER", "O", "B-PER", "I-LOC"]


def test_every_violation_has_a_name() -> None:
    violations = {
        chunk.violation
        for scheme, tags in [
            (Scheme.IOB2, ["I-A", "O", "B-A", "I-B"]),
            (Scheme.IOB1, ["B-A"]),
            (Scheme.BIOES, ["B-A", "O", "I-A", "E-A"]),
        ]
        for chunk in chunks(tags, scheme)
    }
    assert violations == {"", "no-begin", "label-change", "needless-begin", "no-end"}
