"""What a killed compiler left half written is not loaded by the next training."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from filelock import FileLock
from harness.adapters import compiled_files
from harness.adapters.compiled_files import remove_broken_libraries, remove_headers


def test_libraries_that_are_cut_off_are_removed_but_for_those_being_written(tmp_path: Path) -> None:
    head = bytearray(b"\x7fELF".ljust(64, b"\0"))
    struct.pack_into("<Q", head, 40, 100)  # where the table of sections begins,
    struct.pack_into("<HH", head, 58, 64, 2)  # the size of a section's line, and how many there are
    whole = bytes(head).ljust(100 + 64 * 2, b"\1")
    parts = {"whole": len(whole), "empty": 0, "head": 40, "half": len(whole) // 2, "end": len(whole) - 1, "held": 9}
    (tmp_path / "ab").mkdir()
    for name, size in parts.items():
        (tmp_path / "ab" / f"{name}.main.so").write_bytes(whole[:size])
    (tmp_path / "ab" / "zeros.main.so").write_bytes(bytes(5000))
    (tmp_path / "ab" / "gone.main.so").symlink_to("nowhere")  # as one that another process has just removed
    (tmp_path / "locks").mkdir()
    with FileLock(tmp_path / "locks" / "held.lock"):
        remove_broken_libraries(tmp_path)
    assert {path.name.split(".")[0] for path in tmp_path.glob("ab/*")} == {"whole", "held", "gone"}


def test_a_library_that_is_finished_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "late.main.so").touch()
    looks = iter([False, True])
    monkeypatch.setattr(compiled_files, "_is_whole", lambda path: next(looks))
    remove_broken_libraries(tmp_path)
    assert (tmp_path / "ab" / "late.main.so").exists() and not list(looks)


def test_headers_go_but_for_those_being_written(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    for name in ("one", "held"):
        (tmp_path / f"{name}.h").write_text("#include <vector>\n", encoding="utf-8")
        (tmp_path / f"{name}.h.gch").write_bytes(b"gpch")
    with FileLock(tmp_path / "locks" / "held.lock"):
        remove_headers(tmp_path)
    assert {path.name for path in tmp_path.glob("*.gch")} == {"held.h.gch"}
    assert len(list(tmp_path.glob("*.h"))) == 2
