"""Study files: what they say is what runs, and what they should not say is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result
from harness.grid import Place, Request, jobs_of, seeds_of
from harness.study import requests_for
from harness.system import resolve_system, system_names
from harness.task import task_card

Harness = Callable[..., Result]
STUDIES = Path(__file__).parents[1] / "studies"


def test_the_papers_study_is_the_papers_grid() -> None:
    runs = [
        (system, task, seed, one.set.get("train.epochs"))
        for one in requests_for(STUDIES / "paper.toml", Request([], []))
        for pattern in one.systems
        for system in system_names(pattern)
        for task in one.tasks
        for seed in seeds_of(one.seeds)
    ]
    assert len(set(runs)) == len(runs)
    assert sum("-unmask-" in system for system, *_ in runs) == 640
    assert sum(system.endswith("-it") for system, *_ in runs) == 40
    assert {epochs for system, task, _, epochs in runs if (system, task) == ("llama2-it", "absa")} == {10}
    assert {seed for _, _, seed, _ in runs} == {120, 121, 122, 123, 124}


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_system_and_task_of_a_shipped_study_can_be_made(path: Path) -> None:
    for one in requests_for(path, Request([], [])):
        for pattern in one.systems:
            for system in system_names(pattern):
                assert resolve_system(system, one.preset, one.set).settings
        assert all(task_card(task).reader for task in one.tasks)


def test_a_study_runs_once_and_its_part_alone(tmp_path: Path, harness: Harness) -> None:
    study = tmp_path / "mine.toml"
    study.write_text(
        'name = "mine"\n[[runs]]\nsystems = ["gazetteer", "oracle"]\ntasks = ["lookright"]\n'
        '[[runs]]\nsystems = ["gazetteer"]\ntasks = ["lookright"]\nlimit = 20\nset = { lowercase = true }\n',
        encoding="utf-8",
    )
    part = harness("run", study, "-s", "orac*", "--runs", tmp_path / "runs")
    assert part.code == 0 and part.err.count("new)") == 1 and "oracle" in part.out
    rest = harness("run", study, "--runs", tmp_path / "runs")
    assert rest.code == 0 and rest.err.count("new)") == 2 and rest.err.count("already in the store") == 1
    assert "gazetteer (lowercase=True)" in rest.out and "|limit:20|" in rest.out


def test_jobs_that_two_grids_ask_for_are_done_once(tmp_path: Path) -> None:
    request = Request(["gazetteer"], ["lookright"])
    assert len(jobs_of([request, request], Place(None, tmp_path))) == 1


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ('name = "x"\n', [], "the key 'runs' is missing"),
        ('name = "x"\nruns = []\n', [], "runs"),
        ('name = "x"\n[[runs]]\nsystems = []\ntasks = ["ner"]\n', [], "systems"),
        ('name = "x"\n[[runs]]\nsystem = ["gazetteer"]\ntasks = ["ner"]\n', [], "Unknown key of the study"),
        ('name = "x"\n[[runs]]\nsystems = ["gazeteer"]\ntasks = ["lookright"]\n', [], "Did you mean gazetteer"),
        ('name = "x"\n[[runs]\n', [], "mine.toml:2: broken TOML"),
        ('name = "x"\n[[runs]]\nsystems = ["minilm"]\ntasks = ["lookright"]\nseeds = []\n', [], "seeds"),
        (
            'name = "x"\n[[runs]]\nsystems = ["minilm"]\ntasks = ["lookright"]\n'
            "[runs.set.model]\ntrust_remote_code = true\n",
            [],
            "a study cannot set model.trust_remote_code",
        ),
        (
            'name = "x"\n[[runs]]\nsystems = ["gazetteer"]\ntasks = ["lookright"]\n',
            ["-s", "minilm"],
            "no run of minilm",
        ),
        ('name = "x"\n[[runs]]\nsystems = ["gazetteer"]\ntasks = ["lookright"]\n', ["--limit", "3"], "decides --limit"),
        (
            'name = "x"\n[[runs]]\nsystems = ["minilm"]\ntasks = ["lookright"]\n',
            ["--set", "machine.compil=on"],
            "Did you mean machine.compile",
        ),
    ],
)
def test_what_a_study_should_not_say(
    text: str, options: list[str], said: str, tmp_path: Path, harness: Harness
) -> None:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    result = harness("run", tmp_path / "mine.toml", *options, "--runs", tmp_path / "runs")
    assert result.code == 2
    assert said in result.err and result.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
