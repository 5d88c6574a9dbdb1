"""From what a card calls a model to a folder with its weights: a local folder, the hub, or a package."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.adapters import embedded
from harness.adapters.settings import Model

from harness.errors import CardError, MissingModel, StoreError, UserError
from harness.files import write_whole

EMBEDDED_PREFIX = "embedded:"
_LARGE = 1 << 24  # bytes of a file whose digest is kept
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "vocab*")


def missing(model: Model) -> str:
    """What stands in the way of these weights, or an empty text. Loads nothing large."""
    try:
        if model.path.startswith(EMBEDDED_PREFIX):
            embedded.source_of(model.path.removeprefix(EMBEDDED_PREFIX))
        elif _is_folder(model.path):
            _checked(Path(model.path))
        else:
            _fetch(model, ("config.json",))
    except UserError as error:
        return str(error)
    return ""


def folder_of(model: Model) -> Path:
    """A folder with config, tokenizer and safetensors. Raises MissingModel, MissingPackage."""
    if model.path.startswith(EMBEDDED_PREFIX):
        return embedded.folder_of(model.path.removeprefix(EMBEDDED_PREFIX))
    if _is_folder(model.path):
        return _checked(Path(model.path))
    return _checked(_fetch(model, (*_FILES, "*.py") if model.trust_remote_code else _FILES))


def config_of(model: Model) -> dict[str, Any]:
    """The model's config.json."""
    return _config(folder_of(model))


@cache
def fingerprint(model: Model) -> str:
    """A digest of the weights and of what stands beside them."""
    if model.path.startswith(EMBEDDED_PREFIX):
        source = embedded.source_of(model.path.removeprefix(EMBEDDED_PREFIX))
    else:
        source = folder_of(model)
    files = [source] if source.is_file() else sorted(path for path in source.iterdir() if _counts(path))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}:{_digest(path)}\n".encode())
    return digest.hexdigest()


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix in (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")


def _digest(path: Path) -> str:
    """Of a file's content; kept in the cache for large files, which take seconds, until they are another's."""
    about = path.stat()
    name = hashlib.sha256(f"{path.resolve()}:{about.st_size}:{about.st_mtime_ns}".encode()).hexdigest()
    kept = embedded.cache_folder() / "digests" / name
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if about.st_size >= _LARGE:
        with suppress(StoreError):  # a cache that cannot be written costs time
            write_whole(kept, digest)
    return digest


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Inside, what transformers raises for a model that it cannot make becomes a CardError that says what is wrong."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (ValueError, OSError, ImportError, KeyError, TypeError, RuntimeError, StrictDataclassError) as error:
        for path in sorted(folder.glob("*.json")):
            _json(path)
        said = " ".join(str(error).split())
        raise CardError(f"The model in {folder} cannot be loaded ({type(error).__name__}): {said}") from error


def is_local(model: Model) -> bool:
    """Whether the weights come from a folder or a package, and not from a hub."""
    return model.path.startswith(EMBEDDED_PREFIX) or _is_folder(model.path)


def parameters(folder: Path) -> int:
    """How many parameters the weights in a folder have, read off the files' headers."""
    return sum(map(_size, _weight_files(folder)))


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads: some hub folders hold the same weights once more under other names."""
    index = folder / "model.safetensors.index.json"
    if (whole := folder / "model.safetensors").exists():
        return [whole]
    if not index.exists():
        return sorted(folder.glob("*.safetensors"))
    content = _json(index)
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict):
        raise MissingModel(f"{index} has no weight_map; copy the model's files anew.")
    return [folder / name for name in sorted(set(map(str, shards.values())))]


def _size(path: Path) -> int:
    """How many numbers a file of weights holds, by its header. Raises MissingModel for what is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise MissingModel(
            f"{path} is not a whole safetensors file ({error}). A few lines of text there are a pointer of git-lfs: "
            "`git lfs pull` gets the file."
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    content = _json(folder / "config.json")
    if not isinstance(content, dict) or "model_type" not in content:
        raise MissingModel(f"{folder / 'config.json'} has no model_type; it must be as save_pretrained writes it.")
    return content


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingModel(f"{path} is not a whole JSON file ({error}); copy the model's files anew.") from error


def _is_folder(path: str) -> bool:
    return Path(path).exists() or path.startswith(("/", "./", "../", "~")) or path.count("/") > 1


def _checked(folder: Path) -> Path:
    folder = folder.expanduser()
    if folder.is_file():
        raise MissingModel(f"{folder} is a file; model.path names the folder that a model's files are in.")
    if not folder.is_dir():
        raise MissingModel(f"The model folder {folder} does not exist; --set model.path=DIR names another.")
    if not (folder / "config.json").exists():
        raise MissingModel(
            f"The model folder {folder} has no config.json; it must hold a model as save_pretrained writes it."
        )
    if not any(folder.glob("*.safetensors")):
        raise MissingModel(
            f"The model folder {folder} has no *.safetensors file. Weights in pickle files (.bin, .pt) are never "
            "loaded, since they can run code; convert them once with transformers' save_pretrained."
        )
    if not any(path.name.startswith(("tokenizer", "vocab")) or path.suffix == ".model" for path in folder.iterdir()):
        raise MissingModel(
            f"The model folder {folder} has no tokenizer; copy its files (tokenizer.json, vocab...) there."
        )
    _config(folder)
    parameters(folder)  # reads the header of every file
    return folder


def _fetch(model: Model, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    mend = "or download it elsewhere and name the folder with --set model.path=DIR"
    try:
        return Path(
            snapshot_download(
                model.path, revision=model.revision, allow_patterns=list(patterns), ignore_patterns=["consolidated*"]
            )
        )
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise MissingModel(
            f"The weights {model.path!r} are not open to you on the hub: accept their license at "
            f"https://huggingface.co/{model.path} and log in with `hf auth login`, {mend}."
        ) from error
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise MissingModel(
            f"The weights {model.path!r} are no folder here, nor in the local hub cache, nor had from the hub "
            f"({type(error).__name__}). Get them from https://huggingface.co/{model.path} on a machine "
            f"that reaches it, {mend}."
        ) from error
