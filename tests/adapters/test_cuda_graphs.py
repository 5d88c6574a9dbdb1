"""Passes recorded as CUDA graphs give what the same passes give kernel by kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters import quicken
from harness.adapters.checkpoint import trained_state
from harness.adapters.joining import Joining, joining_of
from harness.adapters.pretrained import backbone_of
from harness.adapters.settings import Lora, Machine
from transformers import LlamaConfig

from harness.errors import CardError
from tests.adapters.test_llama_block import SIZES, adapted
from tests.adapters.test_tagger import fitted

LENGTHS = ((5, 3, 9), (30, 2), (5, 3, 9), (9, 5, 3), (70, 1, 1, 8), (30, 2), (70, 1, 1, 8), (5, 3, 9))  # of passes
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs are of GPUs")


def joining_in(model: Any) -> Joining:
    found = joining_of(backbone_of(model))
    assert found
    return found


def passes(model: Any) -> list[torch.Tensor]:
    """Outputs of passes, and the gradients that every two of them add up to."""
    model.train()
    device, found = next(model.parameters()).device, []
    for number, lengths in enumerate(LENGTHS):
        generator = torch.Generator().manual_seed(number)
        places = torch.arange(max(lengths))[None]
        mask_BL = (places < torch.tensor(lengths)[:, None]).long().to(device)
        ids_BL = torch.randint(1, 60, mask_BL.shape, generator=generator).to(device)
        states_BLD = model(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        (states_BLD[mask_BL.bool()] ** 2).sum().backward()
        found.append(states_BLD[mask_BL.bool()].detach().clone())
        del states_BLD
        if number % 2:
            found += [p.grad.clone() for p in model.parameters() if p.grad is not None]
            model.zero_grad()
    return found


@on_gpu
@pytest.mark.parametrize("bits", ["", "011", "111"])
def test_a_replayed_pass_gives_what_the_pass_gives(bits: str) -> None:
    plain, recorded = (adapted(LlamaConfig(**SIZES), Lora(r=4), bits=bits) for _ in range(2))
    joining_in(recorded).record()
    expected, found = passes(plain), passes(recorded)
    recorder = joining_in(recorded).recorder
    assert recorder and len(recorder.recorded) == 3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("bits", ["", "011"])
def test_all_blocks_at_once_give_what_they_give_one_by_one(bits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, asked = adapted(LlamaConfig(**SIZES), Lora(r=4), bits=bits), []

    def recorder(run: Any, key: Any, *given: torch.Tensor) -> torch.Tensor:
        asked.append(key)
        return run(*given)

    monkeypatch.setattr(joining_in(at_once), "recorder", recorder)
    found, expected = passes(at_once), passes(adapted(LlamaConfig(**SIZES), Lora(r=4), bits=bits))
    assert asked == [(0, 1, 1) if bits else (0, 0, 0)] * len(LENGTHS)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@on_gpu
@pytest.mark.parametrize("choose", ["last", "best-validation"])
def test_a_tagger_whose_passes_are_replayed_learns_the_same(tiny_decoder: Path, tmp_path: Path, choose: str) -> None:
    over = {"lora": {"r": 4, "dropout": 0.0}, "dropout": 0.0, "train": {"choose": choose, "epochs": 4}}
    plain, replayed = (
        fitted(tiny_decoder, tmp_path / it, **over, machine={"compile": "auto", "cuda_graphs": it})
        for it in ("off", "on")
    )
    recorder = joining_in(replayed.model).recorder
    assert recorder and recorder.passes and not joining_in(plain.model).recorder
    for name, values in trained_state(plain.model).items():
        torch.testing.assert_close(trained_state(replayed.model)[name], values, atol=1e-4, rtol=1e-3)


@on_gpu
def test_what_is_asked_for_is_recorded() -> None:
    model = adapted(LlamaConfig(**SIZES), Lora(r=4))
    quicken.quicken(model, Machine(cuda_graphs="on"), quicken.Work(10**10, 40))
    assert joining_in(model).recorder and not joining_in(model).compiled


@pytest.mark.parametrize(
    ("lora", "machine", "reason"),
    [
        (Lora(r=4, dropout=0.1), {}, "dropout"),
        (Lora(r=4, targets=("q_proj",)), {}, "some of its layers"),
        (Lora(r=4), {"gradient_checkpointing": "on"}, "recomputed"),
        (None, {}, "no adapters"),
        (Lora(r=4), {"compile": "on"}, "compiled"),
    ],
)
def test_what_cannot_be_recorded_is_said(lora: Lora | None, machine: Any, reason: str) -> None:
    asked = Machine(cuda_graphs="on", **machine)
    expected = reason if torch.cuda.is_available() else "this is none"
    with pytest.raises(CardError, match=rf"machine\.cuda_graphs=on is for .*{expected}"):
        quicken.quicken(adapted(LlamaConfig(**SIZES), lora), asked, quicken.Work(10**4, 40))
