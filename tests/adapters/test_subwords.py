"""Words become subwords as inside a sentence, and every word is owned by one window."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from harness.adapters.subwords import SubwordEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.errors import CardError


@pytest.fixture(scope="session")
def byte_level(tiny_decoder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_decoder)


def metaspace() -> PreTrainedTokenizerFast:
    """A tokenizer that puts its own mark before every word, as Llama 2's does."""
    words = ["small", "house", "near", "river", "we", "loved"]
    pieces = [
        ("<unk>", 0.0),
        *((f"▁{word}", -1.0) for word in words),
        *((c, -9.0) for c in "▁abcdefghijklmnopqrstuvwxyz"),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>")


def test_a_byte_level_tokenizer_needs_a_leading_space(byte_level: PreTrainedTokenizerFast) -> None:
    encoder = SubwordEncoder(byte_level, 64, 8)
    assert encoder.lead == " "
    window = encoder.windows([["we", "loved", "soup"]])[0]
    assert list(window.ids) == byte_level(" we loved soup")["input_ids"]


def test_a_metaspace_tokenizer_must_not_get_a_second_one() -> None:
    tokenizer = metaspace()
    encoder = SubwordEncoder(tokenizer, 64, 8)
    assert encoder.lead == ""
    assert list(encoder.windows([["we", "loved"]])[0].ids) == tokenizer("we loved")["input_ids"]


def test_the_embedded_models_are_tokenized_as_in_running_text() -> None:
    from harness.adapters import embedded

    for name, lead in (("smollm2", " "), ("minilm", "")):
        encoder = SubwordEncoder(AutoTokenizer.from_pretrained(embedded.folder_of(name)), 64, 8)
        words = ["We", "visited", "Gdansk", "'s", "waterfront", "yesterday"]
        window = encoder.windows([words])[0]
        inside = list(window.ids[window.bounds[0][0] : window.bounds[-1][1]])
        text = " " + " ".join(words) if lead else " ".join(words)
        assert inside == encoder.tokenizer(text, add_special_tokens=False)["input_ids"], name


def test_bounds_cut_the_subwords_of_each_word(byte_level: PreTrainedTokenizerFast) -> None:
    encoder = SubwordEncoder(byte_level, 64, 8)
    words = ["they", "hated", "pterodactyls", "🦕"]
    window = encoder.windows([words])[0]
    pieces = [byte_level.decode(window.ids[start:end]).strip() for start, end in window.bounds]
    assert pieces == words


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60), overlap=st.integers(0, 16))
def test_every_word_is_owned_once_and_windows_fit(
    byte_level: PreTrainedTokenizerFast, sizes: list[int], overlap: int
) -> None:
    encoder = SubwordEncoder(byte_level, 32, overlap)
    words = ["q" * size for size in sizes]
    windows = encoder.windows([words])
    owned = [word for window in windows for word in range(window.owned_first, window.owned_after)]
    assert owned == list(range(len(words)))
    assert all(len(window.ids) <= 32 for window in windows)
    assert all(len(window.owned_bounds) == window.owned_after - window.owned_first for window in windows)


def test_a_word_is_read_where_it_has_most_context(byte_level: PreTrainedTokenizerFast) -> None:
    encoder = SubwordEncoder(byte_level, 16, 8)
    windows = encoder.windows([["soup"] * 40])
    assert len(windows) > 2
    for before, after in pairwise(windows):
        left_of_cut = before.first + len(before.bounds) - before.owned_after
        right_of_cut = after.owned_first - after.first
        assert abs(left_of_cut - right_of_cut) <= 1


def test_a_word_longer_than_a_window_is_still_read(byte_level: PreTrainedTokenizerFast) -> None:
    windows = SubwordEncoder(byte_level, 16, 4).windows([["we", "z" * 200, "soup"]])
    assert [w for window in windows for w in range(window.owned_first, window.owned_after)] == [0, 1, 2]


def test_a_word_that_the_tokenizer_drops_is_still_read() -> None:
    tokenizer = metaspace()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("x", "")
    window = SubwordEncoder(tokenizer, 64, 8).windows([["we", "x", "loved"]])[0]
    assert len(window.bounds) == 3


def test_too_much_overlap_is_refused(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(CardError, match="at most half"):
        SubwordEncoder(byte_level, 16, 9)


def test_a_words_text_is_never_a_special_token(byte_level: PreTrainedTokenizerFast) -> None:
    window = SubwordEncoder(byte_level, 64, 8).windows([["we", "</s>", "soup"]])[0]
    assert byte_level.eos_token_id not in window.ids
