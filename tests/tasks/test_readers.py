"""Every reader on invented files of its format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, MissingData
from harness.reading import Reading, Request
from harness.registry import READERS, resolve
from harness.spans import Span


def read(
    reader: str, path: Path, labels: Mapping[str, str] | None = None, align: Any = "snap", **options: Any
) -> Reading:
    found: Reading = resolve(READERS, "reader", reader)(Request("train", (path,), labels or {}, options, align))
    return found


def write(path: Path, content: str | list[Any]) -> Path:
    text = content if isinstance(content, str) else "\n".join(json.dumps(item, ensure_ascii=False) for item in content)
    path.write_text(text, encoding="utf-8")
    return path


CONLL = """\
-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

-DOCSTART- -X- O O

Ann NNP I-NP I-PER
Bo NNP B-NP B-PER
"""


def test_conll_2003_iob1_with_documents(tmp_path: Path) -> None:
    reading = read("columns", write(tmp_path / "eng.train", CONLL), tag=3, scheme="IOB1", columns=4)
    first, second = reading.sentences
    assert first.sentence.words == ("EU", "rejects", "German", "call")
    assert first.spans == (Span(0, 1, "ORG"), Span(2, 3, "MISC"))
    assert second.spans == (Span(0, 1, "PER"), Span(1, 2, "PER"))
    assert (first.sentence.document, second.sentence.document) == ("eng-1", "eng-2")
    assert (first.sentence.id, reading.report) == ("eng-3", {})


def test_conll_2003_chunks_are_another_column(tmp_path: Path) -> None:
    reading = read("columns", write(tmp_path / "eng.train", CONLL), tag=2, scheme="IOB1")
    assert reading.sentences[1].spans == (Span(0, 1, "NP"), Span(1, 2, "NP"))


def test_comments_tabs_windows_line_ends_and_a_mark_at_the_start(tmp_path: Path) -> None:
    text = "\ufeff# newdoc id = d7\r\n# text = a b\r\n1\tAnn Lee\tB-PER\t-\t-\r\n2\tran\tO\t-\t-\r\n\r\n"
    reading = read("columns", write(tmp_path / "x.iob2", text), word=1, tag=2, separator="tab", comment="# ")
    assert reading.sentences[0].sentence.words == ("Ann Lee", "ran")
    assert reading.sentences[0].sentence.document == "d7"


def test_line_separators_inside_a_word_do_not_end_its_line(tmp_path: Path) -> None:
    reading = read("columns", write(tmp_path / "x.conll", "a\u2028b\tO\nc\tB-X\n"), separator="tab")
    assert reading.sentences[0].sentence.words == ("a\u2028b", "c")


def test_bare_tags_make_each_word_a_mention(tmp_path: Path) -> None:
    reading = read("columns", write(tmp_path / "x.tsv", "he\tO\nran\tEVENT\nfell\tEVENT\n"), bare=True)
    assert reading.sentences[0].spans == (Span(1, 2, "EVENT"), Span(2, 3, "EVENT"))


def test_invalid_gold_tags_are_repaired_by_name_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.conll", "a I-X\nb B-X\nc I-Y\n")
    assert len(read("columns", path).sentences[0].spans) == 3
    assert read("columns", path).report == {"repaired-no-begin": 1, "repaired-label-change": 1}
    assert len(read("columns", path, repair="strict").sentences[0].spans) == 1


SEMEVAL = """\
<?xml version="1.0" encoding="UTF-8"?>
<sentences>
    <sentence id="813">
        <text>All the appetizers &amp; salads weren't bad.</text>
        <aspectTerms>
            <aspectTerm term="appetizers" polarity="positive" from="8" to="18"/>
            <aspectTerm term="salads" polarity="negative" from="21" to="27"/>
        </aspectTerms>
    </sentence>
    <sentence id="814"><text>Nothing here.</text></sentence>
    <sentence id="815">
        <text>Goodfood-wise fine.</text>
        <aspectTerms><aspectTerm term="food" polarity="conflict" from="4" to="8"/></aspectTerms>
    </sentence>
</sentences>
"""


def test_semeval_offsets_become_words(tmp_path: Path) -> None:
    reading = read("semeval", write(tmp_path / "x.xml", SEMEVAL))
    first, second, third = reading.sentences
    assert [first.sentence.surface(span) for span in first.spans] == ["appetizers", "salads"]
    assert [span.label for span in first.spans] == ["positive", "negative"]
    assert first.sentence.text == "All the appetizers & salads weren't bad."
    assert second.spans == ()
    assert [third.sentence.surface(span) for span in third.spans] == ["Goodfood"]
    assert reading.report == {"snapped": 1}


def test_terms_off_token_boundaries_can_be_dropped_as_the_paper_does(tmp_path: Path) -> None:
    reading = read("semeval", write(tmp_path / "x.xml", SEMEVAL), align="drop")
    assert reading.sentences[2].spans == ()
    assert reading.report == {"dropped-off-boundary": 1}


def test_xml_entities_from_outside_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "SECRET")
    text = (
        f'<!DOCTYPE s [<!ENTITY e SYSTEM "{secret.as_uri()}">]><s><sentence id="1"><text>a &e; b</text></sentence></s>'
    )
    reading = read("semeval", write(tmp_path / "x.xml", text))
    assert "SECRET" not in (reading.sentences[0].sentence.text or "")


ACE = [
    {
        "words": ["He", "was", "fired", "and", "then", "sued", "."],
        "golden-event-mentions": [
            {"trigger": {"start": 2, "end": 3, "text": "fired"}, "event_type": "Personnel:End-Position"},
            {"trigger": {"start": 5, "end": 6, "text": "sued"}, "event_type": "Justice:Sue"},
            {"trigger": {"start": 5, "end": 6, "text": "sued"}, "event_type": "Justice:Convict"},
        ],
    },
    {"words": ["Nothing", "."], "golden-event-mentions": []},
]


def ace(path: Path) -> Reading:
    from harness.task import task_card

    card = task_card("ace05")
    return read("spans-json", path, card.labels, **card.options)


def test_ace_lists_and_lines_read_the_same_and_overlaps_are_resolved_and_counted(tmp_path: Path) -> None:
    one = ace(write(tmp_path / "train.json", json.dumps(ACE, indent=1)))
    two = ace(write(tmp_path / "lines.json", ACE))
    expected = (Span(2, 3, "Personnel:End-Position"), Span(5, 6, "Justice:Sue"))
    assert one.sentences[0].spans == two.sentences[0].spans == expected
    assert one.report == {"overlapping": 1}


def test_of_overlapping_gold_the_longest_stays(tmp_path: Path) -> None:
    spans = [
        {"start": 1, "end": 2, "label": "A"},
        {"start": 0, "end": 2, "label": "B"},
        {"start": 2, "end": 3, "label": "C"},
    ]
    reading = read(
        "spans-json", write(tmp_path / "x.jsonl", [{"words": ["a", "b", "c"], "spans": spans}]), words="words"
    )
    assert reading.sentences[0].spans == (Span(0, 2, "B"), Span(2, 3, "C"))


def test_characters_with_emoji_and_inclusive_ends(tmp_path: Path) -> None:
    text = "👍🏽 the café's résumé"
    start = text.index("café")
    item = {"t": text, "m": [{"a": {"b": start, "e": start + 3}, "l": "X"}]}
    options = {"text": "t", "spans": "m", "start": "a.b", "end": "a.e", "label": "l", "end_inclusive": True}
    reading = read("spans-json", write(tmp_path / "x.jsonl", [item]), **options)
    labeled = reading.sentences[0]
    assert [labeled.sentence.surface(span) for span in labeled.spans] == ["café"]


MAVEN = {
    "id": "doc1",
    "content": [{"tokens": ["The", "siege", "began"]}, {"tokens": ["It", "ended"]}],
    "events": [
        {"type": "Besieging", "mention": [{"sent_id": 0, "offset": [1, 2]}]},
        {"type": "Process_end", "mention": [{"sent_id": 1, "offset": [1, 2]}]},
    ],
    "negative_triggers": [],
}


def test_maven_mentions_go_to_their_sentences(tmp_path: Path) -> None:
    reading = read("maven", write(tmp_path / "train.jsonl", [MAVEN]))
    assert [labeled.spans for labeled in reading.sentences] == [
        (Span(1, 2, "Besieging"),),
        (Span(1, 2, "Process_end"),),
    ]
    assert {labeled.sentence.document for labeled in reading.sentences} == {"doc1"}


def test_brat_folders(tmp_path: Path) -> None:
    text = "Ann Lee ran.\n\nBo sat on\nthe mat."
    path = write(tmp_path / "d.txt", text)
    lines = [
        "T1\tPER 0 7\tAnn Lee", "T2\tPER 14 16\tBo", "R1\tKnows Arg1:T1 Arg2:T2",
        f"T3\tPLACE {text.index('on')} {text.index(' mat')}\ton the", "T4\tSPLIT 0 3;8 11\tAnn ran",
    ]  # fmt: skip
    write(tmp_path / "d.ann", "\n".join(lines))
    reading = read("brat", path)
    found = [[lab.sentence.surface(span) for span in lab.spans] for lab in reading.sentences]
    assert found == [["Ann Lee ran"], ["Bo", "on"], []]
    assert reading.report == {"across-lines": 1, "discontinuous": 1, "overlapping": 1}


@pytest.mark.parametrize(
    ("reader", "suffix", "content", "options"),
    [
        ("brat", "txt", "Ann ran", {}),
        ("columns", "conll", "-DOCSTART- O\n\nAnn O\n", {}),
        ("columns", "conll", "Ann O\n", {"document_per_file": True}),
        ("spans-json", "jsonl", '{"words": ["Ann"], "spans": []}', {"words": "words"}),
        ("semeval", "xml", "<s><sentence><text>Ann</text></sentence></s>", {}),
    ],
)
def test_files_of_one_name_in_several_folders(
    tmp_path: Path, reader: str, suffix: str, content: str, options: dict[str, Any]
) -> None:
    paths = tuple(tmp_path / folder / f"{name}.{suffix}" for folder, name in [("a", "x"), ("b", "x"), ("b", "y")])
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write(path, content)
        path.with_suffix(".ann").touch()
    reading = resolve(READERS, "reader", reader)(Request("train", paths, {}, options))
    ids = [labeled.sentence.id.rpartition("-")[0] for labeled in reading.sentences]
    assert ids == [f"a/x.{suffix}", f"b/x.{suffix}", "y"]
    documents = {labeled.sentence.document for labeled in reading.sentences}
    assert len(documents) == 3 or documents == {None}


def test_hub_data_from_a_local_folder(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    features = Features(
        {"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=["O", "B-X", "I-X"]))}
    )
    rows = {"tokens": [["a", "b", "c"]], "ner_tags": [[1, 2, 0]]}
    Dataset.from_dict(rows, features).to_parquet(tmp_path / "train.parquet")
    reading = resolve(READERS, "reader", "hub")(Request("train", (), {}, {"id": str(tmp_path)}))
    assert reading.sentences[0].spans == (Span(0, 2, "X"),)


def test_a_hub_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(MissingData, match="nobody/nothing"):
        resolve(READERS, "reader", "hub")(Request("train", (), {}, {"id": "nobody/nothing"}))


def test_errors_name_the_line_of_an_item_inside_an_array(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", '[\n {"words": ["a"], "spans": []},\n\n {"words": [], "spans": []}\n]')
    with pytest.raises(DataError, match=r"x\.json:4: the sentence is empty"):
        read("spans-json", path, words="words")


def test_an_array_on_one_line_gives_each_item_its_own_id(tmp_path: Path) -> None:
    item = {"words": ["a"], "spans": []}
    reading = read("spans-json", write(tmp_path / "x.json", json.dumps([item, item, item])), words="words")
    assert [labeled.sentence.id for labeled in reading.sentences] == ["x-1", "x-1.2", "x-1.3"]


def test_sentences_of_no_document_are_their_own(tmp_path: Path) -> None:
    items = [{"words": ["a"], "spans": [], "doc": doc, "id": doc} for doc in (None, 7, "d")]
    path = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, items)))
    reading = read("spans-json", path, words="words", document="doc", id="id")
    found = [(one.sentence.document, one.sentence.id) for one in reading.sentences]
    assert found == [(None, "x-1"), ("7", "7"), ("d", "d")]


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ('{"tokens": ["a"], "ner_tags": ["O"]}\n{"tokens": [', MissingData, "could not be loaded"),
        ("", MissingData, "could not be loaded"),
        (
            '{"tokens": ["a"], "ner_tags": ["O"]}\n{"tokens": ["a"], "ner_tags": null}',
            DataError,
            "'ner_tags' must be a list",
        ),
        ('{"tokens": [" "], "ner_tags": ["O"]}', DataError, "' ', which is no word"),
        ('{"tokens": "a", "ner_tags": ["O"]}', DataError, "'tokens' must be a list"),
    ],
)
def test_broken_hub_data_are_said(tmp_path: Path, content: str, error: type[Exception], says: str) -> None:
    write(tmp_path / "train.jsonl", content)
    with pytest.raises(error, match=says):
        resolve(READERS, "reader", "hub")(Request("train", (), {}, {"id": str(tmp_path)}))


def test_hidden_labels_of_the_hub_are_refused(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=["O", "B-X"]))})
    Dataset.from_dict({"tokens": [["a"]], "ner_tags": [[-1]]}, features).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="hidden"):
        resolve(READERS, "reader", "hub")(Request("train", (), {}, {"id": str(tmp_path)}))


def test_brat_mentions_of_nothing_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "d.txt", "Ann\n \nran")
    write(tmp_path / "d.ann", "T1\tX 3 5\t \nT2\tX 4 5\t \n")
    assert read("brat", path).report == {"white-space-only": 2}


def test_words_keep_their_unusual_spaces(tmp_path: Path) -> None:
    reading = read("columns", write(tmp_path / "x.conll", "a\u00a0b  O\nc\u3000d\tB-X\n"))
    assert reading.sentences[0].sentence.words == ("a\u00a0b", "c\u3000d")
