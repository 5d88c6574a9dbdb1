"""Scores from rows, errors by class, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.breakdown import ERRORS, errors
from harness.decode import DECODE_VERSION
from harness.intervals import bootstrap_interval, sums_by_unit
from harness.outputs import Tags
from harness.protocol import judge, mentions_of, signature, slices_of
from harness.schemes import tags_of
from harness.scoring import Counts, Row, row_of, score
from harness.spans import Labeled, Sentence, Span


def spans(*parts: tuple[int, int, str]) -> tuple[Span, ...]:
    return tuple(Span(*part) for part in parts)


def test_scores_are_sums_of_rows() -> None:
    first = row_of("1", None, spans((0, 1, "A"), (2, 4, "B")), spans((0, 1, "A"), (2, 3, "B")))
    second = row_of("2", None, spans((0, 1, "A")), spans((0, 1, "C")))
    total = score([first, second])
    assert total.micro == Counts(gold=3, predicted=3, matched=1)
    assert total.labels == {"A": Counts(2, 1, 1), "B": Counts(1, 1, 0), "C": Counts(0, 1, 0)}
    assert total.macro_f1 == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_nothing_scores_zero_and_does_not_fail() -> None:
    assert score([]).micro.f1 == 0.0
    assert score([row_of("1", None, (), ())]).macro_f1 == 0.0


def test_slices_count_predictions_where_they_overlap_their_gold() -> None:
    gold = spans((0, 2, "A"), (4, 5, "A"))
    row = row_of("1", None, gold, spans((1, 2, "A"), (4, 5, "A"), (7, 8, "A")), [("cue:left",), ("cue:right",)])
    assert row.slices == {"cue:left": Counts(1, 1, 0), "cue:right": Counts(1, 1, 1)}


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        (spans((0, 2, "A")), spans((0, 2, "B")), "label"),
        (spans((0, 2, "A")), spans((1, 2, "A")), "boundary"),
        (spans((0, 2, "A")), spans((1, 3, "B")), "both"),
        (spans((0, 2, "A")), (), "missed"),
        ((), spans((0, 2, "A")), "spurious"),
    ],
)
def test_each_error_has_one_class(gold: tuple[Span, ...], predicted: tuple[Span, ...], expected: str) -> None:
    assert {name: n for name, n in errors(gold, predicted).items() if n} == {expected: 1}


SPANS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from("AB")).map(lambda p: Span(2 * p[0], 2 * p[0] + 2, p[1])),
    max_size=4, unique_by=lambda span: span.start,
).map(lambda found: tuple(sorted(found)))  # fmt: skip


@given(gold=SPANS, predicted=SPANS, shift=st.integers(0, 1))
def test_every_unmatched_span_is_one_error(gold: tuple[Span, ...], predicted: tuple[Span, ...], shift: int) -> None:
    predicted = tuple(Span(s.start + shift, s.end + shift, s.label) for s in predicted)
    found = errors(gold, predicted)
    matched = len(set(gold) & set(predicted))
    paired = found["label"] + found["boundary"] + found["both"]
    assert paired + found["missed"] == len(gold) - matched
    assert paired + found["spurious"] == len(predicted) - matched
    assert set(found) <= set(ERRORS)


def random_rows(n: int, seed: int, documents: int = 0) -> list[Row]:
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        gold, predicted = (int(value) for value in generator.integers(0, 4, 2))
        matched = int(generator.integers(0, min(gold, predicted) + 1))
        document = f"d{i % documents}" if documents else None
        rows.append(Row(str(i), document, {"A": Counts(gold, predicted, matched)}))
    return rows


def test_the_interval_agrees_with_scipys_bootstrap() -> None:
    rows = random_rows(300, seed=1)
    low, high = bootstrap_interval([rows], replicates=9000)

    def f1(gold: np.ndarray, predicted: np.ndarray, matched: np.ndarray, axis: int) -> np.ndarray:
        return 2 * matched.sum(axis) / (gold.sum(axis) + predicted.sum(axis))

    theirs = stats.bootstrap(
        tuple(sums_by_unit(rows).T),
        f1,
        paired=True,
        method="percentile",
        n_resamples=9000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.004)
    assert high == pytest.approx(theirs.high, abs=0.004)


def test_the_interval_does_not_shrink_with_replicates() -> None:
    rows = random_rows(200, seed=3)
    few, many = bootstrap_interval([rows], replicates=500), bootstrap_interval([rows], replicates=20000)
    assert (many[1] - many[0]) == pytest.approx(few[1] - few[0], rel=0.15)


def test_documents_are_drawn_whole() -> None:
    assert len(sums_by_unit(random_rows(60, seed=4, documents=6))) == 6
    assert len(sums_by_unit(random_rows(60, seed=4))) == 60


def labeled(*tags: str) -> Labeled:
    return Labeled(Sentence("s", ("Ann", "saw", "New", "York")), tuple(Span(2, 4, tag) for tag in tags))


def test_what_a_system_never_saw_stays_in_the_gold() -> None:
    output = Tags(("O", "O", "B-LOC", "I-LOC"), unseen=(3,))
    summary = judge([labeled("LOC")], [output], {"LOC": "location"}, "line").summary
    assert summary.counts == {"gold": 1, "predicted": 0, "matched": 0}
    assert summary.coverage == 75.0
    assert summary.decoding == {"unseen-word": 1}


def test_labels_that_the_task_lacks_are_dropped_and_counted() -> None:
    summary = judge([labeled("LOC")], [Tags(("B-GOD", "O", "B-LOC", "I-LOC"))], {"LOC": "location"}, "line").summary
    assert (summary.f1, summary.decoding) == (100.0, {"unknown-label": 1})


def test_too_few_outputs_are_a_bug_and_not_a_smaller_denominator() -> None:
    with pytest.raises(ValueError, match="zip"):
        judge([labeled("LOC")], [], {"LOC": "location"}, "line")
    with pytest.raises(ValueError, match="2 tags"):
        judge([labeled("LOC")], [Tags(("O", "O"))], {"LOC": "location"}, "line")


def test_mentions_are_seen_or_unseen_by_their_words_and_label() -> None:
    seen = mentions_of([labeled("LOC")])
    assert slices_of(labeled("LOC"), seen) == [("length:2", "mention:seen")]
    assert slices_of(labeled("ORG"), seen) == [("length:2", "mention:unseen")]


def test_the_signature_names_what_a_score_depends_on() -> None:
    from harness.decode import Policy

    line = signature("test", "9f3a12bc" * 8, Policy.STRICT, limit=5)
    assert line.startswith(f"span-f1|strict|IOB2|micro|test|gold:9f3a12bc|decode:{DECODE_VERSION}|limit:5|h")


def test_a_taggers_classes_are_all_tags_of_the_scheme() -> None:
    assert tags_of(["A", "B"]) == ("O", "B-A", "I-A", "B-B", "I-B")
