"""What makes training faster or smaller changes nothing that is learned, and is chosen by what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters import joining, quicken
from harness.adapters.attention import GROUPED
from harness.adapters.checkpoint import trained_state
from harness.adapters.joined_products import Joined
from harness.adapters.lowrank import with_lora
from harness.adapters.pretrained import blocks
from harness.adapters.settings import Lora, Machine
from torch._dynamo.utils import counters
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModel, LlamaConfig

from harness.errors import CardError
from tests.adapters.test_tagger import Watched, fitted

CALM: dict[str, Any] = {"dropout": 0.0, "lora": {"r": 4, "dropout": 0.0}, "train": {"epochs": 1, "batch": 6}}


def trained(tiny_decoder: Path, folder: Path, share: float = 0.0, **machine: str) -> Watched:
    return fitted(tiny_decoder, folder, **CALM | {"lora": {"r": 4, "dropout": share}}, machine=machine)


def assert_same_training(one: Watched, two: Watched) -> None:
    states = [trained_state(made.model) for made in (one, two)]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], atol=1e-5, rtol=1e-3)


@pytest.mark.real
@pytest.mark.parametrize("joins", [True, False])
@pytest.mark.parametrize("compiles", ["on", "off"])
def test_joined_and_compiled_blocks_learn_the_same(
    tiny_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joins: bool, compiles: str
) -> None:
    quick = trained(tiny_decoder, tmp_path / "a", compile=compiles) if joins else None
    monkeypatch.setattr(joining, "understood", lambda block: False)
    quick = quick or trained(tiny_decoder, tmp_path / "a", compile=compiles)
    plain = trained(tiny_decoder, tmp_path / "b", compile="off")
    found = list(blocks(quick.model))
    assert len(found) == 4
    assert all(("forward" in vars(block)) is (joins or compiles == "on") for block in found)
    assert_same_training(plain, quick)


@pytest.mark.real
def test_compiled_blocks_drop_what_those_that_are_not_do(tiny_decoder: Path, tmp_path: Path) -> None:
    assert_same_training(*(trained(tiny_decoder, tmp_path / it, 0.3, compile=it) for it in ("on", "off")))


@pytest.mark.real
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_one_compilation_serves_all_blocks_and_batches(share: float) -> None:
    torch._dynamo.reset()
    model = with_lora(model_of(attention=GROUPED), Lora(r=4, dropout=share)).train()
    quicken.quicken(model, replace(Machine(), compile="on"), quicken.Work(10**4, 40))
    before, compiled = counters["stats"]["unique_graphs"], []
    for rows, length in ((6, 9), (3, 30), (16, 5), (2, 64), (40, 12)):
        ids_BL = torch.randint(0, 60, (rows, length))
        mask_BL = (torch.arange(length) <= length // torch.arange(1, rows + 1)[:, None]).long()
        model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).last_hidden_state.sum().backward()
        compiled.append(counters["stats"]["unique_graphs"])
    assert compiled == [before + 1] * 5


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch asks for it itself
def test_blocks_with_adapters_and_without_are_compiled_once_each() -> None:
    torch._dynamo.reset()
    model = with_lora(model_of(attention=GROUPED), Lora(r=4, dropout=0.0, targets=r".*layers\.[12]\..*q_proj")).train()
    quicken.quicken(model, replace(Machine(), compile="on"), quicken.Work(10**4, 40))
    before, compiled = counters["stats"]["unique_graphs"], []
    for rows, length in ((6, 9), (3, 30), (16, 5)):
        ids_BL = torch.randint(0, 60, (rows, length))
        model(
            input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False
        ).last_hidden_state.sum().backward()
        compiled.append(counters["stats"]["unique_graphs"] - before)
    assert 1 < compiled[0] == compiled[1] == compiled[2] <= 3


@pytest.mark.real
def test_models_of_other_sizes_are_compiled_after_one_another() -> None:
    torch._dynamo.reset()
    for width in (64, 128, 192):
        model = with_lora(model_of(width, GROUPED), Lora(r=4, dropout=0.0)).train()
        quicken.quicken(model, replace(Machine(), compile="on"), quicken.Work(10**4, 40))
        for rows in (4, 7):
            ids_BL = torch.randint(0, 60, (rows, 12))
            found = model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False).last_hidden_state
            found.sum().backward()


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_recomputed_activations_learn_the_same(tiny_decoder: Path, tmp_path: Path, share: float) -> None:
    plain = trained(tiny_decoder, tmp_path / "a", share, gradient_checkpointing="off")
    recomputed = trained(tiny_decoder, tmp_path / "b", share, gradient_checkpointing="on")
    assert any(block.gradient_checkpointing for block in blocks(recomputed.model))
    assert not any(block.gradient_checkpointing for block in blocks(plain.model))
    assert_same_training(plain, recomputed)


def model_of(width: int = 64, attention: str = "eager") -> Any:
    return AutoModel.from_config(
        LlamaConfig(vocab_size=60, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
                    num_attention_heads=4), attn_implementation=attention
    )  # fmt: skip


def test_little_memory_means_recomputed_activations_and_small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = {}
    for free in (10**7, 10**9, 10**13):
        model = model_of()
        monkeypatch.setattr(quicken, "free_bytes", lambda device, free=free: free)
        rooms[free] = quicken.quicken(model, Machine(), quicken.Work(10**4, 40)).subwords
        assert model.is_gradient_checkpointing is (free == 10**7)
    assert rooms[10**7] < rooms[10**9] <= rooms[10**13] == 3072
    assert 1 < quicken.quicken(model_of(), Machine(), quicken.Work(10**4, 40)).trained < 2
    assert quicken.quicken(model_of().requires_grad_(False), Machine(), quicken.Work(10**4, 40)).trained == 0
    assert quicken.quicken(model_of(), Machine(pass_subwords=77), quicken.Work(10**4, 40)).subwords == 77


@pytest.mark.parametrize(("attention", "share"), [("eager", 0.0), (GROUPED, 0.0), (GROUPED, 0.1)])
def test_the_estimate_of_activations_is_near_what_is_kept(attention: str, share: float) -> None:
    model, kept = model_of(attention=attention), {}
    if attention == GROUPED:
        with_lora(model, Lora(r=4, dropout=share)).train()
        assert joining.joining_of(model)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    held_anyway = [*model.parameters(), *(part for one in products_of(model) for part in (one.down_IR, one.up_RO))]
    weights = {one.untyped_storage().data_ptr() for one in held_anyway}
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        ids_BL = torch.randint(0, 60, (8, 40))
        held = model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)
    found = sum(size for address, size in kept.items() if address not in weights)
    assert held is not None
    assert 0.5 < quicken.activation_bytes(model, 40) * 8 * 40 / found < 2


def products_of(model: Any) -> list[Joined]:
    found = joining.joining_of(model)
    return found.products if found else []


def test_only_long_training_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(quicken, "_obstacle", lambda device: "")
    monkeypatch.setattr(quicken, "_compile", lambda backbone: asked.append(backbone))
    for subwords in (10**3, 10**10):
        model = model_of()
        quicken.quicken(model, Machine(), quicken.Work(subwords, 40))
    assert asked == [model]


def test_what_pays_on_one_core_need_not_on_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(quicken, "_obstacle", lambda device: "")
    monkeypatch.setattr(quicken, "_compile", lambda *_: asked.append(torch.get_num_threads()))
    parameters = sum(p.numel() for block in blocks(model_of()) for p in block.parameters())
    minutes = round(120 * 1.8e11 / (4 * parameters))  # subwords that one core trains on in two, by the estimate
    for threads in (1, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        quicken.quicken(model_of(), Machine(), quicken.Work(minutes, 40))
    assert asked == [1]


def test_what_cannot_be_compiled_runs_as_it_is_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quicken, "_obstacle", lambda device: "no compiler.")
    model = model_of()
    quicken.quicken(model, Machine(), quicken.Work(10**10, 40))
    assert not any("forward" in vars(block) for block in blocks(model))
    with pytest.raises(CardError, match=r"machine.compile=on: .*no compiler"):
        quicken.quicken(model, replace(Machine(), compile="on"), quicken.Work(10**10, 40))
