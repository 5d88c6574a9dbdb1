"""What a run started ends with it, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from harness.adapters.backends.guard import Guard
from harness.adapters.backends.vllm import _temporary_files_in

from harness.errors import UserError

STARTS = """
import subprocess, sys, time
from harness.adapters.backends.guard import Guard
sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
first = subprocess.Popen(sleeps)
guard = Guard()
second = subprocess.Popen(sleeps)
time.sleep(1.5)
if sys.argv[1] == "all":
    guard.all_started()
with open(f"{guard.folder}/left", "w"):
    print(first.pid, second.pid, guard.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("said", ["all", "nothing"])
def test_what_was_started_ends_with_a_killed_parent(said: str, tmp_path: Path) -> None:
    """Also while it is still being started; what was there before is left alone, and what lies around is not run."""
    (tmp_path / "psutil.py").write_text("raise SystemExit", encoding="utf-8")
    command = [sys.executable, "-P", "-c", STARTS, said]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    line = parent.stdout.readline().split()
    before, guarded, folder = int(line[0]), int(line[1]), Path(line[2])
    time.sleep(0.5)
    assert _alive(guarded) and (folder / "left").exists()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while (_alive(guarded) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(guarded) and not folder.exists()
    assert _alive(before)
    psutil.Process(before).kill()


def test_a_guard_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="could not be started"):
        Guard()


def test_where_an_engine_leaves_its_files_is_as_before_once_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/of/the/user")
    monkeypatch.delenv("VLLM_RPC_BASE_PATH", raising=False)
    with pytest.raises(ZeroDivisionError), _temporary_files_in("/of/the/guard"):
        assert os.environ["TMPDIR"] == os.environ["VLLM_RPC_BASE_PATH"] == "/of/the/guard"
        raise ZeroDivisionError
    assert os.environ["TMPDIR"] == "/of/the/user" and "VLLM_RPC_BASE_PATH" not in os.environ


SHARES = """
import multiprocessing, sys, time
from multiprocessing.shared_memory import SharedMemory
from harness.adapters.backends.guard import Guard

def share(pipe):
    memory = SharedMemory(create=True, size=64)
    pipe.send(memory.name)
    time.sleep(600)

if __name__ == "__main__":
    guard = Guard()
    here, there = multiprocessing.Pipe()
    multiprocessing.get_context("fork").Process(target=share, args=(there,)).start()
    print(here.recv(), flush=True)
    guard.all_started()
    time.sleep(600)
"""


def test_shared_memory_of_what_was_started_is_freed(tmp_path: Path) -> None:
    """Its own tracker does that, which is not ended before it has."""
    (tmp_path / "shares.py").write_text(SHARES, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, "shares.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    memory = Path("/dev/shm", parent.stdout.readline().strip())
    time.sleep(1)  # until the guard has looked
    assert memory.exists()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while memory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not memory.exists()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
