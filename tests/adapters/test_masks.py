"""Proofs of unmasking: what must change changes, from the first unmasked block on, and nothing else does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from harness.adapters.attention import GROUPED
from harness.adapters.groups import group_of, unmasked_blocks
from harness.adapters.masks import unmask
from torch import nn
from transformers import (
    AutoModel,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    ModernBertConfig,
    NemotronConfig,
    Qwen3Config,
    StableLmConfig,
)
from transformers.models.llama.modeling_llama import LlamaAttention

from harness.errors import CardError

SMALL: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "mistral-sliding": MistralConfig(**SMALL, sliding_window=3),
    "qwen3": Qwen3Config(**SMALL, head_dim=8),
    "gemma": GemmaConfig(**SMALL, head_dim=8),
    "gemma2-alternating": Gemma2Config(**SMALL, head_dim=8, sliding_window=3),
    "gemma3-alternating": Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=3),
    "stablelm": StableLmConfig(**SMALL),
    "nemotron": NemotronConfig(**SMALL, head_dim=8),
}
IDS_BL = torch.tensor([[5, 9, 3, 22, 41, 17, 8, 30], [7, 7, 12, 50, 2, 0, 0, 0]])
REAL_BL = (IDS_BL != 0).long()


@pytest.fixture(
    params=[(name, attention) for name in CONFIGS for attention in ("eager", "sdpa", "grouped")], ids="-".join
)
def decoder(request: pytest.FixtureRequest) -> Any:
    name, attention = request.param
    return build(name, attention)


def build(name: str, attention: str) -> Any:
    torch.manual_seed(1)
    return AutoModel.from_config(CONFIGS[name], attn_implementation=attention).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_our_attention_is_that_of_transformers(name: str) -> None:
    ours, theirs = build(name, GROUPED), build(name, "eager")
    found = [model(input_ids=IDS_BL, attention_mask=REAL_BL).last_hidden_state for model in (ours, theirs)]
    torch.testing.assert_close(found[0][REAL_BL == 1], found[1][REAL_BL == 1], atol=1e-5, rtol=1e-4)
    for hidden_BLD in found:
        hidden_BLD[REAL_BL == 1].square().sum().backward()
    gradients = [dict(model.named_parameters()) for model in (ours, theirs)]
    for key, parameter in gradients[0].items():
        torch.testing.assert_close(parameter.grad, gradients[1][key].grad, atol=1e-3, rtol=1e-3)


def with_bits(decoder: Any, bits: str) -> Any:
    return unmask(copy.deepcopy(decoder), bits)


def stock_bidirectional(decoder: Any) -> Any:
    """The model with transformers' own switch for the whole of it."""
    model = copy.deepcopy(decoder)
    model.config.is_causal = False
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    return model


def hidden(model: Any, ids_BL: torch.Tensor = IDS_BL, real_BL: torch.Tensor | None = REAL_BL) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=ids_BL, attention_mask=real_BL).last_hidden_state
    return result


def test_all_zero_bits_give_the_stock_model(decoder: Any) -> None:
    assert torch.equal(hidden(with_bits(decoder, "0000")), hidden(decoder))


def test_all_one_bits_give_the_stock_model_without_causality(decoder: Any) -> None:
    ours, theirs = hidden(with_bits(decoder, "1111")), hidden(stock_bidirectional(decoder))
    real = REAL_BL.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=0)
    assert (ours[real] - hidden(decoder)[real]).abs().max() > 0.1


def states(model: Any, ids_BL: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(model(input_ids=ids_BL, output_hidden_states=True).hidden_states)


@pytest.mark.parametrize("bits", ["0001", "0010", "0011", "0100", "1000", "01", "001"])
def test_a_word_to_the_right_reaches_left_exactly_from_the_first_unmasked_block_on(bits: str) -> None:
    model = with_bits(build("llama", "sdpa"), bits)
    changed_BL = IDS_BL[:1].clone()
    changed_BL[0, 6] = 33
    before, after = states(model, IDS_BL[:1]), states(model, changed_BL)
    first = unmasked_blocks(bits, 4).index(True)
    moved = [not torch.equal(a[0, :6], b[0, :6]) for a, b in zip(before, after, strict=True)]
    assert moved == [block > first for block in range(5)]  # state i is what block i reads


class _Deaf(LlamaAttention):
    """An attention as models bring it along in code of their own, which does not ask whether it is causal."""

    def forward(
        self, hidden_states: torch.Tensor, *, attention_mask: Any = None, **_: Any
    ) -> tuple[torch.Tensor, None]:
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        q_BHLD, k_BHLD, v_BHLD = (
            part(hidden_states).view(shape).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        found_BHLD = nn.functional.scaled_dot_product_attention(
            q_BHLD, k_BHLD, v_BHLD, attention_mask, is_causal=attention_mask is None, enable_gqa=True
        )
        return self.o_proj(found_BHLD.transpose(1, 2).flatten(2)), None


class _Theirs(LlamaModel):
    """A decoder of nobody's library."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        for i, block in enumerate(self.layers):
            block.self_attn = _Deaf(config, i)


def test_code_of_a_models_own_is_always_given_a_mask() -> None:
    model = unmask(_Theirs._from_config(CONFIGS["llama"], attn_implementation="sdpa").eval(), "0010")
    changed_BL = IDS_BL[:1].clone()
    changed_BL[0, 6] = 33
    moved = [
        not torch.equal(before[0, :6], after[0, :6])
        for before, after in zip(states(model, IDS_BL[:1]), states(model, changed_BL), strict=True)
    ]
    assert moved == [False, False, False, True, True]


@pytest.mark.parametrize("bits", ["0011", "0110", "1111"])
def test_padding_changes_nothing(decoder: Any, bits: str) -> None:
    model = with_bits(decoder, bits)
    alone = hidden(model, IDS_BL[1:, :5], None)
    torch.testing.assert_close(hidden(model)[1, :5], alone[0], atol=1e-5, rtol=0)


def test_batch_mates_change_nothing(decoder: Any) -> None:
    model = with_bits(decoder, "0101")
    other_BL = IDS_BL.clone()
    other_BL[0] = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8])
    torch.testing.assert_close(hidden(model)[1, :5], hidden(model, other_BL)[1, :5], atol=1e-6, rtol=0)


def test_a_sliding_block_stays_inside_its_window() -> None:
    model = with_bits(build("mistral-sliding", "sdpa"), "1000")
    changed_BL = IDS_BL[:1].clone()
    changed_BL[0, 6] = 33
    before, after = (states(model, ids)[1] for ids in (IDS_BL[:1], changed_BL))
    moved = (before != after).any(-1)[0].tolist()
    assert moved == [False, False, False, True, True, True, True, True]  # as far as the window of 3, itself included


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "AVX2", reason="torch's flex attention gets padding wrong there"
)
@pytest.mark.parametrize("bits", ["0011", "1111"])
def test_flex_attention_sees_the_same_mask(bits: str) -> None:
    flex, sdpa = (hidden(with_bits(build("llama", kind), bits)) for kind in ("flex_attention", "sdpa"))
    torch.testing.assert_close(flex[REAL_BL.bool()], sdpa[REAL_BL.bool()], atol=1e-4, rtol=0)


def gradients(model: Any) -> list[torch.Tensor]:
    model.train()
    loss = model(input_ids=IDS_BL, attention_mask=REAL_BL).last_hidden_state[REAL_BL.bool()].square().sum()
    loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def test_gradient_checkpointing_recomputes_the_same_mask() -> None:
    plain, checkpointed = with_bits(build("llama", "sdpa"), "0011"), with_bits(build("llama", "sdpa"), "0011")
    checkpointed.gradient_checkpointing_enable({"use_reentrant": False})
    for a, b in zip(gradients(plain), gradients(checkpointed), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_compiled_blocks_see_the_same_mask() -> None:
    model = with_bits(build("llama", "sdpa"), "0011")
    expected = hidden(model)
    for block in model.layers:
        block.compile(backend="aot_eager", dynamic=True)
    torch.testing.assert_close(hidden(model), expected, atol=1e-5, rtol=0)


def test_it_holds_under_peft() -> None:
    from peft import LoraConfig, get_peft_model

    model = with_bits(build("llama", "sdpa"), "0011")
    expected = hidden(model)
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])).eval()
    torch.testing.assert_close(hidden(wrapped), expected, atol=1e-6, rtol=0)  # LoRA begins as nothing


def test_inputs_may_be_embeddings() -> None:
    model = with_bits(build("llama", "sdpa"), "0011")
    embeds_BLD = model.get_input_embeddings()(IDS_BL)
    with torch.no_grad():
        found = model(inputs_embeds=embeds_BLD, attention_mask=REAL_BL).last_hidden_state
    assert torch.equal(found, hidden(model))


@pytest.mark.parametrize(("blocks", "groups"), [(32, 4), (30, 4), (7, 3), (5, 5)])
def test_groups_are_as_even_as_can_be(blocks: int, groups: int) -> None:
    sizes = [0] * groups
    for block in range(blocks):
        sizes[group_of(block, blocks, groups)] += 1
    assert max(sizes) - min(sizes) <= 1
    assert [group_of(i, blocks, groups) for i in range(blocks)] == sorted(
        group_of(i, blocks, groups) for i in range(blocks)
    )


def test_the_papers_0011_unmasks_blocks_16_to_31() -> None:
    assert unmasked_blocks("0011", 32) == [False] * 16 + [True] * 16


def test_blocks_that_no_mask_reaches_are_refused() -> None:
    class Deaf(LlamaModel):
        def forward(self, input_ids: torch.Tensor, **others: Any) -> torch.Tensor:
            embeds_BLD = self.embed_tokens(input_ids)
            places_L = torch.arange(input_ids.shape[1])[None]
            found: torch.Tensor = self.layers[0](embeds_BLD, position_embeddings=self.rotary_emb(embeds_BLD, places_L))
            return found

    with pytest.raises(CardError, match="LlamaDecoderLayer is not handed"):
        unmask(Deaf(CONFIGS["llama"]), "1111")(input_ids=IDS_BL)


def refusals() -> Iterator[tuple[str, Any, str]]:
    yield "11111", AutoModel.from_config(CONFIGS["llama"]), "only 4 blocks"
    yield "01", AutoModel.from_config(GPT2Config(vocab_size=9, n_embd=8, n_layer=2, n_head=2)), "layers"
    yield "01", nn.Linear(2, 2), "layers"
    yield "01", AutoModel.from_config(ModernBertConfig(**SMALL)), "no causal mask"


@pytest.mark.parametrize(("bits", "model", "reason"), list(refusals()))
def test_what_cannot_be_unmasked_is_refused(bits: str, model: Any, reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        unmask(model, bits)
