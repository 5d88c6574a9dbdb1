"""A grid gives the same store wherever its runs are carried out, and whatever dies meanwhile."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Result
from harness.contracts import QUICK
from harness.executors import slurm as slurm_executor
from harness.executors.local import _share, _side_by_side
from harness.executors.slurm import Slurm
from harness.grid import Place, Request, jobs_of
from harness.job import Events, Job, Outcome, Started
from harness.registry import EXECUTORS
from harness.store import RunKey, Store
from test_cli import tiny
from test_crash import results

Harness = Callable[..., Result]
GRID = ["run", "-s", "oracle", "-s", "gazetteer", "-s", "smollm2-unmask-?1", "-t", "lookright", "--seeds", "2"]


@pytest.fixture(scope="module")
def whole(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the grid, carried out in one process."""
    from harness.cli import main

    runs = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["harness", *GRID, "--jobs", "1", "--runs", str(runs), *tiny(tiny_decoder)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert not stop.value.code
    return runs


def board(runs: Path, out: Path, harness: Harness) -> dict[str, bytes]:
    """What `harness leaderboard` writes of a store, with all that clocks and gauges say made the same."""
    for path in runs.glob("*/*/*/*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name in ("fit_seconds", "load_seconds", "predict_seconds", "sentences_per_second", "memory_mib"):
            record["cost"][name] = 1.0
        record["started"] = record["finished"] = "2026-01-01T00:00:00+00:00"
        record["environment"] = {}
        path.write_text(json.dumps(record), encoding="utf-8")
    assert harness("leaderboard", "--runs", runs, "--out", out).code == 0
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def alike(found: dict[str, Any]) -> dict[str, Any]:
    """Results but for the number of cores, which a worker has fewer of."""
    for run in found.values():
        del run["record"]["environment"]["cores"]
    return found


def test_processes_side_by_side_give_the_same_store(
    whole: Path, tiny_decoder: Path, tmp_path: Path, harness: Harness
) -> None:
    result = harness(*GRID, "--jobs", 2, "--runs", tmp_path / "runs", *tiny(tiny_decoder))
    assert result.code == 0, result.err
    assert result.err.count("new)") == 6
    assert alike(results(tmp_path / "runs")) == alike(results(whole))


def test_a_run_that_another_grid_has_under_way_is_left_for_last(tmp_path: Path) -> None:
    requests = [Request(["gazetteer"], ["lookright"], set={"min_share": share / 10}) for share in range(3)]
    jobs = jobs_of(requests, Place(None, tmp_path))
    elsewhere = Store(tmp_path).held(jobs[0].key)
    ended = []
    for event in _side_by_side(jobs, 1):
        if isinstance(event, Outcome):
            ended.append(event.key)
            if len(ended) == len(jobs) - 1:
                elsewhere.lock.release()
    assert ended == [job.key for job in [*jobs[1:], jobs[0]]]


def test_a_lock_that_cannot_be_opened_is_said_to_be_the_store_s(tmp_path: Path, harness: Harness) -> None:
    jobs = jobs_of([Request(["gazetteer"], ["lookright"])], Place(None, tmp_path))
    for job in jobs:
        (tmp_path / ".locks" / ("--".join(job.key.path.parts) + ".lock")).mkdir(parents=True)
    said = f"The store {tmp_path} cannot be written (Is a directory); --runs DIR names another."
    assert [event.error for event in _side_by_side(jobs, 1) if isinstance(event, Outcome)] == [said]
    result = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path)
    assert (result.code, said in result.err) == (2, True)


def test_gpus_are_shared_where_there_are_fewer_than_processes() -> None:
    assert [_share(["0", "1"], number, 4) for number in range(4)] == [["0"], ["1"], ["0"], ["1"]]
    assert [_share(["0", "1", "2"], number, 2) for number in range(2)] == [["0", "2"], ["1"]]
    assert _share([], 0, 2) == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "memory": 8 * 2**30, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node)
    yield found
    found.shutdown()


def test_two_nodes_of_ray_give_the_same_board(
    cluster: Any, whole: Path, tiny_decoder: Path, tmp_path: Path, harness: Harness
) -> None:
    cluster.add_node(num_cpus=1, memory=8 * 2**30, object_store_memory=100 * 2**20)
    runs = tmp_path / "runs"
    result = harness(*GRID, "--on", f"ray:{cluster.address}", "--runs", runs, *tiny(tiny_decoder))
    assert result.code == 0, result.err
    assert board(runs, tmp_path / "a", harness) == board(whole, tmp_path / "b", harness)


def test_a_node_killed_in_the_middle_costs_no_run(
    cluster: Any, tiny_decoder: Path, tmp_path: Path, harness: Harness
) -> None:
    node = cluster.add_node(num_cpus=1, memory=8 * 2**30, object_store_memory=100 * 2**20)
    runs = tmp_path / "runs"
    killed = []

    def kill() -> None:
        """Kill the second node when two runs are under way, one of them there."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            if len(list(runs.glob(".work/*/*/*/*/checkpoint-*"))) > 1:
                cluster.remove_node(node, allow_graceful=False)
                killed.append(node)
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=kill)
    watcher.start()
    options = tiny(tiny_decoder, "train.epochs=16", "machine.checkpoint_minutes=0.0001")
    result = harness(*GRID, "--on", f"ray:{cluster.address}", "--runs", runs, *options)
    watcher.join()
    assert killed, "the grid ended before a node could be killed"
    assert result.code == 0, result.err
    assert len(Store(runs).folders()) == 6


@pytest.fixture
def stranger(cluster: Any, tmp_path: Path) -> Iterator[Path]:
    """A store that a node of the cluster does not see: another file system lies over its folder there."""
    runs = tmp_path / "runs"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(runs)]
    if not shutil.which("unshare") or subprocess.run(["unshare", "--mount", *mount], capture_output=True).returncode:
        pytest.skip("a folder can be hidden from a process by root on Linux only")
    start = [str(Path(sys.executable).with_name("ray")), "start", "--address", cluster.address, "--block"]
    start += ["--num-cpus", "1", "--memory", str(8 * 2**30), "--object-store-memory", str(10**8)]
    both = f"{shlex.join(mount)} && exec {shlex.join(start)}"
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", both], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout and any("Ray runtime started" in line for line in node.stdout)
        yield runs
        node.terminate()


def test_a_node_that_does_not_share_the_store_sends_its_runs(
    stranger: Path, whole: Path, tiny_decoder: Path, tmp_path: Path, cluster: Any, harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taken: list[RunKey] = []
    take = Store.take

    def seen(store: Store, key: RunKey, files: Any) -> None:
        taken.append(key)
        take(store, key, files)

    monkeypatch.setattr(Store, "take", seen)
    result = harness(*GRID, "--on", f"ray:{cluster.address}", "--runs", stranger, *tiny(tiny_decoder))
    assert result.code == 0, result.err
    assert taken
    assert board(stranger, tmp_path / "a", harness) == board(whole, tmp_path / "b", harness)


def test_runs_come_back_from_where_the_store_is_not(tmp_path: Path, harness: Harness) -> None:
    """work_elsewhere sends files where the mark is another; Store.take puts them in."""
    from harness.executors.elsewhere import work_elsewhere
    from harness.grid import Place, Request, jobs_of

    [job] = jobs_of([Request(["gazetteer"], ["lookright"])], Place(None, tmp_path / "here"))
    outcome = work_elsewhere(job, "another store")
    assert not outcome.error and not (tmp_path / "here").exists()
    Store(tmp_path / "here").take(job.key, outcome.files)
    assert harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path / "there").code == 0
    assert results(tmp_path / "here") == results(tmp_path / "there")


class HereSlurm(Slurm):
    """Slurm's executor on submitit's own processes."""

    cluster = "local"


def test_submitit_gives_the_same_board(
    whole: Path, tiny_decoder: Path, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "slurm", f"{__name__}:HereSlurm")
    runs = tmp_path / "runs"
    result = harness(*GRID, "--on", "slurm:cpu", "--runs", runs, *tiny(tiny_decoder))
    assert result.code == 0, result.err
    assert board(runs, tmp_path / "a", harness) == board(whole, tmp_path / "b", harness)


class StoppedSlurm(HereSlurm):
    """The first job is told that it will be stopped, once its run has a checkpoint."""

    def _watched(self, under_way: dict[Any, Job]) -> Events:
        handle, job = next(iter(under_way.items()))
        while not list(Path(job.runs).glob(".work/*/*/*/*/checkpoint-*")):
            assert not handle.done(), "the run ended before it could be stopped"
            time.sleep(0.05)
        psutil.Process(int(handle.job_id)).children()[0].send_signal(signal.SIGUSR2)
        yield from super()._watched(under_way)
        assert "Requeued job" in handle.stdout()


def test_a_job_that_slurm_stops_is_queued_again_and_goes_on(
    tiny_decoder: Path, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "slurm", f"{__name__}:StoppedSlurm")
    grid = ["run", "-s", "smollm2-unmask-11", "-t", "lookright"]
    grid += tiny(tiny_decoder, "train.epochs=8", "machine.checkpoint_minutes=0.0001")
    stopped = harness(*grid, "--on", "slurm", "--runs", tmp_path / "stopped")
    assert stopped.code == 0, stopped.err
    assert harness(*grid, "--runs", tmp_path / "whole").code == 0
    assert alike(results(tmp_path / "stopped")) == alike(results(tmp_path / "whole"))


def test_a_job_that_the_queue_misses_now_and_then_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = jobs_of([Request(["gazetteer"], ["lookright"])], Place(None, tmp_path))
    looks = 0

    class Handle:
        job_id, state = "7", "RUNNING"

        def done(self) -> bool:
            return looks == 100

    def queued() -> set[str]:
        nonlocal looks
        looks += 1
        return {"7"} if looks % 5 else set()

    monkeypatch.setattr(slurm_executor, "_queued", queued)
    monkeypatch.setattr(slurm_executor, "_EVERY", 0)
    monkeypatch.setattr(slurm_executor, "_outcome", lambda handle, job: Outcome(job.key, ran=True))
    events = list(Slurm("cpu", 0)._watched({Handle(): job}))
    assert events == [Started(job.key), Outcome(job.key, ran=True)]
    assert looks == 100


def test_slurm_may_stop_a_job_for_its_time_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("srun", "sbatch"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm = Slurm("cpu", 0)
    executor = slurm._executor(slurm._submitit(), Store(tmp_path / "runs"), QUICK)
    assert executor._executor.max_num_timeout >= 100  # submitit's own limit is 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--on", "rey"], "Unknown executor 'rey'. Did you mean ray?"),
        (["--on", "ray:127.0.0.1:1"], "No Ray cluster answers at 127.0.0.1:1"),
        (["--on", "slurm:nonsense=1"], "nonsense"),
        (["study.toml"], "study.toml"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_paragraph(
    options: list[str], said: str, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "slurm", f"{__name__}:HereSlurm")
    result = harness("run", "-s", "gazetteer", "-t", "lookright", "--runs", tmp_path / "runs", *options)
    assert result.code == 2
    assert said in result.err and result.err.count("\n") == 1
