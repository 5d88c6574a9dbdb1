"""What a model is computed in follows from what the processor has instructions for, unless it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.adapters.device import computed_in, is_widened
from harness.adapters.settings import Machine, Model, TaggerSettings
from harness.adapters.tagger import Tagger

from harness.errors import CardError
from tests.adapters.test_tagger import fitted


def processor_with(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(("avx2", *instructions), True))


@pytest.mark.parametrize(
    ("dtype", "instruction", "expected"),
    [
        ("bfloat16", "amx_bf16", torch.bfloat16),
        ("bfloat16", "avx512_bf16", torch.bfloat16),
        ("bfloat16", "avx512_fp16", torch.float32),
        ("float16", "avx512_fp16", torch.float16),
        ("float16", "avx512_bf16", torch.float32),
        ("float32", "amx_bf16", torch.float32),
    ],
)
def test_products_are_of_16_bits_where_the_processor_multiplies_those(
    monkeypatch: pytest.MonkeyPatch, dtype: str, instruction: str, expected: torch.dtype
) -> None:
    processor_with(monkeypatch, instruction)
    model, machine = Model("m", dtype=dtype), Machine(device="cpu")
    assert computed_in(model, machine) is expected
    assert is_widened(model, machine) is (f"torch.{dtype}" != str(expected))


def test_where_torch_does_not_tell_nothing_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not is_widened(Model("m"), Machine(device="cpu"))


def test_what_is_said_goes_before_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    processor_with(monkeypatch)
    assert computed_in(Model("m"), Machine(device="cpu", widen="off")) is torch.bfloat16
    processor_with(monkeypatch, "amx_bf16")
    assert computed_in(Model("m"), Machine(device="cpu", widen="on")) is torch.float32


def test_flex_attention_is_refused_on_a_cpu() -> None:
    settings = TaggerSettings(Model("m", attention="flex_attention"), machine=Machine(device="cpu"))
    with pytest.raises(CardError, match="for GPUs"):
        Tagger.check(settings, [])


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_tagger_is_computed_in_it(tiny_decoder: Path, tmp_path: Path, quantization: str) -> None:
    model = {"dtype": "bfloat16", "quantization": quantization}
    lora = {"r": 4}
    for widen, expected in (("on", torch.float32), ("off", torch.bfloat16)):
        trained = fitted(
            tiny_decoder, tmp_path / widen, model=model, lora=lora, machine={"widen": widen, "unpack": "on"}
        )
        weights = {p.dtype for p in trained.model.parameters() if p.ndim > 1 and not p.requires_grad}
        assert weights == {expected}
