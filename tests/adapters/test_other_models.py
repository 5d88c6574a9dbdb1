"""Models whose parts are not as most have them are trained as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters.lowrank import with_lora
from harness.adapters.settings import Lora
from test_tagger import tagger
from transformers import AutoModel, GPT2Config

from conftest import save_tiny
from harness.spans import Labeled, Sentence, Span


@pytest.mark.parametrize("name", ["falcon", "mpnet", "data2vec-text", "deepseek_v3"])
def test_models_that_differ_are_trained_as_they_come(tmp_path: Path, name: str) -> None:
    """With attention of their own, positions behind the padding's, values of another width than keys."""
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    if name == "deepseek_v3":
        sizes |= {"qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 12, "q_lora_rank": 8, "kv_lora_rank": 8}
        sizes |= {
            "num_key_value_heads": 4,
            "moe_intermediate_size": 16,
            "n_routed_experts": 8,
            "first_k_dense_replace": 2,
        }
    folder = save_tiny(tmp_path / "model", name, **sizes)
    made = tagger(folder, tmp_path, unmask="", max_length=1024, train={"method": "full", "epochs": 1})
    made.fit([Labeled(Sentence("long", ("soup",) * 700), (Span(0, 1, "positive"),))], [])
    assert len(made.predict([Sentence("x", ("soup",) * 700)])) == 1


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # PEFT sets it itself
def test_adapters_may_be_on_layers_that_are_no_linear_ones_of_torch() -> None:
    gpt2 = AutoModel.from_config(
        GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=60, bos_token_id=1, eos_token_id=2)
    )
    adapted = with_lora(gpt2, Lora(r=4, targets=("c_attn",)))
    assert sum("c_attn.lora_A" in name for name, _ in adapted.named_parameters()) == 2
    assert torch.isfinite(adapted(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state).all()
