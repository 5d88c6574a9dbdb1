"""Reading text and JSON so that every complaint names its file and line; writing so that nothing is ever half there."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import DataError, StoreError

_WHITE = " \t\r\n"


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file, without a byte-order mark. Raises DataError where it is empty or not in the encoding."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror}).") from error
    try:
        text = data.decode("utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fix = "Convert the file to UTF-8; the encoding of a task's files can be named: --set options.encoding=NAME."
        raise DataError(path, line, f"byte {data[error.start]:#04x} is not valid {encoding}.", fix) from error
    except LookupError as error:
        raise DataError(path, None, f"no encoding is called {encoding!r}.") from error
    if not text.strip():
        raise DataError(path, None, "the file is empty.")
    return text


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Number and content of each line. Only line feeds end lines: U+2028 and its kind may stand inside a word."""
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r")


def json_items(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, Any]]:
    """Line and value of each item of a JSON array, or of each line of a JSON-lines file."""
    text = read_text(path, encoding)
    if text.lstrip(_WHITE).startswith("["):
        yield from _array_items(path, text)
        return
    for number, line in lines_of(text):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _broken(path, number, error) from error


def _array_items(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    decoder = json.JSONDecoder()
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _skip(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if at < len(text) and text[at] == "]":
            if text[at + 1 :].strip():
                raise DataError(path, line, "broken JSON: something follows the end of the array.")
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _broken(path, getattr(error, "lineno", line), error) from error
        yield line, value
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            raise DataError(path, line, "broken JSON: a comma or the end of the array is missing after this item.")


def _broken(path: Path, line: int, error: Exception) -> DataError:
    """Of JSON that is none, or that is nested too deeply or has a number of too many digits."""
    what = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return DataError(path, line, f"broken JSON: {what}.")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITE:
        at += 1
    return at


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is either as before or complete, also after a crash. Raises StoreError.

    Half characters, which no file can hold, become escapes.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written ({error.strerror}); --out DIR names another folder.") from error


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or renamed in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
