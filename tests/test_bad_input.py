"""Bad input gets one paragraph that names what and where, exit code 2, no traceback, and leaves nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from conftest import Result

CARD = """\
name = "mine"
reader = "{reader}"
[labels]
PER = "person"
[files]
train = ["train.txt"]
test = ["test.txt"]
[holdout]
validation = 0.5
[options]
{options}
"""
GOOD = "Ann B-PER\nran O\n\nBo B-PER\nsat O\n"
ITEM = '{"words": ["Ann", "ran"], "spans": [{"start": 0, "end": 1, "label": "PER"}]}\n'
WORDS = 'words = "words"'
TEXT = 'text = "text"'


def mentioned(start: object, end: object, text: str = "Ann ran", label: object = "PER") -> str:
    return json.dumps({"text": text, "spans": [{"start": start, "end": end, "label": label}]})


# name: (reader, options, train file, what the message must say)
FILES: dict[str, tuple[str, str, str | bytes, list[str]]] = {
    "column count": ("columns", "", "Ann B-PER\nran\n", ["train.txt:2", "1 column where 2"]),
    "too many columns": ("columns", "", "Ann B-PER\nran fast O\n", ["train.txt:2", "3 columns where 2"]),
    "no such column": ("columns", "tag = 5", GOOD, ["train.txt:1", "no column 5"]),
    "expected columns": ("columns", "columns = 4", GOOD, ["train.txt:1", "where 4"]),
    "bad UTF-8": ("columns", "", b"Ann B-PER\nr\xffn O\n", ["train.txt:2", "0xff", "UTF-8"]),
    "unknown encoding": ("columns", 'encoding = "utf-99"', GOOD, ["train.txt", "utf-99"]),
    "tag without prefix": ("columns", "", "Ann B-PER\nran PER\n", ["train.txt:2", "'PER' is no tag of IOB2"]),
    "tag of another scheme": ("columns", "", "Ann S-PER\n", ["train.txt:1", "'S-PER'", "scheme"]),
    "unknown label": ("columns", "", "Ann B-PRE\n", ["train.txt:1", "'PRE'", "Did you mean PER"]),
    "empty file": ("columns", "", "", ["train.txt", "empty"]),
    "white space only": ("columns", "", " \n\n \n", ["train.txt", "empty"]),
    "documents alone": ("columns", "", "-DOCSTART- O\n\n-DOCSTART- O\n", ["has no sentence"]),
    "option that a reader lacks": ("semeval", "bogus = 3", GOOD, ["bogus"]),
    "empty word": ("columns", 'separator = "tab"', "Ann\tB-PER\n\tO\n", ["train.txt:2", "word is empty"]),
    "unknown option": ("columns", "colums = 2", GOOD, ["colums", "Did you mean columns"]),
    "unknown scheme": ("columns", 'scheme = "IOB3"', GOOD, ["scheme", "IOB3"]),
    "wrong type of option": ("columns", 'tag = "last"', GOOD, ["tag", "last"]),
    "unknown reader": ("colunms", "", GOOD, ["colunms", "Did you mean columns"]),
    "reader of no request": ("os:getcwd", "", GOOD, ["os:getcwd", "no function from a request"]),
    "reader without a reading": ("builtins:repr", "", GOOD, ["builtins:repr", "type str for train", "must be a Reading"]),
    "reader not installed": ("no_such_module:read", "", GOOD, ["no_such_module", "not installed"]),
    "broken JSON line": ("spans-json", WORDS, ITEM + "{\n", ["train.txt:2", "broken JSON"]),
    "broken JSON array": ("spans-json", WORDS, "[" + ITEM + ITEM + "]", ["train.txt", "comma"]),
    "unfinished array": ("spans-json", WORDS, "[" + ITEM.strip() + ",\n", ["train.txt:2", "broken JSON"]),
    "text behind array": ("spans-json", WORDS, "[" + ITEM.strip() + "]\nx", ["train.txt:1", "follows"]),
    "missing field": ("spans-json", WORDS, '{"words": ["Ann"]}', ["train.txt:1", "'spans' is missing"]),
    "field of wrong type": ("spans-json", WORDS, '{"words": "Ann", "spans": []}', ["train.txt:1", "'words' must be a list"]),
    "not an object": ("spans-json", WORDS, "3\n", ["train.txt:1", "missing"]),
    "empty sentence": ("spans-json", WORDS, '{"words": [], "spans": []}', ["train.txt:1", "empty"]),
    "word is no word": ("spans-json", WORDS, '{"words": ["a", " "], "spans": []}', ["train.txt:1", "no word"]),
    "neither text nor words": ("spans-json", "", ITEM, ["text field", "words field"]),
    "words outside": ("spans-json", WORDS, ITEM.replace('"end": 1', '"end": 9'), ["train.txt:1", "outside the sentence"]),
    "offsets outside": ("spans-json", TEXT, mentioned(0, 99), ["train.txt:1", "not inside the text"]),
    "negative offsets": ("spans-json", TEXT, mentioned(-2, 3), ["train.txt:1", "[-2, 3)"]),
    "reversed offsets": ("spans-json", TEXT, mentioned(3, 0), ["train.txt:1", "[3, 0)"]),
    "offset is a text": ("spans-json", TEXT, mentioned("0", 3), ["train.txt:1", "'start' must be a whole number"]),
    "offset is a truth": ("spans-json", TEXT, mentioned(True, 3), ["train.txt:1", "'start' must be a whole number"]),
    "label is a number": ("spans-json", TEXT, mentioned(0, 3, label=7), ["train.txt:1", "'label' must be a text"]),
    "empty label": ("spans-json", TEXT, mentioned(0, 3, label=""), ["train.txt:1", "empty label"]),
    "half a character": ("spans-json", WORDS, '{"words": ["\\ud800x"], "spans": []}', ["train.txt:1", "half a character"]),
    "text of spaces": ("spans-json", TEXT, '{"text": "  ", "spans": []}', ["train.txt:1", "no words"]),
    "duplicate ids": ("spans-json", WORDS + '\nid = "id"', (ITEM[:-2] + ', "id": 7}\n') * 2, ["train.txt:2", "'7'", "already used"]),
    "broken XML": ("semeval", "", "<sentences>\n<sentence>\n</sentences>", ["train.txt:3", "broken XML"]),
    "XML in another encoding": ("semeval", "", '<?xml version="1.0" encoding="shift_jis"?><s/>', ["train.txt:1", "UTF-8"]),
    "JSON too deep": ("spans-json", WORDS, "[" * 200_000, ["train.txt:1", "broken JSON"]),
    "a number without end": ("spans-json", WORDS, '{"words": ' + "1" * 5000 + "}", ["train.txt:1", "broken JSON"]),
    "other XML": ("semeval", "", "<reviews></reviews>", ["train.txt", "no <sentence>"]),
    "XML offsets": (
        "semeval", "", '<s><sentence id="1"><text>Ann</text>\n<aspectTerm polarity="PER" from="x" to="3"/></sentence></s>',
        ["train.txt:2", "whole numbers"],
    ),
    "XML without polarity": (
        "semeval", "", '<s><sentence id="1"><text>Ann</text>\n<aspectTerm from="0" to="3"/></sentence></s>',
        ["train.txt:2", "polarity"],
    ),
    "XML of another year": (
        "semeval", "", '<s>\n<sentence id="1"><text>Ann</text><Opinions></Opinions></sentence></s>', ["train.txt:2", "SemEval-2015"],
    ),
    "XML without text": ("semeval", "", '<s>\n<sentence id="1"></sentence></s>', ["train.txt:2", "no words"]),
    "BRAT without annotations": ("brat", "", "Ann ran.", ["train.ann", "missing"]),
    "MAVEN sentence": (
        "maven", "",
        '{"id": "d", "content": [], "events": [{"type": "PER", "mention": [{"sent_id": 4, "offset": [0, 1]}]}]}',
        ["train.txt:1", "sent_id 4"],
    ),
    "MAVEN offset": (
        "maven", "",
        '{"id": "d", "content": [], "events": [{"type": "PER", "mention": [{"sent_id": 0, "offset": [1]}]}]}',
        ["train.txt:1", "two rising"],
    ),
}  # fmt: skip


def refused(result: Result, says: list[str]) -> None:
    """One paragraph, exit code 2, everything it must say, no traceback."""
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    paragraph = result.err.strip().splitlines()[-1]
    assert paragraph.startswith(("harness: ", "Error: "))
    for part in says:
        assert part in paragraph


@pytest.mark.parametrize("name", FILES)
def test_broken_files(name: str, tmp_path: Path, harness: Callable[..., Result]) -> None:
    reader, options, content, says = FILES[name]
    (tmp_path / "mine.toml").write_text(CARD.format(reader=reader, options=options), encoding="utf-8")
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "train.txt").write_bytes(data)
    (tmp_path / "test.txt").write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    card = tmp_path / "mine.toml"
    result = harness("run", "-s", "gazetteer", "-t", card, "--data", tmp_path, "--runs", tmp_path / "runs")
    refused(result, says)
    assert sorted(tmp_path.rglob("*")) == before


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "unknown system": ("run -s gazeter -t lookright", ["gazeter", "Did you mean gazetteer"]),
    "unknown decoder": ("run -s smolm2-unmask-0011 -t lookright", ["smolm2-unmask-0011", "smollm2-unmask-0000"]),
    "decoder without bits": ("run -s smollm2 -t lookright", ["smollm2 is a decoder", "smollm2-unmask-0011"]),
    "encoder with bits": ("run -s minilm-unmask-01 -t lookright", ["no causal mask"]),
    "wrong bits": ("run -s smollm2-unmask-0012 -t lookright", ["'0012'", "smollm2-unmask-0011"]),
    "pattern without match": ("run -s nothing* -t lookright", ["nothing*"]),
    "unknown task": ("run -s gazetteer -t lookrigth", ["lookrigth", "Did you mean lookright"]),
    "unknown key": ("run -s minilm -t lookright --set train.epoch=3", ["train.epoch", "Did you mean train.epochs"]),
    "unknown key for every system": ("run -s gazetteer -t lookright --set lora.r=3", ["lora.r"]),
    "value of wrong type": ("run -s minilm -t lookright --set train.epochs=many", ["train.epochs", '"many"']),
    "value out of range": ("run -s minilm -t lookright --set train.lr=-1", ["train.lr", "-1"]),
    "pair without equals": ("run -s minilm -t lookright --set train.epochs", ["KEY=VALUE", "train.epochs"]),
    "unknown task option": ("run -s gazetteer -t lookright --set options.seeds=3", ["seeds", "Did you mean seed"]),
    "unknown preset": ("run -s minilm -t lookright --preset papr", ["papr", "Did you mean paper"]),
    "unknown policy": ("run -s gazetteer -t lookright --policy lenient", ["lenient", "strict"]),
    "seeds": ("run -s gazetteer -t lookright --seeds many", ["--seeds", "many"]),
    "an empty seed": ("run -s gazetteer -t lookright --seeds 1,,2", ["--seeds", "1,,2"]),
    "a seed twice": ("run -s gazetteer -t lookright --seeds 120,120", ["--seeds", "each once"]),
    "a seed for a number of seeds": ("run -s gazetteer -t lookright --seeds 121", ["121,"]),
    "missing data": ("run -s gazetteer -t ner", ["eng.train", "clips.uantwerpen.be", "NIST", "--data"]),
    "missing data folder": ("run -s gazetteer -t tsa-md --data nowhere", ["--data nowhere is no folder"]),
    "data that nothing reads": (
        "run -s gazetteer -t lookright --data .",
        ["--data .", "'lookright'", "Leave --data out"],
    ),
    "data that nothing reads, checked": ("check -t lookright --data nowhere", ["--data nowhere", "Leave --data out"]),
    "missing weights": ("run -s roberta-base -t lookright", ["FacebookAI/roberta-base", "model.path"]),
    "missing data and weights": (
        "run -s llama2-unmask-0011 -t absa",
        ["Restaurants_Train_v2.xml", "meta-llama/Llama-2-7b-hf"],
    ),
    "missing model folder": (
        "run -s minilm -t lookright --set model.path=/no/such/folder",
        ["/no/such/folder", "does not exist"],
    ),
    "missing predictions": ("run -s file:nowhere.jsonl -t lookright", ["nowhere.jsonl", "does not exist"]),
    "unknown embedded model": ("run -s minilm -t lookright --set model.path=embedded:gpt9", ["gpt9"]),
    "missing card": ("run -s minilm -t nowhere.toml", ["nowhere.toml"]),
    "empty store": ("leaderboard", ["no finished run"]),
    "no such run": ("predict nobody", ["nobody"]),
    "nothing to list": ("ls things", ["things", "tasks"]),
    "nothing to check": ("check", ["--task"]),
    "name for a card": ("new task Bad/Name", ["Bad/Name"]),
    "missing gold": ("score --gold nowhere --pred nowhere", ["nowhere", "cannot be read"]),
    "device": ("run -s minilm -t lookright --set machine.device=gpu", ["machine.device", "'gpu'"]),
    "betas": ("run -s minilm -t lookright --set train.betas=[2,3]", ["train.betas"]),
    "eps": ("run -s minilm -t lookright --set train.eps=-1", ["train.eps"]),
    "unused option of show": ("show lookright --set bogus=1", ["bogus"]),
    "a distance below one": ("run -s gazetteer -t lookright --set options.max_distance=-5", ["max_distance", "-5"]),
    "data for no task": ("check -s gazetteer --data .", ["--data .", "--task NAME"]),
    "limit": ("run -s gazetteer -t lookright --limit 0", ["--limit"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_commands(
    name: str, tmp_path: Path, harness: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    line, says = COMMANDS[name]
    refused(harness(*line.split()), says)
    assert list(tmp_path.rglob("*")) == []


# name: (gold, predictions' file name, predictions, what the message must say)
PAIRS: dict[str, tuple[str, str, str, list[str]]] = {
    "another word": (GOOD, "p.txt", GOOD.replace("ran", "run"), ["p.txt:2", "'run'", "'ran'"]),
    "a word too few": (GOOD, "p.txt", GOOD.replace("sat O\n", ""), ["p.txt:4", "1 words"]),
    "a sentence too few": (GOOD, "p.txt", "Ann O\nran O\n", ["p.txt", "ends after 1"]),
    "a sentence too many": (GOOD, "p.txt", GOOD + "\nx O\n", ["p.txt:7", "too many"]),
    "a tag of no scheme": (GOOD, "p.txt", GOOD.replace("ran O", "ran PER"), ["p.txt:2", "'PER'"]),
    "tags too few": (GOOD, "p.jsonl", '{"tags": ["O"]}\n{"tags": ["O"]}', ["p.jsonl:1", "1 tags for the 2 words"]),
    "predictions too few": (GOOD, "p.jsonl", '{"tags": ["O", "O"]}\n', ["p.jsonl", "1 predictions for 2"]),
    "no prediction": (GOOD, "p.jsonl", '{"x": 1}\n{"x": 1}', ["p.jsonl:1", "no prediction"]),
    "scores in words": (
        GOOD,
        "p.jsonl",
        '{"spans": [[0, 1, "X"]], "scores": ["high"]}\n' * 2,
        ["p.jsonl:1", "no prediction"],
    ),
    "unseen words that are not there": (GOOD, "p.jsonl", '{"spans": [], "unseen": [5]}\n' * 2, ["p.jsonl:1", "unseen"]),
    "a broken span": (GOOD, "p.jsonl", '{"spans": [[0, 1]]}\n{"spans": []}', ["p.jsonl:1", "no prediction"]),
    "an unknown id": (GOOD, "p.jsonl", '{"id": "x", "spans": []}\n', ["p.jsonl:1", "'x'"]),
    "an id twice": (GOOD, "p.jsonl", '{"id": "gold-1", "spans": []}\n' * 2, ["p.jsonl:2", "twice"]),
    "an id left out": (GOOD, "p.jsonl", '{"id": "gold-1", "spans": []}\n', ["p.jsonl", "gold-4"]),
    "some ids": (
        GOOD,
        "p.jsonl",
        '{"id": "gold-4", "spans": []}\n{"spans": []}',
        ["p.jsonl:2", "has no id", "all of them, or none"],
    ),
    "scores without end": (
        GOOD,
        "p.jsonl",
        f'{{"spans": [[0, 1, "X"]], "scores": [1{"0" * 400}]}}\n' * 2,
        ["p.jsonl:1", "too large"],
    ),
    "scores that are none": (
        GOOD,
        "p.jsonl",
        '{"spans": [[0, 1, "X"]], "scores": [NaN]}\n' * 2,
        ["p.jsonl:1", "no finite"],
    ),
    "characters without text": (GOOD, "p.jsonl", '{"spans": [], "unit": "characters"}\n' * 2, ["p.jsonl:1", "no text"]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_predictions_that_do_not_fit(name: str, tmp_path: Path, harness: Callable[..., Result]) -> None:
    gold, file, predictions, says = PAIRS[name]
    (tmp_path / "gold.txt").write_text(gold, encoding="utf-8")
    (tmp_path / file).write_text(predictions, encoding="utf-8")
    refused(harness("score", "--gold", tmp_path / "gold.txt", "--pred", tmp_path / file), says)


def test_predictions_that_do_not_fit_a_task_leave_nothing_behind(
    tmp_path: Path, harness: Callable[..., Result]
) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "x", "spans": []}\n', encoding="utf-8")
    result = harness("run", "-s", f"file:{tmp_path / 'p.jsonl'}", "-t", "lookright", "--runs", tmp_path / "runs")
    refused(result, ["p.jsonl:1", "'x'"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "command", [["run", "-s", "minilm", "-t", "lookright", "--seeds", f"{2**32},"], ["predict", "x" * 300]]
)
def test_what_is_too_long_is_refused(command: list[str], tmp_path: Path, harness: Callable[..., Result]) -> None:
    refused(harness(*command, "--runs", tmp_path), [command[-1]])


def test_a_card_of_your_own_with_a_wrong_key(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "s.toml").write_text('name = "s"\nadapter = "tagger"\nkinds = "encoder"\n', encoding="utf-8")
    refused(harness("check", "-s", tmp_path / "s.toml"), ["kinds", "Did you mean kind"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('adapter = "taggr"\n', ["taggr", "Did you mean tagger"]),
        ('adapter = ":read"\n', [":read"]),
        ('adapter = "prompted"\n[settings.machine]\nkey_variable = "SECRET"\n', ["machine.key_variable"]),
        ('adapter = "tagger"\npreset = "papr"\n', ["papr", "Did you mean paper"]),
        ("", ["'adapter' is missing"]),
    ],
)
def test_what_a_system_card_names_wrongly_is_named_with_its_file(
    content: str, says: list[str], tmp_path: Path, harness: Callable[..., Result]
) -> None:
    (tmp_path / "s.toml").write_text(f'name = "s"\nkind = "encoder"\n{content}', encoding="utf-8")
    refused(harness("check", "-s", tmp_path / "s.toml"), ["s.toml", *says])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('adapter = "json:dumps"\n', ["json:dumps", "no class that derives from System"]),
        ('adapter = "tagger"\nkind = "decoder"\n', ["is a decoder", "s.toml-unmask-0011"]),
    ],
)
def test_a_card_of_no_system_is_refused(
    content: str, says: list[str], tmp_path: Path, harness: Callable[..., Result]
) -> None:
    (tmp_path / "s.toml").write_text(f'name = "s"\n{content}', encoding="utf-8")
    refused(harness("check", "-s", tmp_path / "s.toml"), says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('reader = "colums"\n', ["t.toml", "colums", "Did you mean columns"]),
        ('reader = "lookright"\n[options]\nsed = 3\n', ["options in the card of task 't'", "'sed'", "seed"]),
        ('reader = "lookright"\n[holdout]\ntest = 2\n', ["t.toml", "holdout.test = 2"]),
        ("", ["t.toml", "'reader' is missing"]),
    ],
)
def test_what_a_task_card_says_wrongly_is_named_with_the_card(
    content: str, says: list[str], tmp_path: Path, harness: Callable[..., Result]
) -> None:
    (tmp_path / "t.toml").write_text(f'name = "t"\n{content}', encoding="utf-8")
    refused(harness("check", "-t", tmp_path / "t.toml"), says)


def test_check_names_all_the_weights_that_are_missing(harness: Callable[..., Result]) -> None:
    done = harness("check", "-s", "roberta-base", "-s", "gazetteer", "-s", "mistral-unmask-01")
    assert done.code == 2
    assert done.out.splitlines() == ["roberta-base: not ready", "gazetteer: ready", "mistral-unmask-01: not ready"]
    assert len(done.err.splitlines()) == 1
    assert "FacebookAI/roberta-base" in done.err
    assert "mistralai/Mistral-7B" in done.err


def test_a_broken_card_names_its_line(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "t.toml").write_text('name = "t"\nreader = \n', encoding="utf-8")
    refused(harness("check", "-t", tmp_path / "t.toml"), ["t.toml", "line 2"])


def test_a_record_of_another_schema_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    folder = tmp_path / "runs/t/s/i/seed-1"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"schema": 99}', encoding="utf-8")
    refused(harness("ls", "runs", "--runs", tmp_path / "runs"), ["record.json", "99"])


def test_a_run_among_those_of_another_task_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    runs = tmp_path / "runs"
    assert harness("run", "-s", "gazetteer", "-t", "lookright", "--limit", 20, "--runs", runs).code == 0
    (runs / "lookright").rename(runs / "elsewhere")
    boards = harness("leaderboard", "--runs", runs, "--out", tmp_path / "boards")
    refused(boards, ["elsewhere", "a run of task lookright", "Move"])
    assert not (tmp_path / "boards").exists()


def test_predictions_without_a_path_are_asked_for_it(harness: Callable[..., Result]) -> None:
    refused(harness("run", "-s", "file", "-t", "lookright"), ["file:PATH"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    refused(harness("new", "task", "mine", "--out", tmp_path / "file"), ["cannot be written", "--out"])
    for command in (["run", "-s", "gazetteer", "-t", "lookright"], ["ls", "runs"], ["leaderboard"]):
        refused(harness(*command, "--runs", tmp_path / "file"), ["is a file", "--runs"])


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    refused(harness("ls", "runs", "--runs", tmp_path / ("x" * 300)), ["xxx", "too long"])


def test_what_could_not_be_put_in_its_place_is_not_begun(tmp_path: Path, harness: Callable[..., Result]) -> None:
    command = ("run", "-s", "gazetteer", "-t", "lookright", "--limit", 20, "--runs", tmp_path)
    assert harness(*command).code == 0
    [record] = tmp_path.glob("lookright/*/*/seed-*/record.json")
    record.unlink()
    result = harness(*command)
    assert (result.code, "is no whole run" in result.err, str(record.parent) in result.err) == (2, True, True)
    assert (record.parent / "rows.jsonl").exists()
    shared = Path("/dev/shm")  # of another file system than /tmp, as a rule
    if shared.is_dir() and shared.stat().st_dev != tmp_path.stat().st_dev:
        with TemporaryDirectory(dir=shared) as elsewhere:
            (tmp_path / "lookright").rename(tmp_path / "before")
            (tmp_path / "lookright").symlink_to(elsewhere)
            result = harness(*command)
            assert (result.code, "another file system" in result.err) == (2, True)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    result = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path / "runs")
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert "--runs" in result.err
