"""The digest of weights: of all that is in them, however large they are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.adapters import weights
from harness.adapters.settings import Model


def digest(folder: Path) -> str:
    weights.fingerprint.cache_clear()
    return weights.fingerprint(Model(path=str(folder)))


def change(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


def last_byte(folder: Path) -> None:
    change(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 1)


def template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")


@pytest.mark.parametrize("large", [0, 2**24])
@pytest.mark.parametrize("changed", [last_byte, template])
def test_any_change_of_a_model_changes_its_digest(
    large: int,
    changed: Callable[[Path], None],
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "_LARGE", large)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    before = digest(folder)
    assert digest(folder) == before
    changed(folder)
    assert digest(folder) != before


def test_the_digest_of_a_large_file_is_kept_until_it_changes(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_LARGE", 1)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    before = digest(folder)
    monkeypatch.setattr(weights.hashlib, "file_digest", None)  # type: ignore[attr-defined]
    assert digest(folder) == before  # nothing is read again
    os.utime(folder / "model.safetensors", (1, 1))
    with pytest.raises(TypeError):
        digest(folder)


def test_weights_that_lie_there_twice_are_counted_once(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    count = weights.parameters(tmp_path / "model")
    whole = tmp_path / "model" / "model.safetensors"
    shutil.copyfile(whole, tmp_path / "model" / "consolidated.safetensors")
    assert weights.parameters(tmp_path / "model") == count > 0
    whole.rename(tmp_path / "model" / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors", "b": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert weights.parameters(tmp_path / "model") == count
