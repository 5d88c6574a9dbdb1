"""Answers of a run in progress, kept on disk as they come, so that nothing is asked twice that was answered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.adapters.backends import Answer, Backend, Sampling
from harness.adapters.prompts import Prompt
from tqdm import tqdm

from harness.errors import ServerError

_FILE = "answers.jsonl"


class Answers:
    """The answers of one run. `seconds` were spent waiting for them, in all sessions of the run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        self.known: dict[str, Answer] = {}
        self.seconds = 0.0
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            self._read(line)

    def ask(
        self, backend: Backend, prompts: Sequence[Prompt], sampling: Sampling, progress: bool = False
    ) -> list[Answer]:
        """The answer to each prompt. The same prompt is asked once. Raises ServerError where none was ever answered."""
        keys = [_key(prompt, sampling) for prompt in prompts]
        new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self.known}
        waiting = list(new)
        begin, before = time.monotonic(), self.seconds
        if waiting:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write("\n")  # a crash may have cut the last line off
                found = backend.complete([new[key] for key in waiting], sampling)
                for index, answer in tqdm(found, total=len(waiting), disable=not progress, leave=False):
                    self.known[waiting[index]] = answer
                    self.seconds = before + time.monotonic() - begin
                    if answer.refused:  # asked again by the next session: the server may have been the reason
                        continue
                    line = {"key": waiting[index], "seconds": round(self.seconds, 3), **asdict(answer)}
                    stream.write(json.dumps(line) + "\n")
                    stream.flush()
        answers = [self.known[key] for key in keys]
        if answers and all(answer.refused for answer in self.known.values()):
            raise ServerError(f"The server refused every prompt. Of the first it says: {answers[0].refused}")
        return answers

    def _read(self, line: str) -> None:
        try:
            values = json.loads(line)
            key, self.seconds = values.pop("key"), values.pop("seconds")
            self.known[key] = Answer(**values)
        except (ValueError, KeyError, TypeError):  # the line that a crash cut off
            return


def _key(prompt: Prompt, sampling: Sampling) -> str:
    content = json.dumps([prompt.turns, prompt.chat, asdict(sampling)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
