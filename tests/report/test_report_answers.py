"""What a visitor asks of the report in a real browser: finding, game, slider, links, and two results side by side."""

from __future__ import annotations

import re
from typing import Any

import pytest
from report_sites import HOSTILE
from tabs import Watched, address, task_page


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
