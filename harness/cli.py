"""The command line. Nothing heavy is imported here: each command's body imports its work.

Exit codes: 0 done, 1 some runs of a grid failed, 2 something the user can mend, 130 interrupted.
"""

from __future__ import annotations

import atexit
import codecs
import errno
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.errors import UserError, refuse
from harness.version import VERSION

app = typer.Typer(
    name="harness",
    help="Train or prompt a system on a labeling task, score it under one protocol, put it on a board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
new_app = typer.Typer(help="Write a card to start from.", no_args_is_help=True)
app.add_typer(new_app, name="new")

Data = Annotated[Path | None, typer.Option("--data", help="The folder with the task's files.")]
Runs = Annotated[Path, typer.Option("--runs", help="The store of runs.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for any key of a card, as in lora.r=16.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many sentences of each split.")]
Preset = Annotated[str, typer.Option("--preset", help="paper, small or full.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Policy = Annotated[
    str, typer.Option("--policy", help="What becomes of invalid tag sequences: strict, conlleval, discard.")
]
Separator = Literal["white-space", "tab", "space"]
RUNS = Path("runs")
INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(VERSION)
        raise typer.Exit


@app.command()
def run(
    study: Annotated[Path | None, typer.Argument(help="A study file; or --system and --task.")] = None,
    system: Annotated[
        list[str] | None,
        typer.Option("--system", "-s", help="A system, or a shell pattern in quotes. May be repeated."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="A task, or a shell pattern in quotes. May be repeated.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="A number of seeds from 120 on, or a list such as 120,121. One by default.")
    ] = "",
    preset: Preset = "",
    set: Set = None,
    data: Data = None,
    limit: Limit = None,
    runs: Runs = RUNS,
    policy: Policy = "strict",
    save: Annotated[bool, typer.Option("--save", help="Keep the trained weights, for harness predict.")] = False,
    on: Annotated[str, typer.Option("--on", help="Where: local, ray[:ADDRESS] or slurm[:PARTITION].")] = "local",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="How many at once; 0: as many as the machine holds.")
    ] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    json: Json = False,
) -> None:
    """Run every system on every task with every seed, or a study, unless the store has it already."""
    from harness.commands.run import RunOptions, run_grid
    from harness.grid import Request
    from harness.settings import parse_overrides
    from harness.study import requests_for

    asked = Request(system or [], task or [], seeds, preset, parse_overrides(set or []), limit, policy, save)
    raise typer.Exit(run_grid(requests_for(study, asked), RunOptions(data, runs, on, jobs, retry_failed, json)))


@app.command()
def leaderboard(
    task: Annotated[list[str] | None, typer.Option("--task", "-t", help="Only this task. May be repeated.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path("leaderboards"),
    runs: Runs = RUNS,
    figures: Annotated[bool, typer.Option(help="Draw the figures.")] = True,
    run_pages: Annotated[bool, typer.Option("--run-pages", help="Write a page for each run, too.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Write a board for each task in the store: markdown, HTML, csv, json, LaTeX and figures."""
    from harness.commands.leaderboard import BoardOptions, write_boards

    write_boards(BoardOptions(runs, task or [], out, figures, run_pages, data, json))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A system, as its board names it, or its identity.")],
    second: Annotated[str, typer.Argument(help="The system to compare it with.")],
    task: Annotated[str, typer.Option("--task", "-t", help="The task.")],
    data: Data = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Test whether two systems differ on a task, and show where: paired, over the stored rows of both."""
    from harness.commands.compare import compare as compare_systems

    compare_systems(runs, (first, second), task, data, json)


@app.command()
def score(
    gold: Annotated[Path, typer.Option("--gold", help="Gold: a column file, or JSON with words and spans.")],
    pred: Annotated[
        Path, typer.Option("--pred", help="Predictions: a column file or JSON, in the gold's order or by id.")
    ],
    gold_scheme: Annotated[str, typer.Option(help="The tag scheme of the gold.")] = "IOB2",
    pred_scheme: Annotated[str, typer.Option(help="The tag scheme of the predictions.")] = "IOB2",
    gold_column: Annotated[int, typer.Option(help="The gold's tag column, from 0; negative from the right.")] = -1,
    pred_column: Annotated[int, typer.Option(help="The predictions' tag column.")] = -1,
    separator: Annotated[Separator, typer.Option(help="What stands between columns.")] = "white-space",
    comment: Annotated[str, typer.Option(help="What comment lines begin with, in column files.")] = "",
    policy: Policy = "strict",
    panel: Annotated[bool, typer.Option("--panel", help="By every scorer in use, side by side.")] = False,
    json: Json = False,
) -> None:
    """Score any predictions file against any gold file."""
    from harness.commands.score import ScoreOptions, score_files

    schemes, columns = (gold_scheme, pred_scheme), (gold_column, pred_column)
    score_files(ScoreOptions(gold, pred, *schemes, *columns, separator, comment, policy, json, panel))


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A stored run with weights: its path, or a part of it.")],
    file: Annotated[Path | None, typer.Argument(help="A sentence a line; standard input by default.")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Lines are words separated by spaces; do not tokenize.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code of the model's, where the run was made with it.")
    ] = False,
    runs: Runs = RUNS,
) -> None:
    """Label new text with a stored model: a JSON object a line."""
    from harness.commands.predict import predict_lines

    predict_lines(runs, run, file, words, trust)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A stored run: its path, or a part of it.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")],
    runs: Runs = RUNS,
) -> None:
    """Write a stored run as a folder for a model hub: card with results, bibliography, record, weights."""
    from harness.commands.export import export_run

    export_run(runs, run, out)


@app.command()
def ls(
    what: Annotated[str, typer.Argument(help="systems, tasks or runs.")],
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """List what there is."""
    from harness.commands.show import list_things

    list_things(what, runs, json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A system, a task, a run of the store, or the word prompt.")],
    system: Annotated[str, typer.Option("--system", "-s", help="prompt: the system that asks.")] = "",
    task: Annotated[str, typer.Option("--task", "-t", help="prompt: the task.")] = "",
    index: Annotated[int, typer.Option(min=0, help="prompt: the number of the test sentence, from 0.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="prompt: the seed that draws its examples.")] = 120,
    data: Data = None,
    limit: Limit = None,
    runs: Runs = RUNS,
    preset: Preset = "",
    set: Set = None,
    json: Json = False,
) -> None:
    """Show a card with everything resolved, the record of a run, or the prompt that a system asks of a sentence."""
    if name == "prompt":
        from harness.commands.prompt import PromptOptions, show_prompt

        show_prompt(PromptOptions(system, task, index, seed, preset, set or [], data, limit, json))
        return
    from harness.commands.show import show_thing

    show_thing(name, runs, preset, set or [], json)


@app.command()
def check(
    task: Annotated[list[str] | None, typer.Option("--task", "-t", help="A task or pattern. May be repeated.")] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", "-s", help="A system or pattern. May be repeated.")
    ] = None,
    set: Set = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Read a task's data and say what is in it; say whether a system could run here."""
    from harness.commands.check import check_all

    raise typer.Exit(check_all(task or [], system or [], set or [], data, json))


@new_app.command("task")
def new_task(name: str, out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path()) -> None:
    """Write a task card to start from."""
    from harness.commands.new import write_card

    write_card("task", name, out)


@new_app.command("system")
def new_system(name: str, out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path()) -> None:
    """Write a system card to start from."""
    from harness.commands.new import write_card

    write_card("system", name, out)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream does not have: escapes as JSON has them."""
    import json

    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _flush() -> None:
    """Write what was printed, unless nobody reads on, as behind `| head`."""
    try:
        print(end="", flush=True)  # to nowhere, where there is no output
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries once more at its end
        if not isinstance(error, BrokenPipeError):
            raise


def command() -> None:
    """The entry point of a process of its own: `main`, and an end that does not take every module apart first."""
    code = 1  # of what nobody catches
    atexit.register(lambda: os._exit(code))  # the first one is called last
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else bool(stop.code)
        raise


def main() -> None:
    """Do what was asked: user errors become one paragraph and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("json", _escaped)
        sys.stdout.reconfigure(errors="json")
    try:
        try:
            app()
        finally:
            _flush()
    except UserError as error:
        refuse(error)
    except OSError as error:  # of a file that is the user's to mend; those that can be foreseen say more
        if error.filename is None and error.errno not in _FULL:
            raise
        refuse(UserError(f"{error.filename or 'What was being written is not whole'}: {error.strerror}."))
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer's answer to Ctrl-C
            print("harness: interrupted; the same command goes on from here.", file=sys.stderr)
        if isinstance(stop.__context__, BrokenPipeError):  # nobody reads on, as behind `| head`
            sys.exit(0)
        raise
