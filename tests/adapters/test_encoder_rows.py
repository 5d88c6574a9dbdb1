"""An encoder gives for several sentences in a row what it gives for each alone, forward and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from harness.adapters.attention import GROUPED
from harness.adapters.classifier import TokenClassifier
from harness.adapters.device import device_of
from harness.adapters.encoder_rows import read, reads_rows
from harness.adapters.lowrank import with_lora
from harness.adapters.settings import Lora
from harness.adapters.subwords import Batch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    CamembertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

SIZES: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 40,
}  # fmt: skip
DEVICE = device_of("auto")
LENGTHS = (13, 4, 9, 2, 5, 3)
IDS_BL = torch.zeros(6, 13, dtype=torch.long, device=DEVICE)
for row, length in enumerate(LENGTHS):
    IDS_BL[row, :length] = torch.randint(3, 60, (length,), generator=torch.Generator().manual_seed(row))
REAL_BL = IDS_BL != 0


def built(config: Any, attention: str) -> Any:
    torch.manual_seed(1)
    model = AutoModel.from_config(config, attn_implementation=attention)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.3
    return model.to(DEVICE).eval()  # without dropout


def in_rows(model: Any) -> torch.Tensor:
    return read(model, IDS_BL, REAL_BL.long())[REAL_BL]


def padded(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS_BL, attention_mask=REAL_BL.long()).last_hidden_state
    return found[REAL_BL]


MODERN = ModernBertConfig(**SIZES, local_attention=6, global_attn_every_n_layers=2, pad_token_id=0)
DISTILLED = DistilBertConfig(vocab_size=60, dim=32, hidden_dim=48, n_layers=3, n_heads=4, max_position_embeddings=40)
KINDS = (BertConfig, ElectraConfig, RobertaConfig, XLMRobertaConfig, CamembertConfig)
CONFIGS = [MODERN, DISTILLED, *(kind(**SIZES) for kind in KINDS)]
RELATIVE: dict[str, Any] = {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
NEW_DEBERTA: dict[str, Any] = {
    **RELATIVE, "position_biased_input": False, "position_buckets": 4, "share_att_key": True, "norm_rel_ebd": "layer_norm"
}  # fmt: skip
DEBERTAS = [DebertaConfig(**RELATIVE), DebertaV2Config(**RELATIVE), DebertaV2Config(**NEW_DEBERTA)]
CASES = [(config, attention) for config in CONFIGS for attention in ("eager", "sdpa", GROUPED)]
CASES += [(config, "eager") for config in DEBERTAS]
NAMES = [f"{config.model_type}-{attention}-{number}" for number, (config, attention) in enumerate(CASES)]


@pytest.mark.parametrize(("config", "attention"), CASES, ids=NAMES)
def test_outputs_and_gradients_are_those_of_sentences_with_padding(config: Any, attention: str) -> None:
    model = built(config, attention)
    assert reads_rows(model)
    found = []
    for run in (in_rows, padded):
        model.zero_grad()
        hidden = run(model)
        (hidden * torch.arange(hidden.numel(), device=DEVICE).view(hidden.shape).sin()).sum().backward()
        found.append((hidden, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (ours, our_grads), (theirs, their_grads) = found
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert our_grads.keys() == their_grads.keys()
    for name, grad in their_grads.items():
        torch.testing.assert_close(our_grads[name], grad, atol=1e-3, rtol=1e-3, msg=name)


def test_fewer_subwords_are_computed_than_with_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shapes = built(BertConfig(**SIZES), GROUPED), []
    model.embeddings.register_forward_hook(lambda module, args, output: shapes.append(tuple(output.shape[:2])))
    in_rows(model), padded(model)
    assert shapes[1] == (6, 13)
    assert 36 <= shapes[0][0] * shapes[0][1] < 6 * 13


def test_it_holds_with_adapters() -> None:
    model = with_lora(built(BertConfig(**SIZES), GROUPED), Lora(r=4, alpha=8, targets=("query", "value"), dropout=0.0))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, device=DEVICE) * 0.2
    assert reads_rows(model)
    torch.testing.assert_close(in_rows(model), padded(model), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("config", "attention"), CASES, ids=NAMES)
def test_weights_of_16_bits_are_read_too(config: Any, attention: str) -> None:
    model = built(config, attention).bfloat16()
    ours, theirs = in_rows(model).float(), padded(model).float()
    assert (ours - theirs).norm() < 0.03 * theirs.norm()


def test_a_classifier_of_an_encoder_reads_rows() -> None:
    classifier = TokenClassifier(built(BertConfig(**SIZES), GROUPED), 32, 3, "first", 0.0)
    shapes: list[tuple[int, ...]] = []
    classifier.backbone.embeddings.register_forward_hook(lambda module, args, output: shapes.append(output.shape[:2]))
    words = torch.arange(6, device=DEVICE)
    classifier.to(DEVICE)(Batch(IDS_BL, REAL_BL.long(), words, torch.zeros_like(words), torch.ones_like(words)))
    assert [rows * length < 6 * 13 for rows, length in shapes] == [True]


class OfOthers(BertModel):
    """A model by code that does not come with transformers, as `trust_remote_code` loads."""


def test_a_model_by_other_code_is_padded() -> None:
    assert not reads_rows(OfOthers(BertConfig(**SIZES)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["sdpa", GROUPED])
def test_what_is_empty_in_rows_makes_no_number_undefined(attention: str, dtype: torch.dtype) -> None:
    model = built(BertConfig(**SIZES), attention).train()
    with torch.autocast(DEVICE.type, dtype):
        read(model, IDS_BL, REAL_BL.long())[REAL_BL].float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("config", "attention"),
    [
        (DebertaV2Config(**NEW_DEBERTA, conv_kernel_size=3), "eager"),
        (LlamaConfig(**SIZES), "sdpa"),
        (BertConfig(**SIZES, is_decoder=True), "sdpa"),
        (BertConfig(**SIZES), "flex_attention"),
    ],
)
def test_other_models_are_padded(config: Any, attention: str) -> None:
    assert not reads_rows(built(config, attention))
