"""Runs on a Ray cluster, a task each: `--on ray` takes the one that is at hand, or starts one here."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from harness.contracts import Resources
from harness.errors import CardError, ServerError
from harness.executors import Executor
from harness.executors.elsewhere import work_elsewhere
from harness.job import Events, Job, Outcome, Started
from harness.registry import optional
from harness.store import Store

_RETRIES = 3  # of a run whose node or process died; it goes on from its checkpoint where the store is shared


class RayCluster(Executor):
    """A task a run. Its cores, GPUs and memory are what the system says that it needs (`--set machine.gpus=1`)."""

    def run(self, jobs: Sequence[Job]) -> Events:
        ray = _ray()
        _connect(ray, self.target)
        mark = Store(jobs[0].runs).mark()
        under_way: dict[Any, Job] = {}
        try:
            left = []
            for job in reversed(jobs):
                if lack := _lack(ray, job.resources()):
                    yield Outcome(job.key, error=lack)
                else:
                    left.append(job)
            while left or under_way:
                while left and (not self.jobs or len(under_way) < self.jobs):
                    job = left.pop()
                    under_way[_submit(ray, job, mark)] = job
                ready, _ = ray.wait(list(under_way), timeout=10, fetch_local=False)
                for task in ready:
                    event = _next(ray, task, under_way[task])
                    if isinstance(event, Outcome):
                        del under_way[task]
                    yield event
        finally:
            for task in under_way:
                ray.cancel(task, force=True)
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return optional("ray", "--on ray", extra="ray")


def _connect(ray: Any, address: str) -> None:
    if "://" in address:
        raise CardError(
            f"--on ray:{address}: name the cluster's own address, HOST:PORT, on a machine that is part of it."
        )
    options = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            _knock(address)
        ray.init(address=address or "auto", **options)
    except (OSError, RuntimeError, ValueError) as error:
        if address:
            reason = str(error).strip().splitlines()[0]
            raise ServerError(
                f"No Ray cluster answers at {address} ({reason}); ray start --head starts one and says its address."
            ) from error
        ray.init(include_dashboard=False, **options)


def _knock(address: str) -> None:
    """Raise OSError or ValueError where nobody listens: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()


def _lack(ray: Any, need: Resources) -> str:
    """Why no machine of the cluster can hold a run, where that is so: Ray would wait for one without a word."""
    held = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for node in held:
        if (
            node.get("CPU", 0) >= need.cores
            and node.get("GPU", 0) >= need.gpus
            and node.get("memory", 0) >= _bytes(need)
        ):
            return ""
    return (
        f"No machine of the Ray cluster has {need.cores} cores, {need.gpus} GPUs and {need.memory_gib} GiB at once; "
        "--set machine.cores=N, machine.gpus=N and machine.memory_gib=N say what a run needs."
    )


def _bytes(need: Resources) -> int:
    return int(need.memory_gib * 2**30)


def _submit(ray: Any, job: Job, mark: str) -> Any:
    need = job.resources()
    calls = 1 if need.gpus else 0  # of a process, that is not to keep a GPU's memory; 0: any number
    task = ray.remote(max_calls=calls)(_work).options(
        name=job.title,
        num_returns="streaming",
        num_cpus=need.cores,
        num_gpus=need.gpus,
        memory=_bytes(need),
        max_retries=_RETRIES,
    )
    return task.remote(job.to_json(), mark)


def _work(text: str, mark: str) -> Iterator[Started | Outcome]:
    """What a task does: it says that it has begun, and then how it ended."""
    job = Job.from_json(text)
    yield Started(job.key)
    yield work_elsewhere(job, mark)


def _next(ray: Any, task: Any, job: Job) -> Started | Outcome:
    try:
        event: Started | Outcome = ray.get(next(task))
        return event
    except (ray.exceptions.RayError, StopIteration) as error:
        return Outcome(
            job.key, error=f"Ray lost this run {_RETRIES + 1} times: {type(error).__name__}.", trace=str(error)
        )
