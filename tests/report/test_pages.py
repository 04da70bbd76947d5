"""The pages of a report: what they hold, their links and headings, and names that are markup."""

from __future__ import annotations

import csv
import json
import math
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
from report_sites import make, page

from natfp_bench.pipeline.result_files import find
from natfp_bench.report import page_texts
from natfp_bench.report.glossary import TERMS, anchor
from natfp_bench.report.pages.home import apart
from natfp_bench.report.pages.page import Pages, bibtex, question, slug
from natfp_bench.report.pages.validity import control_verdict, controls
from natfp_bench.results.protocols import Protocol, Setting
from natfp_bench.statistics.intervals import Interval


class Outline(HTMLParser):
    """The elements of a page, its headings, links and embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.levels: list[int] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.data: list[str] = []
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append(tag)
        self._in_data = tag == "script" and given.get("type") == "application/json"
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data.append(data)


def outlines(folder: Path) -> dict[Path, Outline]:
    return {path: Outline(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}


def test_a_site_has_a_page_for_everything(site: Any) -> None:
    folder, made = site
    templates = [one.template for one in made]
    assert {name: templates.count(name) for name in set(templates)} == {
        "home.html": 1,
        "task.html": 3,
        "attributor.html": 4,
        "validity.html": 1,
        "compare.html": 1,
        "game.html": 1,
        "glossary.html": 1,
    }
    assert len({one.path for one in made}) == len(made)
    assert all((folder / one.path).is_file() for one in made)


def test_links_resolve_and_headings_are_in_order(site: Any) -> None:
    folder, _ = site
    known = outlines(folder)
    for path, outline in known.items():
        for link in outline.links:
            if link.startswith(("data:", "https://arxiv.org/")):
                continue
            target, _, anchor = link.partition("#")
            assert (path.parent / target).exists(), (path, link)
            there = known[(path.parent / target).resolve()] if target and anchor else outline
            assert not anchor or anchor in there.ids, (path, link)
        assert outline.levels[0] == 1
        assert outline.levels.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
        assert len(outline.ids) == len(set(outline.ids))


def test_every_task_page_has_its_figures(site: Any) -> None:
    _, made = site
    names = {figure.name for figure in page(made, "task.html", "rate").figures}
    always = {
        "accuracy",
        "confusion",
        "training",
        "equivalence",
        "length",
        "pooled",
        "train_texts",
        "kl",
        "words",
    }
    assert names & {"map", "distances"}, "a map, or the distances that no map can show"
    assert names >= always | {"classes", "positions", "types", "robustness"}
    assert {figure.name for figure in page(made, "attributor.html", "unigram").figures} == {"tasks", "calibration"}


def test_controls_are_counted_without_floors(seed_run: Any) -> None:
    result, path = seed_run
    negative = result.model_copy(update={"task": result.task.model_copy(update={"control": "negative"})})
    floors = {score.attributor.name for score in result.scores if score.attributor.floor}
    protocol = Protocol([(path, negative)])
    rows, coverage, size = controls(Pages([protocol], cast("Any", None), path))
    assert floors
    assert {row["attributor"] for row in rows} == set(protocol.main) - floors
    assert {row["part"] for row in rows} == {"must be at chance"}
    found = [protocol.main[row["attributor"]] for row in rows]
    above = sum(score.log10_p < math.log10(0.05) for score in found)
    inside = sum(score.metrics["accuracy"].low <= score.chance <= score.metrics["accuracy"].high for score in found)
    assert (coverage, size) == ((inside, len(rows)), (above, len(rows)))
    assert controls(Pages([Protocol([(path, result)])], cast("Any", None), path)) == (
        [],
        (0, 0),
        (0, 0),
    )


def test_pages_are_small(site: Any) -> None:
    folder = site[0]
    shared = sum(path.stat().st_size for path in (folder / "assets").iterdir())
    assert all(path.stat().st_size + shared < 2_000_000 for path in folder.rglob("*.html"))
    assert "</script" not in (folder / "assets" / "report.js").read_text()


def test_pages_say_how_they_were_made(site: Any, rate_run: Any) -> None:
    folder, made = site
    result = rate_run[0]
    text = (folder / page(made, "task.html", "rate").path).read_text()
    for said in (result.protocol_digest, result.corpus.digest, result.samples.digest, result.run.id):
        assert said in text
    assert result.run.environment["platform"] in text
    for path in folder.rglob("*.html"):
        assert "natfp_bench 0.1.0" in path.read_text()


def test_unusable_results_are_counted_and_named(site: Any) -> None:
    text = (site[0] / "index.html").read_text()
    assert "Left out: 1 file" in text
    assert "damaged/result.json: damaged, not JSON" in text


def test_settings_that_cannot_be_compared_have_tables_of_their_own(site: Any) -> None:
    first, *others = page(site[1], "home.html").shown["sections"]
    assert first.apart == ""
    assert others
    said = [one.apart for one in others]
    assert all("cannot be compared" in one for one in said)
    assert any("sampling.temperature=0.9" in one for one in [first.title, *(one.title for one in others)])
    plain = Setting(preset="quick", corpus="chronicle", overrides={}, seed=0, texts=100)
    other = plain.model_copy(update={"preset": "smoke", "texts": 50})
    assert apart(plain, plain) == ""
    assert apart(plain, other).endswith("preset (smoke), texts (50).")


def test_tables_are_complete_without_a_script(site: Any) -> None:
    text = (site[0] / "index.html").read_text()
    for name in ("seed_id", "rate", "unigram", "naive_bayes"):
        assert f">{name}</a>" in text
    assert '<form class="filters" id="filters" aria-label="Filter the leaderboards" hidden>' in text


def test_hostile_names_and_texts_are_text(attacked: Any) -> None:
    folder, made = attacked
    for path, outline in outlines(folder).items():
        assert "img" not in outline.elements, path
        assert "b" not in outline.elements, path
        text = path.read_text(encoding="utf-8")
        assert text.count("<script") == outline.elements.count("script")
        assert outline.elements.count("script") == len(outline.data) + text.count("<script defer src=")
        for data in outline.data:
            assert "<" not in data
            json.loads(data)
    assert all(re.fullmatch(r"[a-z0-9_./-]+", one.path) and ".." not in one.path for one in made)
    text = (folder / page(made, "task.html").path).read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "&lt;/script&gt;&lt;script&gt;window.hacked = 1&lt;/script&gt;" in text


def test_every_page_allows_only_scripts_of_its_own(site: Any) -> None:
    for path in site[0].rglob("*.html"):
        [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', path.read_text())
        assert "default-src 'none'; script-src 'self' file:;" in policy, path
        assert "unsafe-eval" not in policy


def test_the_first_screen_says_which_dots_are_about_the_factor(
    bench: Any, seed_run: Any, rate_run: Any, tmp_path: Path
) -> None:
    for run, holds_out in ((rate_run, True), (seed_run, False)):
        folder = tmp_path / run[0].task.name
        make([run[1]], bench.store, folder)
        assert ('class="key"' in (folder / "index.html").read_text()) == holds_out


def test_titles_are_the_questions_of_tasks(site: Any, seed_run: Any) -> None:
    folder, made = site
    text = (folder / page(made, "task.html", "seed_id").path).read_text()
    assert "<h1>Which random seeds trained the model, if everything else was equal?</h1>" in text
    unknown = seed_run[0].model_copy(update={"task": seed_run[0].task.model_copy(update={"name": "mine"})})
    assert question(unknown) == f"mine: {unknown.factor.name}"


def test_all_data_and_citations_name_the_protocol(site: Any, seed_run: Any) -> None:
    folder, made = site
    rows = list(csv.DictReader((folder / "data" / "scores.csv").read_text().splitlines()))
    result = seed_run[0]
    own = [row for row in rows if row["protocol_digest"] == result.protocol_digest]
    assert len(own) == sum(len(score.metrics) for score in result.scores)
    assert json.loads((folder / "data" / "leaderboards.json").read_text())["standings"]
    pages = [one.shown for one in made if one.template == "task.html"]
    cited = next(one["bibtex"] for one in pages if one["result"].protocol_digest == result.protocol_digest)
    assert result.protocol_digest in cited
    assert cited.count("{") == cited.count("}")
    assert all(one in bibtex(result, "1.0") for one in ("@misc{", "version 1.0", result.run.id))


def test_every_column_that_the_glossary_names_has_a_tooltip(site: Any) -> None:
    text = (site[0] / "index.html").read_text()
    assert f'data-tip="{escape(TERMS["ceiling"])}"' in text
    shown = (site[0] / "glossary.html").read_text()
    assert all(f'id="{anchor(term)}"' in shown for term in TERMS)


@pytest.mark.parametrize(
    ("control", "found", "p", "detectable", "said"),
    [
        ("negative", (0.0, -0.02, 0.02), 0.6, 0.05, "pass"),
        ("negative", (0.0, -0.02, 0.02), 0.03, 0.05, "weak"),
        ("negative", (0.0, -0.02, 0.02), 0.6, 0.3, "weak"),
        ("negative", (0.0, None, None), 0.6, 0.05, "weak"),
        ("negative", (0.2, 0.1, 0.3), 0.01, 0.05, "fail"),
        ("positive", (0.9, 0.8, 1.0), None, None, "pass"),
        ("positive", (0.3, 0.2, 0.4), None, None, "weak"),
        ("positive", (0.1, -0.1, 0.3), None, None, "fail"),
    ],
)
def test_controls_have_a_verdict(
    control: str, found: Any, p: float | None, detectable: float | None, said: str
) -> None:
    value, low, high = found
    interval = Interval(value=value, low=low, high=high, method="t", units="replicates", n_units=5)
    assert control_verdict(control, interval, p, None, detectable) == said


def test_slugs_are_plain_and_differ_for_different_names() -> None:
    assert slug("naive_bayes") == "naive_bayes"
    names = ["../../etc/passwd", "a/b", "a b", "A b", "", "x" * 300, "ü"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,80}", one) for one in slugs)


def test_a_result_of_fixed_texts_is_shown(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from natfp_bench.attributors.registry import find as baselines
    from natfp_bench.base import resources
    from natfp_bench.pipeline import bundled_texts as fixed_texts
    from natfp_bench.pipeline.bundled_texts import make_fixed_plan
    from natfp_bench.pipeline.run import run_plan
    from natfp_bench.pipeline.store import Store

    # Other tests check that the recipe of the texts is the current one.
    asked = fixed_texts.read_manifest(resources.fixed_texts()).tasks["seed_id"].asked
    monkeypatch.setattr(fixed_texts, "asked_digest", lambda plan: asked)
    options = {"store": Store(bench.store), "engine": bench.engine, "output": tmp_path / "results", "device": "cpu"}
    run_plan(make_fixed_plan("seed_id"), baselines("majority"), **options)
    made = make([tmp_path / "results"], bench.store, tmp_path / "site")
    shown = page(made, "task.html").shown
    assert shown["log_note"] == "No model was trained for this result."
    assert len(shown["texts"].groups) == page_texts.GROUPS
    assert find([tmp_path / "results"])
