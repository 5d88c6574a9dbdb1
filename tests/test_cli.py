"""The command line from end to end: runs, the store, boards, scoring of files, and what it costs to ask for help."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import Result
from harness.system import system_names

HEAVY = ("torch", "transformers", "vllm", "pandas", "datasets", "numpy", "spacy", "pydantic")
SMALL = '{"train": 40, "validation": 12, "test": 30}'
Harness = Callable[..., Result]


def tiny(path: Path, *more: str) -> list[str]:
    """The options that make smollm2 the tiny decoder, quick."""
    pairs = [
        f"model.path={path}", "model.dtype=float32", "lora.r=2", "train.min_updates=0", "train.epochs=2",
        f"options.sizes={SMALL}", *more,
    ]  # fmt: skip
    return [part for pair in pairs for part in ("--set", pair)]


def markdown_board(runs: Path, harness: Harness, task: str = "lookright") -> str:
    """The page that `harness leaderboard` writes of a task."""
    assert harness("leaderboard", "--runs", runs, "--out", runs / "boards", "--no-figures").code == 0
    return (runs / "boards" / f"{task}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "shown", "unneeded"),
    [(["--help"], "leaderboard", HEAVY), (["ls", "systems"], "gazetteer", ["numpy"])],
)
def test_commands_import_nothing_heavy_that_they_do_not_need(
    arguments: list[str], shown: str, unneeded: list[str]
) -> None:
    code = (
        f"import sys; sys.argv = {['harness', *arguments]}\n"
        "from harness.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {unneeded} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown in done.stdout
    assert done.stderr.strip() == "[]"


def test_every_command_explains_itself(harness: Harness) -> None:
    for command in ("run", "leaderboard", "score", "compare", "predict", "ls", "show", "check", "new"):
        result = harness(command, "--help")
        assert result.code == 0
        assert "Usage" in result.out


def test_patterns_stand_for_systems() -> None:
    assert system_names("smollm2-unmask-00??") == [f"smollm2-unmask-00{bits}" for bits in ("00", "01", "10", "11")]
    assert system_names("smollm2-unmask-*")[-1] == "smollm2-unmask-1111"
    assert len(system_names("smollm2-unmask-*")) == 16
    assert system_names("smollm2-?*t") == ["smollm2-0shot", "smollm2-5shot", "smollm2-it"]
    assert system_names("smollm2-12shot") == ["smollm2-12shot"]
    assert set(system_names("roberta-*")) == {"roberta-base", "roberta-large"}
    assert system_names("smollm2-unmask-010101") == ["smollm2-unmask-010101"]


@pytest.fixture(scope="module")
def grid(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a few quick runs, weights included."""
    runs = tmp_path_factory.mktemp("store") / "runs"
    command = ["run", "-s", "gazetteer", "-s", "smollm2-unmask-0?", "-t", "lookright", "--seeds", "2", "--save"]
    _process(*command, "--runs", str(runs), *tiny(tiny_decoder))
    return runs


def test_seeds_that_change_nothing_are_said_to(tmp_path: Path) -> None:
    command = ["run", "-s", "gazetteer", "-t", "lookright", "--limit", "20", "--runs", str(tmp_path)]
    assert "gazetteer: every seed gives the same" in _process(*command, "--seeds", "2").stderr
    assert "every seed" not in _process(*command).stderr


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=True)


def records(runs: Path) -> dict[str, dict[str, Any]]:
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*/*/*/*/record.json")))
    return {f"{record['system']} {record['seed']}": record for record in found}


def test_a_grid_runs_every_system_and_seed_and_leaves_nothing_behind(grid: Path) -> None:
    assert set(records(grid)) == {
        "gazetteer 120", "smollm2-unmask-00 120", "smollm2-unmask-00 121", "smollm2-unmask-01 120", "smollm2-unmask-01 121",
    }  # fmt: skip
    assert not [path for path in (grid / ".work").rglob("*") if path.is_file()]
    assert {path.suffix for path in grid.rglob("*") if path.is_file()} == {
        ".json", ".jsonl", ".npy", ".safetensors", ".lock",
    }  # fmt: skip


def test_a_record_holds_what_is_needed_to_know_the_run(grid: Path) -> None:
    record = records(grid)["smollm2-unmask-01 120"]
    assert record["settings"]["unmask"] == "01"
    assert record["settings"]["lora"]["r"] == 2
    assert record["overrides"]["lora.r"] == 2
    assert record["scores"]["test"]["signature"].startswith("span-f1|strict|IOB2|micro|test|gold:")
    assert record["scores"]["test"]["coverage"] == 100.0
    assert record["cost"]["trained_parameters"] > 0
    assert record["cost"]["memory_mib"] > 0
    assert record["environment"]["packages"]["torch"]
    assert record["environment"]["processor"]
    assert record["data"]["test"]["sentences"] == 30


def test_predictions_of_a_run_are_a_system_of_their_own(grid: Path, tmp_path: Path, harness: Harness) -> None:
    for path in grid.glob("*/*/*/seed-120/predictions.jsonl"):
        original = json.loads(path.with_name("record.json").read_text(encoding="utf-8"))["scores"]["test"]
        result = harness(
            "run",
            "-s",
            f"file:{path}",
            "-t",
            "lookright",
            "--runs",
            tmp_path,
            "--set",
            f"options.sizes={SMALL}",
            "--json",
        )
        again = json.loads(result.out)[0]["scores"]["test"]
        assert again == original


def test_the_same_command_again_runs_nothing(grid: Path, tiny_decoder: Path, harness: Harness) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in grid.rglob("*") if path.is_file() and ".locks" not in path.parts
    }
    result = harness(
        "run", "-s", "smollm2-unmask-0?", "-t", "lookright", "--seeds", "2", "--runs", grid, *tiny(tiny_decoder)
    )
    assert result.code == 0
    assert result.err.count("already in the store") == 4
    after = {path: path.stat().st_mtime_ns for path in grid.rglob("*") if path.is_file() and ".locks" not in path.parts}
    assert after == before


def test_what_changes_a_result_is_another_run_and_what_does_not_is_not(tmp_path: Path, harness: Harness) -> None:
    def identity(*more: str) -> str:
        options = ["--set", f"options.sizes={SMALL}", *more]
        result = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path, "--json", *options)
        return str(json.loads(result.out)[0]["identity"])

    plain = identity()
    assert identity() == plain
    others = [("--set", "min_share=0.9"), ("--set", "options.seed=8"), ("--limit", "9"), ("--policy", "discard")]
    assert len({plain, *(identity(*other) for other in others)}) == 5


def test_settings_of_the_machine_are_no_part_of_a_runs_identity(
    grid: Path, tiny_decoder: Path, harness: Harness
) -> None:
    options = tiny(tiny_decoder, "machine.checkpoint_minutes=3")
    result = harness("run", "-s", "smollm2-unmask-00", "-t", "lookright", "--runs", grid, *options)
    assert "already in the store" in result.err


def test_a_failed_run_does_not_stop_the_others(tiny_decoder: Path, tmp_path: Path, harness: Harness) -> None:
    systems = ["-s", "smollm2-unmask-01", "-s", "gazetteer"]
    options = tiny(tiny_decoder, 'lora.targets=["no_such_module"]')
    result = harness("run", *systems, "-t", "lookright", "--runs", tmp_path, *options)
    assert result.code == 1
    assert "no_such_module" in result.err
    assert "Traceback" not in result.err
    assert list(records(tmp_path)) == ["gazetteer 120"]


def test_what_cannot_run_is_refused_before_anything_does(tiny_decoder: Path, tmp_path: Path, harness: Harness) -> None:
    systems = ["-s", "gazetteer", "-s", "smollm2-unmask-00000"]
    result = harness("run", *systems, "-t", "lookright", "--runs", tmp_path / "runs", *tiny(tiny_decoder))
    assert result.code == 2
    assert "only 4 blocks" in result.err
    assert not (tmp_path / "runs").exists()


def test_a_limit_that_leaves_nothing_out_is_no_limit(tmp_path: Path, harness: Harness) -> None:
    for limit in (["--limit", "5000"], []):
        result = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path, "--json", *limit)
        assert json.loads(result.out)[0]["limit"] is None
    assert "already in the store" in result.err


def test_a_broken_run_of_another_system_stops_no_run(tmp_path: Path, harness: Harness) -> None:
    broken = tmp_path / "lookright/another/0123/seed-120/record.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{", encoding="utf-8")
    made = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path)
    assert (made.code, "gazetteer" in made.out) == (0, True), made.err
    assert harness("leaderboard", "--runs", tmp_path, "--out", tmp_path / "boards").code == 2


def test_other_training_data_is_told_apart_on_the_board(tmp_path: Path, harness: Harness) -> None:
    for size in (100, 200):
        harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path, "--set", f"options.sizes.train={size}")
    board = markdown_board(tmp_path, harness)
    assert board.count("\n## `span-f1") == 1
    assert "sizes.train=100)" in board
    assert "sizes.train=200)" in board


def test_presets_that_nobody_takes_are_refused_and_those_asked_for_are_named(harness: Harness) -> None:
    assert "none of these systems" in harness("run", "-s", "gazetteer", "-t", "lookright", "--preset", "paper").err
    assert json.loads(harness("show", "minilm", "--preset", "full", "--json").out)["asked_preset"] == "full"


def test_code_of_a_model_runs_only_when_the_user_asks_for_it(tmp_path: Path, harness: Harness) -> None:
    card = (
        'name = "x"\nadapter = "tagger"\nkind = "encoder"\n[settings.model]\npath = "a/b"\ntrust_remote_code = true\n'
    )
    (tmp_path / "x.toml").write_text(card, encoding="utf-8")
    result = harness("check", "-s", tmp_path / "x.toml")
    assert result.code == 2
    assert "say --set model.trust_remote_code=" in result.err


def test_boards_are_rebuilt_from_the_store_alone_whoever_draws_their_figures(
    grid: Path, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert harness("leaderboard", "--runs", grid, "--out", tmp_path / "a").code == 0
    asked = []

    class Counted(ProcessPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Any:
            asked.append(arguments)
            return super().submit(*arguments, **options)

    monkeypatch.setattr("harness.pages.artist.ProcessPoolExecutor", Counted)
    monkeypatch.setattr("harness.pages.artist.RUNS_WORTH_A_PROCESS", 1)
    monkeypatch.setattr("harness.pages.artist.usable_cores", lambda: [0, 1])
    assert harness("leaderboard", "--runs", grid, "--out", tmp_path / "b").code == 0
    assert len(asked) > 1  # figures, too
    written = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".md", ".html", ".csv", ".json", ".tex", ".bib", ".svg", ".png"}
    for path in written:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    board = (tmp_path / "a/lookright.md").read_text(encoding="utf-8")
    assert "F1 left cue" in board
    assert "±" in board
    listed = json.loads(harness("leaderboard", "--runs", grid, "--out", tmp_path / "c", "--json").out)
    (rows,) = listed["lookright"].values()
    assert {row["system"].split()[0] for row in rows} == {"gazetteer", "smollm2-unmask-00", "smollm2-unmask-01"}


def test_tasks_whose_names_make_one_folder_have_boards_of_their_own(tmp_path: Path, harness: Harness) -> None:
    card = Path("tasks/cards/lookright.toml").read_text(encoding="utf-8")
    for name, file in (("_reviews", "a"), ("reviews", "b")):
        (tmp_path / f"{file}.toml").write_text(card.replace('"lookright"', f'"{name}"', 1), encoding="utf-8")
        harness("run", "-s", "gazetteer", "-t", tmp_path / f"{file}.toml", "--limit", 20, "--runs", tmp_path / "runs")
    listed = json.loads(harness("leaderboard", "--runs", tmp_path / "runs", "--out", tmp_path, "--json").out)
    assert list(listed) == ["_reviews", "reviews"]
    assert [len(lines) for boards in listed.values() for lines in boards.values()] == [1, 1]


def test_limited_runs_stand_apart_on_the_board(tmp_path: Path, harness: Harness) -> None:
    for limit in ([], ["--limit", "10"]):
        harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path, *limit)
    board = markdown_board(tmp_path, harness)
    assert board.count("\n## `span-f1") == 2
    assert "Only 10 sentences of each split." in board


def test_the_oracle_scores_100_and_is_marked(tmp_path: Path, harness: Harness) -> None:
    for scheme in ("IOB1", "IOB2", "BIOES", "BILOU", "BMEWO"):
        result = harness(
            "run",
            "-s",
            "oracle",
            "-t",
            "lookright",
            "--set",
            f"scheme={scheme}",
            "--runs",
            tmp_path,
            "--limit",
            "50",
            "--json",
        )
        assert json.loads(result.out)[0]["scores"]["test"]["f1"] == 100.0
    assert markdown_board(tmp_path, harness).count("(sees the gold)") == 5


def test_predict_gives_what_the_run_predicted(grid: Path, tmp_path: Path, harness: Harness) -> None:
    folder = next(grid.glob("lookright/smollm2-unmask-01/*/seed-121"))
    stored = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    stored = [line for line in stored if line["split"] == "test"]
    from harness.dataset import load_dataset
    from harness.task import task_card

    data = load_dataset(task_card("lookright", {"options.sizes": json.loads(SMALL)}))
    sentences = [labeled.sentence for labeled in data.splits["test"].sentences]
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(sentence.words) for sentence in sentences), encoding="utf-8")
    result = harness("predict", folder, text, "--words")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [[[s["start"], s["end"], s["label"]] for s in line["spans"]] for line in found] == [
        line["spans"] for line in stored
    ]


def test_a_run_made_on_a_gpu_predicts_without_one(grid: Path, tmp_path: Path, harness: Harness) -> None:
    folder = tmp_path / "run"
    shutil.copytree(next(grid.glob("lookright/smollm2-unmask-01/*/seed-121")), folder)
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["settings"]["machine"] |= {"device": "cuda:7", "gpus": 2}
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "text.txt").write_text("We loved the squid.\n", encoding="utf-8")
    assert harness("predict", folder, tmp_path / "text.txt").code == 0


def test_code_of_a_stored_run_s_model_is_not_run(grid: Path, tmp_path: Path, harness: Harness) -> None:
    folder = tmp_path / "run"
    shutil.copytree(next(grid.glob("lookright/smollm2-unmask-01/*/seed-121")), folder)
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["settings"]["model"]["trust_remote_code"] = True
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "text.txt").write_text("We loved the squid.\n", encoding="utf-8")
    result = harness("predict", folder, tmp_path / "text.txt")
    assert (result.code, "--trust-remote-code" in result.err) == (2, True)


def test_predict_tokenizes_raw_text(grid: Path, tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "text.txt").write_text("We loved the squid's sauce.\n\n\U0001f600 ok\n", encoding="utf-8")
    result = harness("predict", "smollm2-unmask-01/", tmp_path / "text.txt", "--runs", grid)
    assert result.code == 2  # two seeds
    result = harness("predict", next(grid.glob("lookright/smollm2-unmask-01/*/seed-120")), tmp_path / "text.txt")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["words"] for line in lines] == [
        ["We", "loved", "the", "squid", "'s", "sauce", "."],
        ["\U0001f600", "ok"],
    ]


def test_show_resolves_cards_with_overrides(harness: Harness) -> None:
    shown = json.loads(harness("show", "llama2-unmask-0011", "--set", "lora.r=8", "--json").out)
    assert shown["settings"]["lora"] == {"r": 8, "alpha": 16, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}
    assert shown["settings"]["model"]["quantization"] == "nf4"
    assert shown["settings"]["train"]["optimizer"] == "adamw-8bit"
    assert "labels" in harness("show", "ner").out


def test_a_preset_asked_for_outranks_the_card(harness: Harness) -> None:
    shown = json.loads(harness("show", "minilm", "--preset", "paper", "--json").out)["settings"]
    assert (shown["train"]["lr"], shown["model"]["path"], shown["lora"]["r"]) == (2e-4, "embedded:minilm", 64)


def test_ls_lists_what_there_is(grid: Path, harness: Harness) -> None:
    assert "smollm2-unmask-<bits>" in harness("ls", "systems").out
    assert "lookright" in harness("ls", "tasks").out
    runs = json.loads(harness("ls", "runs", "--runs", grid, "--json").out)
    assert len(runs) == 5
    assert json.loads(harness("show", runs[0]["run"], "--runs", grid, "--json").out)["task"] == "lookright"
    identity = runs[0]["run"].split("/")[2]
    assert json.loads(harness("show", identity, "--runs", grid, "--json").out)["identity"] == identity


def test_hostile_names_are_text_on_the_board(tmp_path: Path, harness: Harness) -> None:
    hostile = "<script>alert(1)</script> | `x` [a](b) *b* & \u202e"
    card = f'name = "mine"\nreader = "spans-json"\ndescription = {json.dumps(hostile)}\n'
    card += (
        '[files]\ntrain = ["t.jsonl"]\ntest = ["t.jsonl"]\n[holdout]\nvalidation = 0.5\n[options]\nwords = "words"\n'
    )
    (tmp_path / "mine.toml").write_text(card, encoding="utf-8")
    item = {"words": ["Ann", hostile], "spans": [{"start": 0, "end": 1, "label": hostile}]}
    (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(item)] * 2), encoding="utf-8")
    result = harness(
        "run", "-s", "gazetteer", "-t", tmp_path / "mine.toml", "--data", tmp_path, "--runs", tmp_path / "runs"
    )
    assert result.code == 0, result.err
    board = markdown_board(tmp_path / "runs", harness, "mine")
    assert re.search(r"(?<!\\)[<>`*]script|(?<!\\)<", board.replace("`span-f1", "span-f1")) is None
    for table in re.findall(r"(?:^\|.*\n)+", board, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
