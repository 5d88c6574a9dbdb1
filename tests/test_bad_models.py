"""Models whose files are broken, missing or do not belong together are refused, and nothing is trained on chance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result
from test_bad_input import refused


def test_weights_in_pickle_files_are_never_loaded(tmp_path: Path, harness: Callable[..., Result]) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    result = harness(
        "run", "-s", "minilm", "-t", "lookright", "--set", f"model.path={tmp_path}", "--runs", tmp_path / "r"
    )
    refused(result, ["pickle", str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "model.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            ["whole safetensors", "git-lfs"],
        ),
        ("model.safetensors", None, ["whole safetensors"]),
        ("config.json", None, ["whole JSON file"]),
        ("config.json", b"[]", ["has no model_type"]),
        ("config.json", b'{"model_type": "foo"}', ["cannot be loaded", "foo"]),
        ("tokenizer.json", None, ["tokenizer.json is not a whole JSON file"]),
        ("tokenizer.json", b"{}", ["cannot be loaded"]),
    ],
)
def test_broken_files_of_a_model_are_named(
    name: str,
    content: bytes | None,
    says: list[str],
    tmp_path: Path,
    tiny_encoder: Path,
    harness: Callable[..., Result],
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_encoder, model)
    whole = (model / name).read_bytes()
    (model / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    command = ["-s", "minilm", "-t", "lookright", "--set", f"model.path={model}", "--runs", tmp_path / "runs"]
    refused(harness("run", *command), [str(model), *says])
    assert not list(tmp_path.glob("runs/lookright"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": 3}, ["lacks 16 weights", "layer.2", "do not belong together"]),
        ({"vocab_size": 7}, ["word_embeddings.weight as [", "where [7, 32] was expected"]),
        ({"hidden_size": "many"}, ["cannot be loaded", "many"]),
    ],
)
def test_no_weights_are_left_random(
    changes: dict[str, object], says: list[str], tmp_path: Path, tiny_encoder: Path, harness: Callable[..., Result]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_encoder, model)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    command = ["-s", "minilm", "-t", "lookright", "--set", f"model.path={model}", "--runs", tmp_path / "runs"]
    refused(harness("run", *command), [str(model), *says])


def test_a_model_without_a_tokenizer_is_refused(
    tmp_path: Path, tiny_encoder: Path, harness: Callable[..., Result]
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*", "vocab*"))
    command = ["-s", "minilm", "-t", "lookright", "--set", f"model.path={tmp_path / 'model'}"]
    refused(harness("run", *command, "--runs", tmp_path / "runs"), ["has no tokenizer"])
