"""Training only the rows of an embedding that are read: the same model comes out, in fewer numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters import embeddings
from harness.adapters.checkpoint import trained_state
from harness.adapters.embeddings import ReadRows, reading_only
from harness.adapters.pretrained import backbone_of
from test_tagger import Watched, corpus, tagger
from torch import nn

from harness.outputs import RawOutput

FULL: dict[str, Any] = {
    "unmask": "",
    "train": {"method": "full", "epochs": 3, "weight_decay": 0.3, "choose": "best-validation"},
}


@contextmanager
def reading_all(*_: object) -> Iterator[None]:
    yield


def trained(path: Path, folder: Path) -> tuple[Watched, list[Sequence[RawOutput]]]:
    """A tagger, and what it predicted after each epoch."""
    seen: list[Sequence[RawOutput]] = []

    def validation_f1(outputs: Sequence[RawOutput]) -> float:
        seen.append(outputs)
        return float(len(seen) == 2)

    made = tagger(path, folder, validation_f1=validation_f1, **FULL)
    made.fit(corpus(24), corpus(8, seed=1))
    return made, seen


@pytest.mark.parametrize("kind", ["tiny_encoder", "tiny_decoder"])
def test_the_model_is_that_of_training_all_rows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    few, seen = trained(path, tmp_path / "few")
    monkeypatch.setattr(embeddings, "reading_only", reading_all)
    every, seen_by_all = trained(path, tmp_path / "all")
    assert seen == seen_by_all
    assert len(seen) == 3
    mine, theirs = trained_state(few.model), trained_state(every.model)
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-3, atol=1e-5)


def test_only_what_is_read_is_trained(tiny_encoder: Path, tmp_path: Path) -> None:
    made = tagger(tiny_encoder, tmp_path, **FULL)
    made._build()
    backbone = backbone_of(made.model)
    whole = {name: p.numel() for name, p in made.model.trained()}
    embedding = backbone.get_input_embeddings()
    with reading_only(backbone, [5, 7, 7, embedding.padding_idx]):
        inside = {name: p.numel() for name, p in made.model.trained()}
    assert sum(whole.values()) - sum(inside.values()) == (embedding.num_embeddings - 2) * embedding.embedding_dim - 1
    assert {name: p.numel() for name, p in made.model.trained()} == whole
    assert backbone.get_input_embeddings() is embedding


def test_padding_that_stands_for_a_word_learns_no_more_than_in_torch() -> None:
    table = torch.randn(6, 4)
    embedding = nn.Embedding.from_pretrained(table.clone(), freeze=False, padding_idx=0)
    rows = ReadRows(table.clone(), torch.tensor([False, True, True, False, False, False]))
    ids = torch.tensor([[0, 1, 2, 0]])
    for module in (embedding, rows):
        module(ids).square().sum().backward()
    assert embedding.weight.grad is not None and rows.weight.grad is not None and rows.decayed.grad is not None
    assert not embedding.weight.grad[0].any()
    assert not rows.decayed.grad.any()
    torch.testing.assert_close(rows.weight.grad, embedding.weight.grad[1:3])
