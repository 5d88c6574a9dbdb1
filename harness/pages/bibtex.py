"""A bibliography of what runs used: their data, their models, their methods, and how they were judged."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from harness.errors import UserError
from harness.record import Record
from harness.system import adapter_class, resolve_system, settings_of

_CITATION = re.compile(r"(?P<authors>.+?), (?P<year>\d{4})\. (?P<title>.+)\. (?P<venue>.+)")
_JUDGED = (
    "Nakayama, 2018. seqeval: A Python Framework for Sequence Labeling Evaluation. https://github.com/chakki-works/seqeval.",
    "Noreen, 1989. Computer-Intensive Methods for Testing Hypotheses: An Introduction. Wiley.",
    "Holm, 1979. A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics.",
)
_SPECIAL = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_"}
    | {"^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | dict.fromkeys("{}\\", "")
)


def bibliography(records: Iterable[Record]) -> str:
    """A BibTeX file, an entry for each citation; systems are looked up by name, and unknown ones left out."""
    different = {(record.task, record.title): record for record in records}
    citations = dict.fromkeys(citation for record in different.values() for citation in citations_of(record))
    keys: dict[str, int] = {}
    entries = [_entry(citation, keys) for citation in sorted((*citations, *_JUDGED))]
    return "\n\n".join(entries) + "\n"


def citations_of(record: Record) -> list[str]:
    """Those of a run's data, model and methods, "Authors, year. Title. Venue." each."""
    found = [record.task_card.get("citation", "")]
    try:
        system = resolve_system(record.system, record.preset, record.overrides)
        found += [system.card.citation, *adapter_class(system.card).citations(settings_of(system))]
    except UserError:  # a card that is not here
        pass
    return [citation for citation in found if citation]


def _entry(citation: str, keys: dict[str, int]) -> str:
    line = " ".join(citation.split()).rstrip(".")
    match = _CITATION.fullmatch(line)
    if not match:
        return _braced("misc", _key("cited", keys), {"note": line})
    authors = re.sub(r" et al\.?$", " and others", match["authors"]).replace(", ", " and ")
    first = (re.split(r" and |,", authors)[0].split() or ["cited"])[-1]
    title = match["title"]
    key = _key(f"{_plain(first)}{match['year']}{_plain(title.split()[0])}", keys)
    return _braced(
        "misc", key, {"author": authors, "year": match["year"], "title": title, "howpublished": match["venue"]}
    )


def _key(wanted: str, keys: dict[str, int]) -> str:
    keys[wanted] = keys.get(wanted, 0) + 1
    return wanted if keys[wanted] == 1 else f"{wanted}{keys[wanted]}"


def _plain(word: str) -> str:
    letters = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    return re.sub(r"\W", "", letters).lower()


def _braced(kind: str, key: str, fields: dict[str, str]) -> str:
    """An entry; doubled braces keep a title's capitals."""
    texts = {name: value.translate(_SPECIAL) for name, value in fields.items()}
    if "title" in texts:
        texts["title"] = f"{{{texts['title']}}}"
    return "\n".join([f"@{kind}{{{key},", *(f"  {name} = {{{text}}}," for name, text in texts.items()), "}"])
