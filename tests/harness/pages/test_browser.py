"""Boards and run pages in a real browser: what people click, and what hostile names could do to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Result

Harness = Callable[..., Result]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

SCRIPT = "<script>window.hacked = 1</script>"
LONG = "w" * 10_000
TURNED = "\u202eright-to-left\u202d"
WORDS = [["Ann", "eats", SCRIPT], ["Bob", '"><img src=x onerror="window.hacked=1">', LONG], [TURNED, "sleeps", "'"]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for an error on its console, and for anything that it asks others for."""
    opened = browser.new_page()
    troubles: list[str] = []
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
    yield opened
    assert not troubles
    assert opened.evaluate("window.hacked") is None
    opened.close()


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The boards of lookright with run pages, of systems without a model."""
    return _boards(tmp_path_factory.mktemp("boards"), ["gazetteer", "oracle"], [])


def _boards(folder: Path, systems: list[str], options: list[str]) -> Path:
    import sys

    from harness.cli import main

    def call(*arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["harness", *arguments])
            try:
                main()
            except SystemExit as stop:
                assert not stop.code

    task = options or ["--task", "lookright"]
    runs = str(folder / "runs")
    call("run", *(part for name in systems for part in ("-s", name)), *task, "--runs", runs)
    call("run", "-s", systems[0], *task, "--set", "lowercase=true", "--runs", runs)
    data = ["--data", str(folder)] if options else []
    call("leaderboard", "--runs", runs, "--out", str(folder / "out"), "--run-pages", *data)
    return folder / "out"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The boards of a task whose words and labels, and of a system whose name, would like to be code."""
    folder = tmp_path_factory.mktemp("hostile")
    card = f'name = "mine"\nreader = "spans-json"\ndescription = {json.dumps(SCRIPT)}\n'
    card += (
        '[files]\ntrain = ["t.jsonl"]\ntest = ["t.jsonl"]\n[holdout]\nvalidation = 0.4\n[options]\nwords = "words"\n'
    )
    (folder / "mine.toml").write_text(card, encoding="utf-8")
    items = [{"words": words, "spans": [{"start": 0, "end": 1, "label": SCRIPT}]} for words in WORDS]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    answers = [{"spans": [[0, 1, SCRIPT], [1, 2, TURNED]]} for _ in WORDS]
    predictions = folder / "<img src=x onerror='window.hacked=1'>.jsonl"
    predictions.write_text("\n".join(map(json.dumps, answers)), encoding="utf-8")
    return _boards(
        folder, ["gazetteer", f"file:{predictions}"], ["-t", str(folder / "mine.toml"), "--data", str(folder)]
    )


def column(page: Any, name: str) -> list[str]:
    """The text of a column of the first table, from above."""
    table = page.locator("table").first
    heads = table.locator("thead th").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.split(" ")[0] == name) + 1
    return [text.strip() for text in table.locator(f"tbody tr:visible td:nth-child({place})").all_inner_texts()]


def test_a_click_on_a_head_sorts_and_another_turns(boards: Path, page: Any) -> None:
    page.goto((boards / "lookright.html").as_uri())
    head = page.get_by_role("button", name="place", exact=True).first
    head.click()
    up = column(page, "place")
    head.press("Enter")  # by keyboard
    down = column(page, "place")
    assert sorted(map(float, up)) == list(map(float, up)) == list(map(float, down))[::-1]
    assert len(set(up)) > 1
    assert page.locator('th[aria-sort="descending"]').count() == 1
    page.get_by_role("button", name="F1", exact=True).first.click()  # of scores, the highest come first
    assert page.locator('th[aria-sort="descending"]').inner_text().split()[0] == "F1"


def test_what_is_typed_filters_systems_in_all_tables(boards: Path, page: Any) -> None:
    page.goto((boards / "lookright.html").as_uri())
    assert len(column(page, "system")) == 2
    page.get_by_label("Show systems with").fill("LOWER")
    assert column(page, "system") == ["gazetteer (lowercase=True)"]
    assert all("lowercase" in text for text in page.locator("tbody tr[data-system]:visible").all_inner_texts())
    assert page.locator("#shown").inner_text() != ""


def test_the_index_leads_to_boards_and_boards_to_runs(boards: Path, page: Any) -> None:
    page.goto((boards / "index.html").as_uri())
    page.get_by_role("link", name="lookright").click()
    page.get_by_role("link", name="gazetteer", exact=True).first.click()
    assert page.locator("h1").inner_text() == "gazetteer"
    page.get_by_role("link", name="Board of lookright").click()
    assert page.locator("h1").inner_text() == "lookright"


def test_sentences_are_filtered_by_error_and_against_another_system(boards: Path, page: Any) -> None:
    page.goto((boards / "lookright.html").as_uri())
    page.get_by_role("link", name="gazetteer", exact=True).first.click()
    shown = page.locator("#shown")
    assert shown.inner_text() == "500 of 500 sentences"
    assert page.locator(".sentence").count() == 50
    page.get_by_role("button", name="More").click()
    assert page.locator(".sentence").count() == 100
    page.locator("#kind").select_option("label")
    wrong = int(shown.inner_text().split()[0])
    assert 0 < wrong < 500
    assert (
        page.locator(".sentence").first.get_by_text("· label").count() >= 2
    )  # the gold span and the one that was said
    page.locator("#kind").select_option("")
    page.locator("#other").select_option(label="oracle")
    page.locator("#relation").select_option("worse")
    behind = int(shown.inner_text().split()[0])
    page.locator("#relation").select_option("")
    page.locator("#kind").select_option("any")
    assert int(shown.inner_text().split()[0]) == behind > wrong  # the oracle has all right
    page.get_by_label("with the words").fill("no such words")
    assert shown.inner_text() == "0 of 500 sentences"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_their_text_stands_out(boards: Path, hostile: Path, browser: Any, scheme: str) -> None:
    phone = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = phone.new_page()
    for file in (*boards.rglob("*.html"), *hostile.rglob("*.html")):
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, file
        assert page.evaluate(CONTRAST) >= 4.5
    phone.close()


CONTRAST = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.match(/\\d+/g).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return Math.min(...[...document.querySelectorAll('p, h1, h2, h3, td, th, a, dt, dd, small, .side, label')].map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(back(one))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""


def test_hostile_words_labels_and_names_are_text(hostile: Path, page: Any) -> None:
    for file in sorted(hostile.rglob("*.html")):
        page.goto(file.as_uri())
    assert len(list(hostile.rglob("runs/**/*.html"))) == 3
    [shown] = [file for file in hostile.rglob("runs/**/*.html") if "onerror" in file.read_text().split("</h1>")[0]]
    page.goto(shown.as_uri())
    text = page.locator("#sentences").inner_text()
    for words in WORDS:
        assert all(word in text for word in words)
    assert SCRIPT in page.locator('table[data-name="confusions"]').inner_text()
    assert page.locator("img, iframe, object").count() == 0


def test_figures_of_hostile_names_are_drawings(hostile: Path) -> None:
    from xml.etree import ElementTree

    for file in hostile.rglob("*.svg"):
        names = {
            element.tag.split("}")[1] for element in ElementTree.fromstring(file.read_text(encoding="utf-8")).iter()
        }
        assert not names & {"script", "foreignObject", "image", "a"}
