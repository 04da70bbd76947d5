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
    page.get_by_label("Search").fill("rate")
    assert address(page) == "#preset=smoke&search=rate"
    again = (site[0] / "index.html").as_uri() + address(page)
    page.goto("about:blank")
    page.goto(again)
    assert page.get_by_label("Search").input_value() == "rate", "the address keeps filters"
    assert 0 < rows.count() < all_rows
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
    """On one page of each kind in the fast tests, on every page in the slow ones."""
    base = pytest.importorskip("axe_playwright_python.base")
    tab = Watched(browser, color_scheme=scheme)
    faults = []
    paths = html_files(site)
    root = [path for path in paths if path.parent == site[0]]
    for path in paths if every else [*root, *{path.parent: path for path in paths if path not in root}.values()]:
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


def address(page: Any) -> str:
    """What stands after the address of a page, as the page itself has it now."""
    return str(page.evaluate("location.hash"))


def task_page(site: Any, name: str) -> Path:
    return next(path for path in html_files(site) if path.parent.name == "tasks" and name in path.name)


def test_the_first_screen_has_the_finding_the_figure_and_the_scope(site: Any, browser: Any) -> None:
    tab = Watched(browser, viewport={"width": 1280, "height": 800})
    page = tab.open(site[0] / "index.html")
    page.locator(".first .chart svg").wait_for()
    for place in ("h1", "p.scope", ".first .chart svg"):
        box = page.locator(place).first.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 800, place
    assert re.search(r"[\d,]+ parameters", page.locator("p.scope").first.inner_text())
    page.wait_for_selector("html[data-drawn]", state="attached")
    words = " ".join(page.locator("[id^=fig-factors] .chart svg text").all_text_contents())
    for said in ("chance", "certain", "identifiability", "random seeds", "±"):
        assert said in words, words
    tab.context.close()
    assert tab.errors == []


def test_the_game_is_played_by_keyboard(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "game.html")
    texts = int(page.locator("#text-of").inner_text().split()[-1])
    assert texts >= 10
    for place in range(texts):
        assert page.locator("#text-of").inner_text() == f"Text {place + 1} of {texts}"
        assert page.locator("#text").inner_text().strip()
        assert page.locator("#outcome").inner_text() == "", "nothing is given away before the guess"
        page.keyboard.press("1")
        assert re.match(r"[✓✗] (Right|Wrong): .+ wrote it\.", page.locator("#outcome p").first.inner_text())
        said = page.locator("#outcome .who").all_inner_texts()
        assert {"unigram", "majority"} <= {who.strip() for who in said}
        if place + 1 < texts:
            page.keyboard.press("Enter")
    rows = {
        line.locator("th").inner_text(): [float(cell) for cell in line.locator("td").all_inner_texts()]
        for line in page.locator("#scores tbody tr").all()
    }
    assert {"you", "chance", "unigram"} <= rows.keys()
    assert all(0 <= right <= of == texts for right, of in rows.values())
    # Whoever guesses the first level each time is right as often as there are texts of it.
    assert rows["you"][0] == pytest.approx(rows["chance"][0], abs=1.0)
    page.keyboard.press("Enter")
    assert page.locator("#text-of").inner_text().startswith("Text 1 of")
    page.locator("select[name=task]").select_option(index=1)
    assert address(page)[1:] == page.locator("select[name=task]").input_value()
    assert tab.errors == []
    assert tab.foreign == []


def test_hostile_texts_are_played_as_text(attacked: Any, tab: Watched) -> None:
    page = tab.open(attacked[0] / "game.html")
    assert HOSTILE[:20] in page.locator("#text").inner_text()
    page.keyboard.press("1")
    page.locator("#examples summary").click()
    tab.open(attacked[0] / "compare.html")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert tab.errors == []


def test_the_slider_says_how_much_text_is_needed(site: Any, tab: Watched) -> None:
    page = tab.open(task_page(site, "rate"))
    curve = {figure.name: figure for one in site[1] for figure in one.figures if "rate" in one.title}["pooled"]
    slider = page.get_by_label("Texts of one model, judged together")
    slider.focus()
    for row in curve.rows:
        said = page.locator(".slider .said").first.inner_text()
        assert f"{100 * row['value']:.0f}%" in said or f"{int(100 * row['value'] + 0.5)}%" in said
        assert page.locator(".slider output").first.inner_text() == f"{row['at']} text{'s' * (row['at'] > 1)}"
        assert ("no interval" in said) == (row["low"] is None)
        page.keyboard.press("ArrowRight")
    assert tab.errors == []


def test_deep_links_lead_to_a_figure_and_to_a_choice(site: Any, tab: Watched) -> None:
    path = task_page(site, "rate")
    page = tab.page
    page.goto(f"{path.as_uri()}#fig-length")
    page.locator("#fig-length .chart svg").wait_for()
    page.wait_for_selector("html[data-drawn]", state="attached")
    box = page.locator("#fig-length").bounding_box()
    assert -5 <= box["y"] < 720
    page.goto("about:blank")
    page.goto(f"{path.as_uri()}#pick.confusion=majority&sort=0.1.d")
    menu = page.locator("#fig-confusion").get_by_label("attributor")
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert menu.input_value() == "majority"
    assert page.locator("table.sortable").first.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    menu.select_option("unigram")
    page.locator("#fig-confusion").get_by_role("button", name="Copy link").click()
    assert address(page) == "#at=fig-confusion&pick.confusion=unigram"
    page.locator("#fig-confusion").get_by_role("button", name="Copied").wait_for()  # said when the clipboard answers
    assert tab.errors == []


def test_two_results_stand_side_by_side(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "compare.html")
    known = page.locator("select[name=a] option").evaluate_all("all => all.map(one => one.value)")
    page.goto(f"{(site[0] / 'compare.html').as_uri()}#{known[1]},{known[0]}")
    assert page.get_by_label("First").input_value() == known[1]
    assert page.get_by_label("Second").input_value() == known[0]
    assert page.locator("#sides article").count() == 2
    row = page.locator("#both tbody tr", has_text="unigram").first
    assert re.search(r"-?\d\.\d\d", row.inner_text())
    page.get_by_label("Second").select_option(known[2])
    assert address(page) == f"#{known[1]},{known[2]}"
    page.locator("#sides a").first.click()
    assert page.locator("h1").is_visible()
    assert tab.errors == []


def test_menus_and_explanations_work_by_keyboard(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "index.html")
    page.keyboard.press("Tab")
    assert page.locator(".skip").evaluate("it => it === document.activeElement")
    menu = page.locator("details.menu").first
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    link = menu.get_by_role("link", name=re.compile("peak learning rate|learning rate|rate")).first
    assert link.is_visible()
    page.keyboard.press("Escape")
    assert not link.is_visible()
    assert menu.locator("summary").evaluate("it => it === document.activeElement")
    page.locator("th[data-tip] button").first.focus()
    tip = page.get_by_role("tooltip")
    assert tip.is_visible()
    assert len(tip.inner_text()) > 20
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    more = page.get_by_role("button", name="More columns").first
    table = page.locator(".scroll.less").first
    assert table.locator("thead .extra").first.is_hidden()
    more.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Fewer columns").first.get_attribute("aria-expanded") == "true"
    assert page.locator(".scroll thead .extra").first.is_visible()
    assert tab.errors == []


def test_a_dark_screen_prints_in_the_colours_of_paper(site: Any, browser: Any, tmp_path: Path) -> None:
    tab = Watched(browser, color_scheme="dark")
    page = tab.open(task_page(site, "rate"))
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert page.locator("figure .chart svg").count() == page.locator("figure.figure").count(), "all is drawn"
    label = page.locator(".chart svg .role-axis-label text").first
    ink = "it => getComputedStyle(it).fill"
    dark = label.evaluate(ink)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert label.evaluate(ink) == "rgb(29, 32, 36)" != dark
    assert page.locator("header.site").is_hidden()
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 within its margins
    cut = "all => all.filter(it => it.clientWidth && it.scrollWidth > it.clientWidth + 1).length"
    assert page.locator("main pre").count()
    assert page.locator("main pre").evaluate_all(cut) == 0
    printed = tmp_path / "page.pdf"
    printed.write_bytes(page.pdf(format="A4"))
    assert printed.stat().st_size > 50_000
    width = page.locator(".chart svg").evaluate_all("all => Math.max(...all.map(one => one.clientWidth))")
    assert width <= page.locator("main").evaluate("it => it.clientWidth")
    tab.context.close()
    assert tab.errors == []


def test_a_phone_shows_it_all(site: Any, browser: Any) -> None:
    tab = Watched(browser, viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True)
    for path in html_files(site):
        page = tab.open(path)
        tab.draw()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page = tab.open(site[0] / "index.html")
    cell = page.locator("table.grid td[data-label]:visible").first
    assert cell.evaluate("it => getComputedStyle(it).display") == "grid", "rows are cards"
    cut = "all => all.filter(it => it.offsetParent && it.scrollWidth > it.clientWidth + 1).length"
    assert page.locator(".scroll:has(table.grid)").evaluate_all(cut) == 0
    tab.context.close()


def test_colours_follow_the_reader(site: Any, tab: Watched) -> None:
    page = tab.open(site[0] / "index.html")
    tab.draw()
    label = page.locator(".chart svg .role-axis-label text").first
    light = label.evaluate("it => getComputedStyle(it).fill")
    page.emulate_media(color_scheme="dark")
    assert label.evaluate("it => getComputedStyle(it).fill") != light
    assert tab.errors == []
