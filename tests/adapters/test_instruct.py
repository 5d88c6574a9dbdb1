"""Fine-tuning on responses: examples laid out in rows are the examples alone; a crash changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters import checkpoint
from harness.adapters.generator_settings import InstructedSettings
from harness.adapters.instruct import Example, InstructModel, InstructObjective, common_prefix, export, layout, packs
from harness.adapters.passes import Room
from harness.adapters.training import Trainer
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from conftest import save_tiny
from harness.contracts import Context
from harness.errors import CardError
from harness.settings import build, merged
from harness.task import Brief

BEGINNING = tuple(range(10, 22))
EXAMPLES = [
    Example((*BEGINNING, 30, 31, 32), (40, 41, 2)),
    Example((*BEGINNING, 33), (2,)),
    Example((*BEGINNING, 34, 35, 36, 37, 38), (42, 43, 44, 45, 2)),
]


def settings(folder: Path, **over: Any) -> InstructedSettings:
    base = {
        "model": {"path": str(folder), "dtype": "float32", "attention": "eager"},
        "lora": {"r": 4, "dropout": 0.0},
        "train": {"epochs": 2, "batch": 2, "lr": 5e-3},
    }
    return build(InstructedSettings, merged(base, over), "test")


def alone(model: InstructModel, example: Example) -> torch.Tensor:
    """The loss of one example, computed as anybody would."""
    ids = torch.tensor([[*example.prompt, *example.response]])
    scores_LV = model.language(input_ids=ids).logits[0]
    size = len(example.response)
    return F.cross_entropy(scores_LV[-size - 1 : -1], torch.tensor(example.response), reduction="sum")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("prefix", [0, 5, 12])
def test_a_row_of_examples_is_the_examples_alone(tiny_language_model: Path, attention: str, prefix: int) -> None:
    model = InstructModel(settings(tiny_language_model, model={"attention": attention}), tiny_language_model)
    for name, parameter in model.trained():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    expected = sum(alone(model, example) for example in EXAMPLES)
    assert isinstance(expected, torch.Tensor)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.trained() if p.grad is not None}
    model.zero_grad()
    total = torch.tensor(0.0)
    for loss, _ in InstructObjective(model, prefix).losses([tuple(EXAMPLES[:2]), (EXAMPLES[2],)], Room(4096)):
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, expected.detach(), rtol=1e-5, atol=1e-5)
    for name, parameter in model.trained():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["mistral", "gemma3_text"])  # all blocks slide, or some of them
def test_blocks_that_slide_see_as_far_as_they_do_alone(tmp_path: Path, name: str, attention: str) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_key_value_heads": 2}
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "head_dim": 16} if name == "gemma3_text" else {}
    folder = save_tiny(tmp_path, name, causal=True, sliding_window=4, **sizes, **kinds)
    model = InstructModel(settings(folder, model={"attention": attention}), folder)
    with torch.no_grad():
        expected = sum(alone(model, example) for example in EXAMPLES)
        found = sum(loss for loss, _ in InstructObjective(model, 12).losses([tuple(EXAMPLES)], Room(4096)))
        model.window = 64
        wide = sum(loss for loss, _ in InstructObjective(model, 12).losses([tuple(EXAMPLES)], Room(4096)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert abs(wide - expected) > 1e-3


def test_layout() -> None:
    laid = layout(EXAMPLES[:2], 12)
    assert laid.ids_L.tolist() == [*BEGINNING, 30, 31, 32, 40, 41, 2, 33, 2]
    assert laid.positions_L.tolist() == [*range(12), *range(12, 18), 12, 13]
    assert laid.targets_T.tolist() == [40, 41, 2, 2]
    assert laid.before_T.tolist() == [14, 15, 16, 18]
    assert not laid.visible_LL[18, 12:18].any()  # the second example does not see the first
    assert laid.visible_LL[18, :12].all()
    assert not laid.visible_LL.triu(1).any()


def test_a_long_batch_takes_several_rows(tiny_language_model: Path) -> None:
    model = InstructModel(settings(tiny_language_model), tiny_language_model)
    long = [Example((*BEGINNING, *[30] * 250), (40, 2)) for _ in range(9)]
    objective = InstructObjective(model, 12)
    assert [read for _, read in objective.losses([tuple(long)], Room(4096))] == [12 + 4 * 252, 12 + 4 * 252, 12 + 252]
    assert [read for _, read in objective.losses([tuple(long)], Room(600))] == [*[12 + 2 * 252] * 4, 12 + 252]


def test_common_prefix_and_packs() -> None:
    assert common_prefix([one.prompt for one in EXAMPLES]) == 12
    assert common_prefix([(1, 2, 3), (1, 2, 3)]) == 2  # a prompt keeps a token of its own
    assert common_prefix([]) == 0
    assert [len(pack) for pack in packs(EXAMPLES, 0)] == [1, 1, 1]
    assert [len(pack) for pack in packs(EXAMPLES, 32)] == [2, 1]
    assert [len(pack) for pack in packs(EXAMPLES, 1024)] == [3]


class Stop(Exception):
    """A crash in the middle of training."""


def train(folder: Path, work: Path, stop_at: int = 0) -> dict[str, torch.Tensor]:
    made = settings(folder, machine={"checkpoint_minutes": 1e-9}, lora={"dropout": 0.1})
    torch.manual_seed(5)
    model = InstructModel(made, folder)
    rows: list[Any] = []

    def log(row: Any) -> None:
        rows.append(row)
        if stop_at and len(rows) == stop_at:
            raise Stop

    work.mkdir(exist_ok=True)
    context = Context({"A": "a"}, Brief(), 5, work, log, lambda outputs: 0.0)
    Trainer(InstructObjective(model, 12), made.train, made.machine, context, lambda: 0.0).fit(packs(EXAMPLES * 3, 0))
    return checkpoint.trained_state(model)


def test_same_seed_same_weights_also_after_a_crash(tiny_language_model: Path, tmp_path: Path) -> None:
    whole = train(tiny_language_model, tmp_path / "whole")
    with pytest.raises(Stop):
        train(tiny_language_model, tmp_path / "cut", stop_at=7)
    resumed = train(tiny_language_model, tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_exported_weights_answer_as_the_trained_model(tiny_language_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    made = settings(tiny_language_model)
    model = InstructModel(made, tiny_language_model)
    for _, parameter in model.trained():
        torch.nn.init.normal_(parameter, std=0.05)
    save_file(checkpoint.trained_state(model), tmp_path / "trained.safetensors")
    export(made, tiny_language_model, tmp_path / "trained.safetensors", tmp_path / "merged")
    shutil.copy(tiny_language_model / "tokenizer.json", tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    ids = torch.tensor([EXAMPLES[0].prompt])
    torch.testing.assert_close(plain(ids).logits, model.language(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_trained_says_so(tiny_language_model: Path) -> None:
    with pytest.raises(CardError, match="eager or sdpa"):
        InstructModel(settings(tiny_language_model, model={"attention": "flex_attention"}), tiny_language_model)
    with pytest.raises(CardError, match="lora or full"):
        InstructModel(settings(tiny_language_model, train={"method": "head"}), tiny_language_model)
