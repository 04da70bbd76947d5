"""The report in a real browser, from the file system: no error, no request, and everything works.

Needs Chromium (`apt-get install chromium`) and the extra `browser`. Without them the tests are skipped, or fail in CI.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from report_sites import HOSTILE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

MARKS = ".chart svg :is(.mark-symbol, .mark-line, .mark-rect, .mark-rule, .mark-area) > *"

RUN_AXE = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"


def _lacking(reason: str) -> None:
    """Skip because there is no browser; in CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _lacking("playwright is not installed: pip install 'natfp_bench[browser]'")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        _lacking("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


class Watched:
    """A tab that remembers errors and requests."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: self.requests.append(asked.url))

    def open(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        return self.page

    def draw(self) -> int:
        """Scroll to every figure and wait until it is drawn; returns how many there are."""
        figures = self.page.locator("figure.figure")
        for place in range(figures.count()):
            figures.nth(place).scroll_into_view_if_needed()
            figures.nth(place).locator(".chart svg").wait_for()
        return int(figures.count())

    @property
    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def tab(browser: Any) -> Iterator[Watched]:
    made = Watched(browser)
    yield made
    made.context.close()


def html_files(site: Any) -> list[Path]:
    found = sorted(site[0].rglob("*.html"))
    assert found
    return found


def test_every_page_opens_without_an_error_or_a_request(site: Any, tab: Watched) -> None:
    drawn = 0
    for path in html_files(site):
        page = tab.open(path)
        count = tab.draw()
        drawn += count
        for place in range(count):
            figure = page.locator("figure.figure").nth(place)
            assert figure.locator(MARKS).count() > 0, (path, figure.get_attribute("data-name"))
            kept, taken = figure.locator(".chart").evaluate("it => [parseFloat(it.style.minHeight), it.offsetHeight]")
            assert taken <= kept + 10, "what lies below does not move when a chart is drawn"
            assert figure.locator(".chart").get_attribute("aria-label") or figure.locator("svg[aria-label]").count()
    assert drawn > 30
    assert tab.errors == []
    assert tab.foreign == []


def test_tables_sort_within_their_parts(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "index.html")
    page.goto((site[0] / page.locator("tbody th a", has_text="rate").first.get_attribute("href")).as_uri())
    tab.draw()
    table = page.locator("table.sortable", has=page.locator("th", has_text="attributor")).first
    header = table.locator("thead th", has_text="attributor")

    def names() -> list[str]:
        return [name.strip() for name in table.locator("tbody th").all_inner_texts()]

    before = names()
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert names() == sorted(before)
    header.get_by_role("button").press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert names() == sorted(before, reverse=True)
    accuracy = table.locator("thead th").nth(3)
    accuracy.get_by_role("button").click()
    values = [float(text.split()[0]) for text in table.locator("tbody td:nth-child(4)").all_inner_texts() if text]
    assert values == sorted(values)
    assert header.get_attribute("aria-sort") is None
    assert tab.errors == []


def test_leaderboards_filter(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "index.html")
    sections = page.locator("section.setting")
    everything = sections.count()
    assert everything >= 2
    rows = page.locator("section.setting tbody tr[data-tags]:visible")
    all_rows = rows.count()
    page.get_by_label("Search").fill("rate")
    assert 0 < rows.count() < all_rows
    assert all("rate" in text for text in rows.all_inner_texts())
    assert re.fullmatch(r"\d+ of \d+ rows", page.locator("output").inner_text())
    page.get_by_label("Search").fill("no task has this name")
    assert page.locator("section.setting:visible").count() == 0
    page.get_by_label("Search").fill("")
    assert (rows.count(), page.locator("output").inner_text()) == (all_rows, "")
    tag = page.get_by_label("Tag")
    named = [option for option in tag.locator("option").all_inner_texts() if option != "all"]
    tag.select_option(named[0])
    assert page.locator("section.setting:visible").count() < everything
    tag.select_option("")
    page.get_by_label("Preset").select_option("smoke")
    assert page.locator("section.setting:visible").count() == everything
    assert tab.errors == []


def test_hostile_names_and_texts_show_as_text(attacked: Any, tab: Watched) -> None:
    for path in html_files(attacked):
        page = tab.open(path)
        tab.draw()
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        if "tasks/" in path.as_posix():
            assert HOSTILE in page.locator("h1").inner_text()
            assert HOSTILE in page.locator("blockquote").first.inner_text()
            assert any(HOSTILE[:20] in text for text in page.locator(".chart svg text").all_text_contents())
            # Tooltips are made of names, too.
            page.locator("figure.figure .mark-symbol path").first.hover(force=True)
            assert page.evaluate("window.hacked") is None
    assert tab.errors == []
    assert tab.foreign == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_nothing_serious_is_inaccessible(site: Any, browser: Any, scheme: Any, every: bool) -> None:
    """On one page of each folder in the fast tests, on every page in the slow ones."""
    base = pytest.importorskip("axe_playwright_python.base")
    tab = Watched(browser, color_scheme=scheme)
    faults = []
    paths = html_files(site)
    for path in paths if every else {path.parent: path for path in paths}.values():
        page = tab.open(path)
        tab.draw()
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        page.evaluate(base.AXE_SCRIPT)
        for found in page.evaluate(RUN_AXE):
            if found["impact"] in ("serious", "critical"):
                faults.append(
                    (path.name, found["id"], found["nodes"][0]["html"][:200], found["nodes"][0]["failureSummary"])
                )
    tab.context.close()
    assert faults == []


def test_tables_are_there_without_a_script(site: Any, browser: Any) -> None:
    tab = Watched(browser, java_script_enabled=False)
    page = tab.open(site[0] / "index.html")
    assert page.locator("section.setting tbody tr[data-tags]:visible").count() > 5
    assert not page.locator("#filters").is_visible()
    assert page.locator("noscript").first.is_visible()
    page.locator("figure summary").first.click()
    assert page.locator("figure details table").first.is_visible()
    tab.context.close()


def test_figures_are_saved(site: Any, tab: Watched) -> None:
    path = next(path for path in html_files(site) if "rate" in path.name)
    page = tab.open(path)
    tab.draw()
    figure = page.locator("figure.figure", has_text="Which level is taken for which")
    figure.get_by_label("attributor").select_option("majority")
    with page.expect_download() as svg:
        figure.get_by_role("button", name="SVG").click()
    text = svg.value.path().read_text()
    assert svg.value.suggested_filename.endswith("confusion-majority.svg")
    assert text.startswith("<svg")
    # The chosen attributor is saved: a floor guesses each of the three levels equally often.
    assert "0.33" in text
    with page.expect_download() as png:
        figure.get_by_role("button", name="PNG").click()
    assert png.value.path().read_bytes().startswith(b"\x89PNG")
    assert tab.errors == []


def test_a_phone_shows_it_all(site: Any, browser: Any) -> None:
    tab = Watched(browser, viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True)
    for path in html_files(site):
        page = tab.open(path)
        tab.draw()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    tab.context.close()


def test_colours_follow_the_reader(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "index.html")
    tab.draw()
    label = page.locator(".chart svg .role-axis-label text").first
    light = label.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "light => document.querySelector('.chart svg .role-axis-label text')?.getAttribute('fill') !== light", arg=light
    )
    assert tab.errors == []
