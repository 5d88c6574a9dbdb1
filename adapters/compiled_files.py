"""What torch keeps of what it compiled, in a folder that all trainings share.

The compiler writes there under the final names. What it was writing when it was killed would be loaded by every later
training, and fail; it is removed here, but for what another process has under its lock, which is writing it now.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_ELF = b"\x7fELF"
_HEAD = 64  # bytes of the head of an ELF file of 64 bits, which says where its last part stands


def remove_broken_libraries(folder: Path) -> None:
    """Remove libraries that are not whole."""
    for path in folder.glob("*/*.so"):
        with suppress(Timeout, OSError):  # another process writes it, or has removed it
            if not _is_whole(path):
                with _lock(path, folder / "locks"):
                    if not _is_whole(path):  # it may have been finished meanwhile
                        path.unlink()


def remove_headers(folder: Path) -> None:
    """Remove headers that were compiled ahead, of which nothing tells whether they are whole."""
    for path in folder.glob("*.gch"):
        with suppress(Timeout, OSError), _lock(path, folder / "locks"):
            path.unlink()


def _is_whole(library: Path) -> bool:
    """Whether an ELF file has all that its head speaks of, which ends with the table of its sections."""
    with library.open("rb") as stream:
        head = stream.read(_HEAD)
    if head[: len(_ELF)] != _ELF:
        return bool(head) and head != bytes(len(head))  # another system's
    if len(head) < _HEAD:
        return False
    (table,) = struct.unpack_from("<Q", head, 40)
    size, count = struct.unpack_from("<HH", head, 58)
    return bool(0 < table <= library.stat().st_size - size * count)


def _lock(path: Path, locks: Path) -> FileLock:
    """The lock under which torch writes a file; raises Timeout where another process has it."""
    return FileLock(locks / f"{path.name.split('.')[0]}.lock", timeout=0)
