"""The tagger on tiny models: the same whatever the batch, after saving, after a crash, and for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.adapters import checkpoint
from harness.adapters.device import device_of
from harness.adapters.passes import Room
from harness.adapters.settings import TaggerSettings
from harness.adapters.tagger import Tagger
from harness.adapters.tagging import TagObjective, best_tags, tagged_windows
from harness.adapters.training import Trainer

from harness.contracts import Context
from harness.errors import CardError, StoreError
from harness.outputs import RawOutput, Tags
from harness.settings import build, merged
from harness.spans import Labeled, Sentence, Span
from harness.task import Brief

LABELS = {"positive": "positive", "negative": "negative"}
SETTINGS: dict[str, Any] = {
    "unmask": "0011", "max_length": 64, "overlap": 16, "dropout": 0.1,
    "model": {"dtype": "float32"},
    "lora": {"r": 4, "dropout": 0.1},
    "train": {"epochs": 2, "batch": 4, "lr": 5e-3},
}  # fmt: skip


def corpus(size: int, seed: int = 0) -> list[Labeled]:
    draw = random.Random(seed)
    found = []
    for number in range(size):
        verb, label = draw.choice([("loved", "positive"), ("hated", "negative")])
        words = ["we", verb, *["the"] * draw.randint(1, 30), draw.choice(["soup", "salad", "tart"]), "."]
        span = Span(len(words) - 2, len(words) - 1, label)
        found.append(Labeled(Sentence(f"{seed}-{number}", tuple(words)), (span,)))
    return found


class Watched(Tagger):
    """A tagger with the rows of its training log."""

    rows: list[Mapping[str, float]]


def tagger(
    path: Path, folder: Path, seed: int = 3, validation_f1: Callable[..., float] = lambda _: 0.0, **over: Any
) -> Watched:
    settings = build(TaggerSettings, merged(merged(SETTINGS, {"model": {"path": str(path)}}), over), "test")
    rows: list[Mapping[str, float]] = []
    made = Watched(settings, Context(LABELS, Brief(), seed, folder, rows.append, validation_f1))
    made.rows = rows
    return made


def fitted(path: Path, folder: Path, **over: Any) -> Watched:
    made = tagger(path, folder, **over)
    made.fit(corpus(24), corpus(8, seed=1))
    return made


def words(labeled: Sequence[Labeled]) -> list[Sentence]:
    return [one.sentence for one in labeled]


@pytest.fixture(scope="module")
def trained(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return fitted(tiny_decoder, tmp_path_factory.mktemp("run"))


def test_it_learns(tiny_decoder: Path, tmp_path: Path) -> None:
    made = fitted(tiny_decoder, tmp_path, train={"epochs": 12, "method": "full"}, lora={})
    losses = [row["loss"] for row in made.rows]
    assert sum(losses[-5:]) < sum(losses[:5]) / 4


@pytest.mark.parametrize("attention", ["auto", "sdpa"])  # auto joins blocks
@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_batch_size_and_order_change_no_prediction(
    tiny_decoder: Path, tmp_path: Path, pooling: str, attention: str
) -> None:
    made = fitted(tiny_decoder, tmp_path, pooling=pooling, model={"attention": attention})
    test = words(corpus(40, seed=2))
    outputs: list[list[RawOutput]] = []
    for size in (1, 64):
        made.settings = build(TaggerSettings, merged(SETTINGS, {"model": {"path": "x"}, "predict_batch": size}), "test")
        outputs.append(made.predict(test))
    shuffled = random.Random(1).sample(range(40), 40)
    again = made.predict([test[i] for i in shuffled])
    assert outputs[0] == outputs[1]
    assert [again[shuffled.index(i)] for i in range(40)] == outputs[0]


def test_tagging_that_is_broken_off_leaves_the_weights_as_they_were(tiny_decoder: Path, tmp_path: Path) -> None:
    made = fitted(tiny_decoder, tmp_path, model={"attention": "sdpa"})
    before = {name: p.clone() for name, p in made.model.named_parameters()}
    found = best_tags(made.model, made.encoder, made.encoder.windows([s.words for s in words(corpus(9))]), 2)
    next(found)
    during = dict(made.model.named_parameters())
    assert not all(torch.equal(before[name], during[name]) for name in before)
    found.close()
    assert all(torch.equal(before[name], p) for name, p in made.model.named_parameters())


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tiny_decoder: Path, tmp_path: Path) -> None:
    one, two, other = (fitted(tiny_decoder, tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    states = [checkpoint.trained_state(made.model) for made in (one, two, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.parametrize(
    ("method", "attention"), [("lora", "auto"), ("lora", "sdpa"), ("full", "auto"), ("head", "auto")]
)
def test_saving_and_loading_change_nothing(tiny_decoder: Path, tmp_path: Path, method: str, attention: str) -> None:
    over = {"train": {"method": method}, "model": {"attention": attention}}
    made = fitted(tiny_decoder, tmp_path / "a", **over)
    (tmp_path / "weights").mkdir()
    made.save(tmp_path / "weights")
    assert {path.suffix for path in (tmp_path / "weights").iterdir()} == {".safetensors"}
    again = tagger(tiny_decoder, tmp_path / "b", seed=99, **over)
    again.load(tmp_path / "weights")
    test = words(corpus(20, seed=2))
    assert again.predict(test) == made.predict(test)
    with torch.inference_mode():
        batch = made.encoder.batch(made.encoder.windows([s.words for s in test])).to(device_of("auto"))
        assert torch.equal(made.model.eval()(batch), again.model.eval()(batch))


def test_what_is_trained_is_float32_over_a_bfloat16_base(tiny_decoder: Path, tmp_path: Path) -> None:
    made = fitted(tiny_decoder, tmp_path, model={"dtype": "bfloat16"}, machine={"widen": "off"})
    assert {p.dtype for _, p in made.model.trained()} == {torch.float32}
    assert {p.dtype for p in made.model.parameters() if not p.requires_grad} == {torch.bfloat16}


def test_full_fine_tuning_keeps_float32_weights_under_bfloat16_arithmetic(tiny_encoder: Path, tmp_path: Path) -> None:
    model, machine = {"dtype": "bfloat16"}, {"widen": "off"}
    made = fitted(tiny_encoder, tmp_path, unmask="", model=model, train={"method": "full"}, machine=machine)
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert made.model.autocast is torch.bfloat16


@pytest.mark.parametrize("unpack", ["on", "off"])
def test_nf4_qlora_trains_and_comes_back(tiny_decoder: Path, tmp_path: Path, unpack: str) -> None:
    nf4 = {"dtype": "bfloat16", "quantization": "nf4"}
    machine = {"unpack": unpack}
    made = fitted(tiny_decoder, tmp_path / "a", model=nf4, train={"epochs": 3}, machine=machine)
    losses = [row["loss"] for row in made.rows]
    assert losses[-1] < losses[0]
    packed = any("4bit" in type(module).__name__.lower() for module in made.model.modules())
    assert packed is (unpack == "off")
    assert made.cost().parameters > 30_000  # not the bytes they are packed into
    (tmp_path / "w").mkdir()
    made.save(tmp_path / "w")
    again = tagger(tiny_decoder, tmp_path / "b", model=nf4, machine=machine)
    again.load(tmp_path / "w")
    assert again.predict(words(corpus(10, seed=2))) == made.predict(words(corpus(10, seed=2)))


def test_accumulated_gradients_are_those_of_the_whole_batch(tiny_decoder: Path, tmp_path: Path) -> None:
    calm = {"dropout": 0.0, "lora": {"r": 4, "dropout": 0.0}}
    whole = fitted(tiny_decoder, tmp_path / "a", **calm, train={"epochs": 1, "batch": 24})
    parts = fitted(tiny_decoder, tmp_path / "b", **calm, train={"epochs": 1, "batch": 6, "accumulation": 4})
    states = [checkpoint.trained_state(made.model) for made in (whole, parts)]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], atol=1e-5, rtol=1e-4)


def test_how_much_is_read_at_once_changes_no_gradient(tiny_decoder: Path, tmp_path: Path) -> None:
    calm = {"dropout": 0.0, "lora": {"r": 4, "dropout": 0.0}}
    made = [
        fitted(
            tiny_decoder,
            tmp_path / str(room),
            **calm,
            train={"epochs": 1, "batch": 24},
            machine={"pass_subwords": room},
        )
        for room in (1, 50, 4096)
    ]
    states = [checkpoint.trained_state(one.model) for one in made]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[2][name], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(states[1][name], states[2][name], atol=1e-5, rtol=1e-4)


def test_passes_of_an_update_are_even(monkeypatch: pytest.MonkeyPatch, tiny_decoder: Path, tmp_path: Path) -> None:
    made = fitted(tiny_decoder, tmp_path, train={"epochs": 1})
    windows = made.encoder.windows([("the", "soup")] * 10)
    objective = TagObjective(made.model, made.encoder)
    monkeypatch.setattr(objective, "_loss", len)
    examples = list(tagged_windows(windows, [[0, 0]] * 10))
    size = 6 * len(windows[0].ids)
    assert list(objective.losses(examples, Room(size))) == [5, 5]
    assert list(objective.losses(examples, Room(10 * size))) == [10]


def test_an_epoch_reads_every_sentence_once_in_an_order_of_its_own(
    tiny_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, read = Trainer._update, []

    def noted(self: Trainer, examples: Any) -> Any:
        read.append([one.window.sentence for one in examples])
        return update(self, examples)

    monkeypatch.setattr(Trainer, "_update", noted)
    fitted(tiny_decoder, tmp_path, train={"epochs": 2, "batch": 5})
    assert [len(one) for one in read] == [5, 5, 5, 5, 4] * 2
    epochs = [[number for one in read[i : i + 5] for number in one] for i in (0, 5)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(24))
    assert epochs[0] != epochs[1]


class Crash(Exception):
    pass


@pytest.mark.parametrize(("method", "optimizer"), [("lora", "adamw"), ("lora", "adamw-8bit"), ("full", "adamw")])
@pytest.mark.parametrize(("crash_at", "minutes"), [(7, 10), (4, 1e-9), (9, 1e-9)])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    tiny_decoder: Path,
    tmp_path: Path,
    crash_at: int,
    minutes: float,
    method: str,
    optimizer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = {
        "machine": {"checkpoint_minutes": minutes},
        "train": {"method": method, "optimizer": optimizer},
        "lora": {"r": 64},  # smaller matrices have no states of 8 bits
    }
    whole = fitted(tiny_decoder, tmp_path / "whole", **over)
    update, done = Trainer._update, 0

    def crashing(self: Trainer, batches: Any) -> Any:
        nonlocal done
        done += 1
        if done == crash_at:
            raise Crash
        return update(self, batches)

    monkeypatch.setattr(Trainer, "_update", crashing)
    with pytest.raises(Crash):
        fitted(tiny_decoder, tmp_path / "cut", **over)
    assert [p.name for p in (tmp_path / "cut").glob("checkpoint-*")] == [
        "checkpoint-00000006-0001" if minutes > 1 else f"checkpoint-{crash_at - 1:08d}-{crash_at // 7:04d}"
    ]
    assert not [p for p in (tmp_path / "cut").rglob("*") if p.is_file() and p.suffix not in (".safetensors", ".json")]
    resumed = fitted(tiny_decoder, tmp_path / "cut", **over)
    assert done == crash_at + 12 - (6 if minutes > 1 else crash_at - 1)  # nothing before the checkpoint was done again
    states = [checkpoint.trained_state(made.model) for made in (whole, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_checkpoint_that_is_cut_off_leaves_the_one_before(
    tiny_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def crashing(self: Path, target: Path) -> Path:
        if self.name.endswith("-0001"):  # at the end of the first epoch, after its last update has been kept
            raise Crash
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crashing)
    with pytest.raises(Crash):
        fitted(tiny_decoder, tmp_path, machine={"checkpoint_minutes": 1e-9})
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-00000006-0000"]


def test_a_checkpoint_that_does_not_fit_is_named_and_not_read(tiny_decoder: Path, tmp_path: Path) -> None:
    fitted(tiny_decoder, tmp_path, train={"epochs": 1})
    with pytest.raises(
        StoreError, match=r"trained.safetensors does not fit the model.*Delete the folder .*checkpoint-"
    ):
        fitted(tiny_decoder, tmp_path, train={"epochs": 1}, lora={"r": 8})


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "trained.safetensors"])
def test_a_damaged_checkpoint_is_named(tiny_decoder: Path, tmp_path: Path, name: str) -> None:
    fitted(tiny_decoder, tmp_path, train={"epochs": 1})
    [damaged] = tmp_path.glob(f"checkpoint-*/{name}")
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"Delete (it|the folder .*checkpoint-\S+) to train anew"):
        fitted(tiny_decoder, tmp_path, train={"epochs": 1})


def test_a_single_target_of_adapters_may_stand_alone(tiny_decoder: Path, tmp_path: Path) -> None:
    one, listed = (tagger(tiny_decoder, tmp_path, lora={"targets": targets}) for targets in ("v_proj", ["v_proj"]))
    for made in (one, listed):
        made._build()
    names = [name for name, _ in one.model.trained()]
    assert names == [name for name, _ in listed.model.trained()]
    assert sum("v_proj.lora_A" in name for name in names) == 4


def test_the_best_epoch_on_validation_can_be_kept(tiny_decoder: Path, tmp_path: Path) -> None:
    scores = iter([10.0, 30.0, 20.0])
    kept: list[dict[str, torch.Tensor]] = []

    def validation_f1(_: Sequence[RawOutput]) -> float:
        kept.append(checkpoint.trained_state(made.model))
        return next(scores)

    made = tagger(tiny_decoder, tmp_path, validation_f1=validation_f1, train={"epochs": 3, "choose": "best-validation"})
    made.fit(corpus(24), corpus(8, seed=1))
    final = checkpoint.trained_state(made.model)
    assert all(torch.equal(final[name], kept[1][name]) for name in final)


def test_a_run_cut_off_while_choosing_an_epoch_keeps_the_best_so_far(tiny_decoder: Path, tmp_path: Path) -> None:
    scores = iter([30.0, Crash(), 20.0, 10.0])
    kept: list[dict[str, torch.Tensor]] = []

    def validation_f1(_: Sequence[RawOutput]) -> float:
        kept.append(checkpoint.trained_state(made.model))
        score = next(scores)
        if isinstance(score, Crash):
            raise score
        return score

    settings = {"epochs": 3, "choose": "best-validation"}
    made = tagger(tiny_decoder, tmp_path, validation_f1=validation_f1, train=settings)
    with pytest.raises(Crash):
        made.fit(corpus(24), corpus(8, seed=1))
    made = tagger(tiny_decoder, tmp_path, validation_f1=validation_f1, train=settings)
    made.fit(corpus(24), corpus(8, seed=1))
    final = checkpoint.trained_state(made.model)
    assert all(torch.equal(final[name], kept[0][name]) for name in final)


def test_words_longer_than_a_window_are_counted(tiny_decoder: Path, tmp_path: Path) -> None:
    made = fitted(tiny_decoder, tmp_path)
    made.predict([Sentence("s", ("we", "z" * 300))])
    assert made.cost().notes == {"cut_words": 1}


def test_long_sentences_are_covered_whole(trained: Tagger) -> None:
    long = Sentence("long", tuple(["we", "loved", "the", "soup"] * 100))
    output = trained.predict([long])[0]
    assert output.unseen == ()
    assert isinstance(output, Tags)
    assert len(output.labels) == 400


def test_a_tracker_writes_what_the_log_says(tiny_decoder: Path, tmp_path: Path) -> None:
    fitted(tiny_decoder, tmp_path, machine={"report_to": ["tensorboard"]})
    written = list((tmp_path / "trackers").rglob("events.out.tfevents*"))
    assert len(written) == 1
    assert written[0].stat().st_size > 500


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_loaded() -> None:
    settings = build(
        TaggerSettings, {"model": {"path": "embedded:minilm"}, "machine": {"report_to": ["clearml"]}}, "test"
    )
    assert "report_to names clearml" in Tagger.missing(settings)


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        (
            {"lora": {"targets": ["q_proj", "no_such_module"]}},
            "names 'no_such_module', but .* are called q_proj, k_proj",
        ),
        ({"train": {"lr": 1e30}}, "diverged: the loss of update 2 is nan. Try a lower train.lr than 1e[+]30"),
        ({"train": {"method": "full"}, "model": {"quantization": "nf4"}}, "4-bit weights"),
        ({"unmask": "0" * 9}, "only 4 blocks"),
        ({"model": {"attention": "telepathy"}}, "cannot be loaded"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tiny_decoder: Path, tmp_path: Path, over: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CardError, match=reason):
        fitted(tiny_decoder, tmp_path, **over)
