"""Blocks computed in joined products give what transformers' blocks give, forward and back."""

from __future__ import annotations

import copy
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from harness.adapters.device import device_of
from harness.adapters.joining import joining_of, predicting
from harness.adapters.llama_block import JoinedBlock, understood
from harness.adapters.lowrank import with_lora
from harness.adapters.masks import unmask
from harness.adapters.pretrained import backbone_of, blocks, group_where_joined
from harness.adapters.settings import Lora
from transformers import AutoModel, LlamaConfig, MistralConfig, Qwen2Config

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
PACKED_SIZES = SIZES | {"hidden_size": 64, "intermediate_size": 192}
DEVICE = device_of("auto")
IDS_BL = torch.tensor(
    [[5, 9, 3, 22, 41, 17, 8, 30, 2], [7, 7, 12, 50, 2, 0, 0, 0, 0], [4, 1, *[0] * 7], [6, 6, 5, *[0] * 6]],
    device=DEVICE,
)
PADDING_BL = (IDS_BL != 0).long()


def adapted(config: Any, lora: Lora | None, attention: str = "grouped", bits: str = "", nf4: bool = False) -> Any:
    torch.manual_seed(1)
    model = AutoModel.from_config(config, attn_implementation=attention).requires_grad_(False)
    for parameter in model.parameters():  # norms too: ones would hide what they multiply
        parameter.data = torch.randn(parameter.shape) * 0.3
    if nf4:
        pack(model)
    if bits:
        unmask(model, bits)
    if not lora:
        return model.to(DEVICE)
    model = with_lora(model, lora)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape) * 0.2
    return model.to(DEVICE)


def pack(model: Any) -> None:
    """Put 4-bit layers in place of a model's linear ones, as QLoRA has them."""
    for block in blocks(model):
        for name, layer in list(block.named_modules()):
            if isinstance(layer, torch.nn.Linear):
                kind = {"compute_dtype": torch.float32, "quant_type": "nf4", "compress_statistics": True}
                packed = Linear4bit(layer.in_features, layer.out_features, bias=False, **kind)
                packed.load_state_dict(layer.state_dict())
                block.set_submodule(name, packed.to(DEVICE).requires_grad_(False))


def joined(model: Any) -> Any:
    """The same model, whose blocks are computed in joined products, as in training."""
    other = copy.deepcopy(model).train()
    assert joining_of(backbone_of(other))
    return other


def hidden(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS_BL, attention_mask=PADDING_BL).last_hidden_state
    return found[PADDING_BL.bool()]


def assert_same_outputs_and_gradients(ours: Any, theirs: Any) -> None:
    target = torch.randn(hidden(ours).shape, device=DEVICE)
    for model in (ours, theirs):
        (hidden(model) * target).sum().backward()
    torch.testing.assert_close(hidden(ours), hidden(theirs), atol=1e-4, rtol=1e-4)
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}
    assert any(grad.abs().max() > 1e-3 for grad in expected.values())
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-3, rtol=1e-3, msg=name)


def learn(model: Any) -> None:
    """One step of plain gradient descent."""
    hidden(model).float().square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad / parameter.grad.abs().max()


def predicted(model: Any) -> torch.Tensor:
    with torch.inference_mode(), predicting(model.eval()) as packs:
        assert packs
        return hidden(model)


@pytest.mark.parametrize("bits", ["", "0011", "1111"])
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj"), ("down_proj", "k_proj", "gate_proj")])
@pytest.mark.parametrize("kind", [LlamaConfig, MistralConfig])
def test_outputs_and_gradients_are_those_of_the_block(kind: Any, targets: Any, bits: str) -> None:
    options = {"sliding_window": 3} if kind is MistralConfig else {}
    theirs = adapted(kind(**SIZES, **options), Lora(r=4, alpha=12, dropout=0.0, targets=targets), bits=bits[:3])
    assert_same_outputs_and_gradients(joined(theirs), theirs)


@pytest.mark.parametrize("lora", [Lora(r=4, alpha=12, dropout=0.0, targets=("q_proj", "down_proj")), None])
def test_weights_of_4_bits_stay_packed_and_give_what_the_block_gives(lora: Lora | None) -> None:
    theirs = adapted(LlamaConfig(**PACKED_SIZES), lora, nf4=True).train()
    ours = joined(theirs)
    if lora:
        assert_same_outputs_and_gradients(ours, theirs)
    torch.testing.assert_close(predicted(ours), hidden(theirs), atol=1e-4, rtol=1e-4)
    before, after = theirs.state_dict(), ours.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    query, value = next((block.self_attn.q_proj, block.self_attn.v_proj) for block in blocks(ours))
    shared = {getattr(layer, "base_layer", layer).weight.untyped_storage().data_ptr() for layer in (query, value)}
    assert len(shared) == 1


@pytest.mark.parametrize("compiles", [True, False])
def test_weights_of_4_bits_are_unpacked_anew_for_gradients_and_not_kept(compiles: bool) -> None:
    model = joined(adapted(LlamaConfig(**PACKED_SIZES), Lora(r=4, alpha=8, dropout=0.0), nf4=True))
    if compiles:
        joining_of(backbone_of(model)).compile(DEVICE.type)
        hidden(model).sum().backward()
    with torch.profiler.profile(acc_events=True) as watch:
        output = hidden(model).sum()
    forward = calls(watch, "harness::unpacked")
    with torch.profiler.profile(acc_events=True) as watch:
        output.backward()
    assert (forward, calls(watch, "harness::unpacked")) == (3 * 4, 3 * 4)


def calls(watch: torch.profiler.profile, name: str) -> int:
    return sum(event.count for event in watch.key_averages() if event.key == name)


class Keeps(torch.nn.Module):
    """Dropout that keeps the same of every subword."""

    def __init__(self, kept_I: torch.Tensor, share: float) -> None:
        super().__init__()
        self.kept_I, self.share = kept_I, share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.kept_I / (1 - self.share)


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj"), ("up_proj", "down_proj")])
def test_with_dropout_every_adapter_reads_what_is_kept_for_it(monkeypatch: pytest.MonkeyPatch, targets: Any) -> None:
    def kept(like: torch.Tensor, share: float) -> torch.Tensor:
        draw = torch.Generator().manual_seed(like.shape[0] * like.shape[2])
        return (torch.rand(like.shape[0], 1, like.shape[2], generator=draw) >= share).to(DEVICE).expand(like.shape)

    monkeypatch.setattr("harness.adapters.joined_products.kept", kept)
    theirs = adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=12, dropout=0.3, targets=targets))
    ours = joined(theirs)
    for block in blocks(theirs):
        attention, mlp = block.self_attn, block.mlp
        products = [attention.q_proj, attention.k_proj, attention.v_proj], [attention.o_proj]
        for layers in (*products, [mlp.gate_proj, mlp.up_proj], [mlp.down_proj]):
            found = [layer for layer in layers if hasattr(layer, "lora_dropout")]
            for number, layer in enumerate(found):
                like = torch.empty(len(found), 1, layer.in_features)
                layer.lora_dropout["default"] = Keeps(kept(like, 0.3)[number, 0], 0.3)
    assert_same_outputs_and_gradients(ours, theirs)


def test_dropout_is_drawn_anew_in_training_and_left_out_of_predictions() -> None:
    model = joined(adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=12, dropout=0.3)))
    assert not torch.equal(hidden(model), hidden(model))
    torch.testing.assert_close(predicted(model), hidden(model.eval()), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(DEVICE.type != "cpu", reason="products are whole on other devices")
@pytest.mark.parametrize(("threads", "deepest"), [(1, {64, 32, 96}), (2, {7})])
def test_deep_products_are_summed_from_pieces_where_threads_share_them(
    monkeypatch: pytest.MonkeyPatch, threads: int, deepest: set[int]
) -> None:
    theirs = adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=8, dropout=0.0))
    monkeypatch.setattr("harness.adapters.joined_products._DEEPEST", 7)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert {product.deepest for product in JoinedBlock(next(blocks(copy.deepcopy(theirs)))).joined()} == deepest
    assert_same_outputs_and_gradients(joined(theirs), theirs)


@pytest.mark.parametrize("kind", [LlamaConfig, MistralConfig])
@pytest.mark.parametrize("is_merged", [True, False])
@pytest.mark.parametrize(
    ("lora", "bits"), [(Lora(r=4, alpha=12, targets=("q_proj", "v_proj", "down_proj")), "011"), (None, "")]
)
def test_predictions_are_those_of_the_block_and_weights_stay_what_they_were(
    monkeypatch: pytest.MonkeyPatch, kind: Any, is_merged: bool, lora: Lora | None, bits: str
) -> None:
    options = {"sliding_window": 3} if kind is MistralConfig else {}
    theirs = adapted(kind(**SIZES, **options), lora, bits=bits).eval()
    ours, states = copy.deepcopy(theirs), []
    monkeypatch.setattr("harness.adapters.joining.holds_copies", lambda _: is_merged)
    run = Mock(side_effect=JoinedBlock.predict)
    monkeypatch.setattr(JoinedBlock, "predict", lambda *args: run(*args))
    with torch.inference_mode():
        for _ in range(2):
            with predicting(ours) as packs:
                assert packs
                products = joining_of(backbone_of(ours)).products
                assert all(
                    (product.merged_IO is not None) is (is_merged and bool(product.parts)) for product in products
                )
                torch.testing.assert_close(hidden(ours), hidden(theirs), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(hidden(ours), hidden(theirs), atol=1e-5, rtol=1e-5)
            states.append({name: weight.clone() for name, weight in ours.state_dict().items()})
    assert run.call_count == 2 * 3
    for state in states:
        assert all(torch.equal(weight, theirs.state_dict()[name]) for name, weight in state.items())


def test_a_loaded_model_predicts_what_the_trained_one_does_to_the_last_bit() -> None:
    lora = Lora(r=4, alpha=8, dropout=0.0)
    trained = joined(adapted(LlamaConfig(**SIZES), lora).bfloat16())
    learn(trained)
    loaded = adapted(LlamaConfig(**SIZES), lora).bfloat16()
    loaded.load_state_dict(trained.state_dict())
    assert torch.equal(predicted(trained), predicted(loaded))


def test_a_model_that_has_predicted_learns_and_predicts_what_it_has_learned() -> None:
    theirs = adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=8, dropout=0.0))
    ours = copy.deepcopy(theirs)
    before = predicted(ours)
    for model in (ours, theirs):
        learn(model.train())
    after = predicted(ours)
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(after, hidden(theirs.eval()), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("breaks", ["while it predicts", "while it merges"])
def test_a_prediction_that_breaks_off_leaves_nothing_merged(monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    model = adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=8, dropout=0.0)).eval()
    joining = joining_of(backbone_of(model))
    assert joining
    if breaks == "while it merges":
        monkeypatch.setattr(joining.products[5], "merge", Mock(side_effect=MemoryError))
    with pytest.raises((MemoryError, KeyError)), predicting(model):
        assert joining.predicts
        assert all(product.merged_IO is not None for product in joining.products)
        raise KeyError
    assert not joining.predicts
    assert all(product.merged_IO is None for product in joining.products)


def test_the_weights_of_a_joined_block_are_its_own_still() -> None:
    theirs = adapted(LlamaConfig(**SIZES), Lora(r=4, alpha=8, dropout=0.0))
    ours = joined(theirs)
    for block in blocks(ours):
        del block.forward
    torch.testing.assert_close(hidden(ours), hidden(theirs), atol=0, rtol=0)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    projections = next(blocks(ours)).self_attn
    shared = {p.base_layer.weight.untyped_storage().data_ptr() for p in (projections.q_proj, projections.v_proj)}
    assert len(shared) == 1


@pytest.mark.parametrize(
    ("config", "lora", "attention"),
    [
        (LlamaConfig(**SIZES), Lora(r=4, alpha=8, dropout=0.0), "sdpa"),
        (LlamaConfig(**SIZES, attention_bias=True), Lora(r=4, alpha=8, dropout=0.0), "grouped"),
        (LlamaConfig(**SIZES, attention_dropout=0.1), Lora(r=4, alpha=8, dropout=0.0), "grouped"),
        (LlamaConfig(**SIZES, hidden_act="gelu"), Lora(r=4, alpha=8, dropout=0.0), "grouped"),
        (Qwen2Config(**SIZES), Lora(r=4, alpha=8, dropout=0.0), "grouped"),
    ],
)
def test_a_block_with_anything_else_in_it_is_left_alone(config: Any, lora: Lora, attention: str) -> None:
    assert not any(map(understood, blocks(adapted(config, lora, attention))))


def nf4_model() -> Any:
    return adapted(LlamaConfig(**PACKED_SIZES), None, nf4=True)


def test_rows_that_do_not_hold_whole_blocks_of_4_bit_weights_are_left_alone() -> None:
    assert all(map(understood, blocks(nf4_model())))
    assert not any(map(understood, blocks(adapted(LlamaConfig(**SIZES), None, nf4=True))))


def test_4_bit_weights_beside_others_in_a_product_are_left_alone() -> None:
    model = nf4_model()
    for block in blocks(model):
        block.self_attn.q_proj = torch.nn.Linear(64, 64, bias=False).requires_grad_(False)
    assert not any(map(understood, blocks(model)))


def test_weights_packed_from_another_dtype_than_is_computed_in_are_left_alone() -> None:
    assert not any(map(understood, blocks(nf4_model().bfloat16())))


def test_4_bit_weights_stored_otherwise_than_in_bytes_are_left_alone() -> None:
    model = nf4_model()
    for block in blocks(model):
        weight = block.mlp.down_proj.weight
        weight.data = weight.data.flatten().view(torch.bfloat16)[:, None]
    assert not any(map(understood, blocks(model)))


@pytest.mark.parametrize(("act", "attention"), [("silu", "grouped"), ("gelu", "sdpa")])
def test_attention_is_grouped_where_blocks_are_joined_for_it(act: str, attention: str) -> None:
    model = adapted(LlamaConfig(**SIZES, hidden_act=act), None, "sdpa")
    before = hidden(model)
    group_where_joined(model)
    assert model.config._attn_implementation == attention
    assert bool(joining_of(model)) is (attention == "grouped")
    torch.testing.assert_close(hidden(model.eval()), before, atol=1e-4, rtol=1e-4)


def test_weights_that_are_trained_themselves_are_left_alone() -> None:
    model = AutoModel.from_config(LlamaConfig(**SIZES), attn_implementation="grouped")
    assert not any(map(understood, blocks(model)))
