"""What the tests share: models small enough to train in a second, the command line in process, the real data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models gain nothing from threads, and lose much by sharing cores
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

WORDS = """we I they loved hated ordered did not love the grilled squid soup salad service was superb awful average
last night on Sunday near station and but while it rained , . ; my friends everyone our group a Tuscan pasta tart"""


@dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in this process, with every error handled as a user would see it."""
    from harness.cli import main

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that two processes end together."""
    items.sort(key=lambda item: item.get_closest_marker("real") is None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, where there is one."""
    folder = Path(os.environ.get("HARNESS_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder


def save_tokenizer(folder: Path) -> int:
    """A byte-level BPE tokenizer trained on a few words; its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([WORDS] * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    return len(fast)


def save_tiny(folder: Path, model_type: str, causal: bool = False, **sizes: int) -> Path:
    """A model with random weights and its tokenizer, saved as save_pretrained does."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    vocabulary = save_tokenizer(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type, vocab_size=vocabulary, num_attention_heads=4, max_position_embeddings=512, pad_token_id=0, **sizes
    )
    (AutoModelForCausalLM if causal else AutoModel).from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of four blocks, 64 wide (what 4-bit kernels ask for at least)."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_key_value_heads": 2}
    return save_tiny(tmp_path_factory.mktemp("tiny-decoder"), "llama", **sizes)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two blocks, 32 wide."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    return save_tiny(tmp_path_factory.mktemp("tiny-encoder"), "bert", **sizes)


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two blocks that can write."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_key_value_heads": 2}
    return save_tiny(tmp_path_factory.mktemp("tiny-language-model"), "llama", causal=True, **sizes)
