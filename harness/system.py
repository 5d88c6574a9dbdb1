"""System cards, and the grammar of system names.

    <model>-unmask-<bits>     token classifier on a decoder, causal mask removed in the groups whose bit is 1
    <model>-<n>shot           a decoder that is prompted, with n examples
    <model>-it                a decoder fine-tuned to write the mentions
    <encoder>                 token classifier on an encoder
    gazetteer, oracle         no model
    file:<path>               anybody's predictions file
    <path>.toml               a card of your own

A card names an adapter and its settings. Laid over each other, later ones win: the adapter's defaults, the preset, the
card, the name's bits, `--set`.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from harness.contracts import System
from harness.errors import CardError, UnknownName
from harness.registry import ADAPTERS, card_paths, check_name, resolve
from harness.settings import CLOSED, NAME, build, flat, known_keys, merged, nested, read_toml

MACHINE = "machine"  # the table of settings that change how a run is carried out, not what comes out
_UNMASK = re.compile(r"(?P<model>.+)-unmask-(?P<bits>[01?*\[\]]+)")
_GENERATOR = re.compile(r"(?P<model>.+)-(?:(?P<shots>[0-9]{1,9})shot|it)")
_GENERATORS = ("0shot", "5shot", "it")  # what shell patterns find
_RESERVED = {"model.trust_remote_code", "machine.key_variable"}
_WILD = re.compile(r"[?*\[]")


@dataclass(frozen=True, slots=True, config=CLOSED)
class SystemCard:
    """What a card file says. `settings` are the adapter's own.

    A decoder's card becomes a tagger with its bits, or a generator, to which of `settings` only `model` applies and all
    of `generator`.
    """

    name: Annotated[str, Field(pattern=NAME)]
    adapter: str
    kind: Literal["encoder", "decoder", "none"] = "none"
    description: str = ""
    source: str = ""
    license: str = ""
    citation: str = ""
    preset: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    generator: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=CLOSED)
class ResolvedSystem:
    """A system ready to be made: every setting has its value. `overrides` are those the user set by hand."""

    name: str
    card: SystemCard
    settings: dict[str, Any]
    preset: str = ""
    asked_preset: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, with what was set by hand and changes results."""
        changes = [f"preset={self.asked_preset}"] if self.asked_preset else []
        changes += [f"{key}={value}" for key, value in sorted(self.overrides.items()) if not key.startswith(MACHINE)]
        return f"{self.name} ({', '.join(changes)})" if changes else self.name


def adapter_class(card: SystemCard) -> Any:
    """The class behind a card's adapter. Raises CardError, UnknownName."""
    return adapter_called(card.adapter)


def adapter_called(name: str) -> Any:
    """The class of that name. Raises CardError for what is no System, UnknownName."""
    found = resolve(ADAPTERS, "adapter", name)
    if not (isinstance(found, type) and issubclass(found, System)):
        raise CardError(f"The adapter {name!r} is no class that derives from System.")
    if not hasattr(found, "settings_type"):
        raise CardError(f"The adapter {name!r} has no settings_type, the dataclass of its settings.")
    return found


def system_names(pattern: str) -> list[str]:
    """The system names that a shell pattern stands for; a plain name stands for itself. Raises UnknownName."""
    if not _WILD.search(pattern) or pattern.startswith("file:") or pattern.endswith(".toml"):
        _split_name(pattern)
        return [pattern]
    plain = [name for name in known_systems() if not _is_decoder(name) and name != "file"]
    found = fnmatch.filter(plain, pattern)
    if match := _UNMASK.fullmatch(pattern):
        bits = [bits for bits in _bit_strings(match["bits"]) if fnmatch.fnmatch(bits, match["bits"])]
        models = [name for name in known_systems() if _is_decoder(name) and fnmatch.fnmatch(name, match["model"])]
        found += [f"{model}-unmask-{b}" for model in models for b in bits]
    generators = [f"{name}-{kind}" for name in known_systems() if _is_decoder(name) for kind in _GENERATORS]
    found += fnmatch.filter(generators, pattern)
    if not found:
        raise UnknownName("system", pattern, known_systems(), "See them all with: harness ls systems.")
    return found


def _bit_strings(pattern: str) -> list[str]:
    length = 4 if "*" in pattern else len(re.sub(r"\[[^]]*\]", "?", pattern))
    return ["".join(bits) for bits in itertools.product("01", repeat=length)]


def resolve_system(name: str, preset: str = "", overrides: Mapping[str, Any] | None = None) -> ResolvedSystem:
    """Everything a system of this name is made of. Raises UnknownName and CardError.

    Overrides of keys that the adapter does not have are left out here; `unused_overrides` finds those nobody took.
    """
    card, given = _split_name(name)
    kind = adapter_class(card).settings_type
    known = known_keys(kind)
    asked = preset if card.preset else ""
    chosen = asked or card.preset
    own = {key: value for key, value in (overrides or {}).items() if _belongs(key, known)}
    defaults = read_preset(chosen, card.adapter) if chosen else {}
    layers = [card.settings, defaults] if asked else [defaults, card.settings]  # a preset asked for outranks the card
    values: dict[str, Any] = {}
    for layer in (*layers, given, nested(own)):
        values = merged(values, layer)
    settings = build(kind, values, f"system {name!r}")
    return ResolvedSystem(_given_name(name, card, given), card, asdict(settings), chosen, asked, own)


def _given_name(name: str, card: SystemCard, given: Mapping[str, Any]) -> str:
    """A card's own name where it was given by its path."""
    return re.sub(r"^.*\.toml", lambda _: card.name, name) if ".toml" in name else name


def settings_of(system: ResolvedSystem) -> Any:
    """The adapter's settings object of a resolved system."""
    return build(adapter_class(system.card).settings_type, system.settings, f"system {system.name!r}")


def refuse_unused(keys: Mapping[str, Any], preset: str, systems: list[ResolvedSystem]) -> None:
    """Raise UnknownName for an override that no system of the grid knows, CardError for a preset that none takes."""
    if preset:
        for system in systems:
            if system.asked_preset:
                read_preset(preset, system.card.adapter)
        if not any(system.asked_preset for system in systems):
            raise CardError(f"--preset {preset}: none of these systems has a card that takes presets.")
    known = {key for system in systems for key in known_keys(adapter_class(system.card).settings_type)}
    for key in keys:
        if not _belongs(key, list(known)):
            raise UnknownName("key for --set", key, known)


def _belongs(key: str, known: list[str]) -> bool:
    return key in known or any(k.startswith(f"{key}.") for k in known)


def _split_name(name: str) -> tuple[SystemCard, dict[str, Any]]:
    if name.startswith("file:"):
        return known_systems()["file"], {"path": name.removeprefix("file:")}
    if name.endswith(".toml"):
        return _checked_kind(name, name, _read_card(Path(name)), None)
    generator = _GENERATOR.fullmatch(name)
    if generator and (base := _decoder(generator["model"])):
        return _as_generator(base, generator["shots"])
    model, _, bits = name.rpartition("-unmask-")
    if model and re.search("[^01]", bits) and _decoder(model):
        raise CardError(
            f"System {name!r}: what stands behind -unmask- must be bits, each 0 or 1, and not {bits!r}; "
            f"name it as in {model}-unmask-0011, with a bit for each group of blocks."
        )
    match = _UNMASK.fullmatch(name)
    model = match["model"] if match else name
    card = _read_card(Path(model)) if model.endswith(".toml") else known_systems().get(model)
    if model == "file":
        raise CardError("The system 'file' is named with the path of a predictions file: --system file:PATH.")
    if card is None:
        hint = (
            "Decoders are named <decoder>-unmask-<bits> (bits are 0 or 1), -<n>shot or -it; "
            "see them with: harness ls systems."
        )
        raise UnknownName(
            "system", name, [*known_systems(), *(f"{c}-unmask-0000" for c in known_systems() if _is_decoder(c))], hint
        )
    return _checked_kind(name, model, card, match)


def _checked_kind(
    name: str, model: str, card: SystemCard, match: re.Match[str] | None
) -> tuple[SystemCard, dict[str, Any]]:
    """A card, and what the bits of a name set. Raises CardError for a decoder without bits, and for bits of another."""
    if bool(match) != (card.kind == "decoder"):
        fix = (
            f"name it {model}-unmask-<bits>, as in {model}-unmask-0011, or {model}-0shot, {model}-it"
            if not match
            else f"its name is just {model}"
        )
        what = "is a decoder" if not match else "is no decoder and has no causal mask to remove"
        raise CardError(f"System {name!r}: {model} {what}; {fix}.")
    return card, {"unmask": match["bits"]} if match else {}


def _decoder(model: str) -> SystemCard | None:
    """The card of a decoder, given by its name or its path."""
    card = _read_card(Path(model)) if model.endswith(".toml") else known_systems().get(model)
    return card if card and card.kind == "decoder" else None


def _as_generator(card: SystemCard, shots: str | None) -> tuple[SystemCard, dict[str, Any]]:
    """A decoder's card as that of a generator: prompted with that many examples, or fine-tuned."""
    settings = merged({"model": card.settings.get("model", {})}, card.generator)
    refuse_reserved(settings, f"the system card {card.name!r}")
    if shots is None:
        given = {"prompt": {"style": "sections", "definitions": False}}
        return replace(card, adapter="instructed", settings=settings), given
    return replace(card, adapter="prompted", settings=settings), {"prompt": {"shots": int(shots)}}


@cache
def known_systems() -> dict[str, SystemCard]:
    """Every installed system card by name."""
    return {name: _read_card(path) for name, path in card_paths("system").items()}


def _is_decoder(name: str) -> bool:
    return known_systems()[name].kind == "decoder"


def _read_card(path: Path) -> SystemCard:
    where = f"the system card {path}"
    card = build(SystemCard, read_toml(path), where)
    check_name(ADAPTERS, f"adapter in {where}", card.adapter)
    if card.preset:
        _preset_path(card.preset, card.adapter, where)
    refuse_reserved(card.settings, where)
    return card


def refuse_reserved(settings: Mapping[str, Any], where: str) -> None:
    """Raise CardError for what only the command line may say: to run a model's own code, to send somebody a key."""
    for key in sorted(_RESERVED & flat(settings).keys()):
        raise CardError(f"{where} cannot set {key}; say --set {key}=... yourself, if you trust it.")


def read_preset(name: str, adapter: str) -> dict[str, Any]:
    """The settings of an adapter's preset. Raises UnknownName."""
    return read_toml(_preset_path(name, adapter, f"{adapter} systems"))


def _preset_path(name: str, adapter: str, where: str) -> Path:
    folder = Path(str(files("harness.adapters"))) / "presets" / adapter
    known = {path.stem: path for path in folder.glob("*.toml")}
    if name not in known:
        raise UnknownName(f"preset of {where}", name, known)
    return known[name]
