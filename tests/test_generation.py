"""Generation for real: SmolLM2 in vLLM, in process and on a server that dies in the middle."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.adapters import embedded

from harness.processes import end_group

pytestmark = pytest.mark.real
GRID = ["--system", "smollm2-0shot", "--task", "lookright", "--limit", "60", "--set", "model.dtype=float32",
        "--set", "generation.max_tokens=16"]  # fmt: skip


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    return kept | {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1"}


def command(runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "harness", "run", *GRID, "--runs", str(runs), *more]


def outputs(runs: Path) -> list[dict[str, Any]]:
    [path] = runs.glob("lookright/*/*/seed-120/predictions.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Server:
    """vLLM's own server on loopback, in a process group that can be killed."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to start, which takes a minute."""
        folder = embedded.folder_of("smollm2")
        arguments = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--dtype", "float32",
                     "--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager", "--block-size", "32"]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=log, env=environment(), start_new_session=True
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            try:
                self.get("/health")
                return
            except OSError:
                time.sleep(1)
        pytest.fail(f"the server did not start: {self.log.read_text(errors='replace')[-3000:]}")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def answered(self) -> int:
        """How many requests it has answered since it started."""
        lines = self.get("/metrics").splitlines()
        return round(sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total")))

    def kill(self) -> None:
        if self.process is not None:
            end_group(self.process.pid)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server.log")
    yield made
    made.kill()


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_dies_gives_the_predictions_of_vllm_in_process(server: Server, tmp_path: Path) -> None:
    server.start()
    here = subprocess.run(command(tmp_path / "here"), env=environment(), capture_output=True, text=True, check=False)
    assert here.returncode == 0, here.stderr

    server.wait()
    url = f"machine.url=http://127.0.0.1:{server.port}/v1"
    grid = command(tmp_path / "there", "--set", "backend=openai", "--set", url, "--set", "machine.retries=60")
    with (tmp_path / "there.log").open("wb") as log:
        there = subprocess.Popen(grid, env=environment(), stderr=log)

    def known() -> int:
        files = list((tmp_path / "there").glob(".work/*/*/*/*/answers.jsonl"))
        return sum(line.endswith("}") for line in files[0].read_text().splitlines()) if files else 0

    try:
        wait_for(lambda: known() >= 24 or there.poll() is not None, 300)
        server.kill()
        before = known()
        assert 24 <= before < 120, f"the server was to die in the middle, not after {before} answers"
        server.start()
        server.wait()
        assert there.wait(timeout=600) == 0, (tmp_path / "there.log").read_text()
    finally:
        there.kill()
        there.wait()

    expected, found = outputs(tmp_path / "here"), outputs(tmp_path / "there")
    assert len(expected) == 120
    assert [one["raw"] for one in found] == [one["raw"] for one in expected]
    assert [one["spans"] for one in found] == [one["spans"] for one in expected]
    assert server.answered() <= 120 - before  # nothing was asked twice that was answered
