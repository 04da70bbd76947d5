"""The report in a real browser, from the file system: no error, no request, and everything can be read and used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from report_sites import HOSTILE
from tabs import Watched, address, html_files, task_page

MARKS = ".chart svg :is(.mark-symbol, .mark-line, .mark-rect, .mark-rule, .mark-area) > *"

RUN_AXE = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"


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


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
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
