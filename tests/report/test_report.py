"""The report: what its pages hold, what becomes of bad input, and that it writes over nobody's files."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from report_sites import HOSTILE, hostile, make, ordinary

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.result import MeanKL, find
from natfp_bench.report import charts
from natfp_bench.report import figures as report_figures
from natfp_bench.report import page_tables as report_tables
from natfp_bench.report import page_texts as report_texts
from natfp_bench.report import site as report
from natfp_bench.report import study_figures as report_study_figures
from natfp_bench.report.pages import home as report_home_page
from natfp_bench.report.pages import page as report_pages
from natfp_bench.report.pages import validity as report_validity_page
from natfp_bench.results.protocols import Protocol, Setting
from natfp_bench.statistics.ceiling import Divergence
from natfp_bench.statistics.metrics import Interval

Natfp = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def site(bench: Any, seed_run: Any, rate_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder and pages of a site of ordinary runs."""
    folder = tmp_path_factory.mktemp("report")
    return folder, ordinary(bench, [seed_run[1], rate_run[1]], folder)


@pytest.fixture(scope="module")
def attacked(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder and pages of a site whose names and texts are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    return folder, hostile(bench, folder)


def plain(value: float) -> Interval:
    return Interval(value=value, low=None, high=None, method="none", units="texts", n_units=1)


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
    return {path: Outline(path.read_text(encoding="utf-8")) for path in sorted((folder / "site").rglob("*.html"))}


def page(made: list[Any], template: str, name: str = "") -> Any:
    return next(one for one in made if one.template == template and name in one.title)


def test_a_site_has_a_page_for_everything(site: Any) -> None:
    folder, made = site
    templates = [one.template for one in made]
    assert {name: templates.count(name) for name in set(templates)} == {
        "home.html": 1,
        "task.html": 3,
        "attributor.html": 4,
        "validity.html": 1,
    }
    assert len({one.path for one in made}) == len(made)
    assert all((folder / "site" / one.path).is_file() for one in made)


def test_links_lead_somewhere_and_headings_are_in_order(site: Any) -> None:
    folder, _ = site
    for path, outline in outlines(folder).items():
        for link in outline.links:
            if link.startswith(("data:", "https://arxiv.org/")):
                continue
            target, _, anchor = link.partition("#")
            assert (path.parent / target).exists(), (path, link)
            assert not anchor or anchor in outline.ids, (path, link)
        assert outline.levels[0] == 1
        assert outline.levels.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
        assert len(outline.ids) == len(set(outline.ids))


def test_every_task_page_has_its_figures(site: Any) -> None:
    _, made = site
    names = {figure.name for figure in page(made, "task.html", "rate").figures}
    always = {"accuracy", "confusion", "training", "parity", "length", "pooled", "train_texts", "kl", "map", "words"}
    assert names >= always | {"classes", "positions", "types", "robustness"}
    assert {figure.name for figure in page(made, "attributor.html", "unigram").figures} == {"tasks", "calibration"}


def test_charts_are_of_the_schema_and_have_their_data(site: Any) -> None:
    import altair as alt

    for one in site[1]:
        for figure in one.figures:
            alt.Chart.from_dict(dict(figure.spec), validate=True)
            assert figure.spec["description"].startswith(figure.title)
            assert figure.rows
            assert all(set(row) >= set(figure.columns) - {"low", "high", "count"} for row in figure.rows if row), figure


def test_figures_say_what_the_result_says(site: Any, rate_run: Any) -> None:
    """A figure's rows are the result's own numbers."""
    result = rate_run[0]
    figures = {figure.name: figure for figure in page(site[1], "task.html", "rate").figures}
    scores = {(score.attributor.name, score.split): score for score in result.scores if score.target == "level"}
    shown = {report_study_figures.SPLITS[split]: split for split in ("unseen_replicate", "seen_replicate")}
    for row in figures["accuracy"].rows:
        accuracy = scores[row["attributor"], shown[row["split"]]].metrics["accuracy"]
        assert (row["value"], row["low"], row["high"]) == (accuracy.value, accuracy.low, accuracy.high)
    for row in figures["confusion"].rows:
        score = scores[row["attributor"], "unseen_replicate"]
        counts = score.confusion[score.classes.index(row["truth"])]
        assert row["value"] == pytest.approx(counts[score.classes.index(row["guess"])] / sum(counts))
    divergence = result.mean_kl.divergence[0][1]
    names = result.mean_kl.variants[:2]
    cell = next(row for row in figures["kl"].rows if (row["source"], row["other"]) == names)
    assert cell["value"] == divergence.value


def test_sections_of_a_figure_have_headings(site: Any) -> None:
    """Figures on held-out runs and on seen ones do not compare."""
    folder, _ = site
    standings = report.read(find([folder / "results"]), folder).found.standings
    rows = sorted((row for one in standings for row in one.factors), key=lambda row: row.section)
    figure = report_figures.factors(rows, "factors", "Factors")
    assert figure is not None
    scales = [layer["encoding"].get("y", {}).get("scale") for layer in figure.spec["layer"]]
    assert {"domain": ["held-out runs:", "rate", "seen runs only:", "seed_id"]} in scales


def test_controls_are_counted_without_floors(seed_run: Any) -> None:
    result, path = seed_run
    negative = result.model_copy(update={"task": result.task.model_copy(update={"control": "negative"})})
    floors = {score.attributor.name for score in result.scores if score.attributor.floor}
    protocol = Protocol([(path, negative)])
    rows, coverage, size = report_validity_page.controls(report_pages.Pages([protocol], cast("Any", None), path))
    assert floors
    assert {row["attributor"] for row in rows} == set(protocol.main) - floors
    assert {row["part"] for row in rows} == {"must be at chance"}
    found = [protocol.main[row["attributor"]] for row in rows]
    above = sum(score.log10_p < math.log10(0.05) for score in found)
    inside = sum(score.metrics["accuracy"].low <= score.chance <= score.metrics["accuracy"].high for score in found)
    assert (coverage, size) == ((inside, len(rows)), (above, len(rows)))
    assert report_validity_page.controls(report_pages.Pages([Protocol([(path, result)])], cast("Any", None), path)) == (
        [],
        (0, 0),
        (0, 0),
    )


def test_data_is_saved_in_full(site: Any) -> None:
    folder, made = site
    for one in made:
        for figure in one.figures:
            path = folder / "site" / report.data_path(one, figure)
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            assert rows[0] == list(figure.columns.values())
            assert len(rows) == 1 + len(figure.rows)


def test_pages_are_small(site: Any) -> None:
    folder = site[0] / "site"
    shared = sum(path.stat().st_size for path in (folder / "assets").iterdir())
    assert all(path.stat().st_size + shared < 2_000_000 for path in folder.rglob("*.html"))
    assert "</script" not in (folder / "assets" / "report.js").read_text()


def test_pages_say_how_they_were_made(site: Any, rate_run: Any) -> None:
    folder, made = site
    result = rate_run[0]
    text = (folder / "site" / page(made, "task.html", "rate").path).read_text()
    for said in (result.protocol_digest, result.corpus.digest, result.samples.digest, result.run.id):
        assert said in text
    assert result.run.environment["platform"] in text
    for path in (folder / "site").rglob("*.html"):
        assert "natfp_bench 0.1.0" in path.read_text()


def test_what_cannot_be_used_is_counted_and_named(site: Any) -> None:
    text = (site[0] / "site" / "index.html").read_text()
    assert "Left out: 1 file or part" in text
    assert "damaged/result.json: damaged, no JSON" in text


def test_settings_that_do_not_compare_stand_apart_with_the_reason(site: Any) -> None:
    first, *others = page(site[1], "home.html").shown["sections"]
    assert first.apart == ""
    assert others
    said = [one.apart for one in others]
    assert all("do not compare" in one for one in said)
    assert any("sampling.temperature=0.9" in one for one in [first.title, *(one.title for one in others)])
    plain = Setting(preset="quick", corpus="chronicle", overrides={}, seed=0, texts=100)
    other = plain.model_copy(update={"preset": "smoke", "texts": 50})
    assert report_home_page.apart(plain, plain) == ""
    assert report_home_page.apart(plain, other).endswith("Here differ: preset (smoke), texts (50).")


def test_tables_are_whole_without_a_script(site: Any) -> None:
    text = (site[0] / "site" / "index.html").read_text()
    for name in ("seed_id", "rate", "unigram", "naive_bayes"):
        assert f">{name}</a>" in text
    assert '<form class="filters" id="filters" aria-label="Filter the leaderboards" hidden>' in text


def test_training_and_texts_come_from_the_store_or_are_said_to_be_gone(
    site: Any, rate_run: Any, tmp_path: Path
) -> None:
    shown = page(site[1], "task.html", "rate").shown
    assert shown["log_note"] == ""
    groups = shown["texts"].groups
    assert [text.level for text in groups[0]] == ["low", "middle", "high"]
    assert {answer.attributor for answer in groups[0][0].answers} >= {"unigram", "naive_bayes", "majority"}
    made = make([rate_run[1]], tmp_path / "empty-store", tmp_path / "site")
    gone = page(made, "task.html", "rate")
    assert "training" not in {figure.name for figure in gone.figures}
    assert "natfp-bench run" in gone.shown["log_note"]
    assert gone.shown["texts"].groups == ()
    assert "natfp-bench run" in gone.shown["texts"].note
    assert not (tmp_path / "empty-store").exists()


def test_texts_are_shown_as_they_are(site: Any, bench: Any, rate_run: Any) -> None:
    """Segments joined are the text, and answers are those of the predictions."""
    result, folder = rate_run
    protocol = Protocol([(folder / "result.json", result)])
    answers = report_texts.Answers.of(protocol)
    found = report_texts.sample_texts(protocol, answers, bench.store)
    assert len(found.groups) == report_texts.GROUPS
    rows = answers.rows.to_pylist()
    for group in found.groups:
        for text in group:
            assert "".join(segment for segment, _ in text.segments).strip()
            for answer in text.answers:
                own = [row for row in rows if (row["variant"], row["attributor"]) == (text.variant, answer.attributor)]
                assert any(np.isclose(max(row["proba"]), answer.of_guess) for row in own)
                assert answer.right in (answer.guess == text.level, None)
                assert (answer.right is None) == answer.guess.startswith("any of ")


def test_a_changed_training_log_is_not_shown(bench: Any, seed_run: Any, tmp_path: Path) -> None:
    result = seed_run[0]
    store = tmp_path / "store"
    for variant in result.variants:
        place = Path("model", variant.key[:2], variant.key)
        shutil.copytree(bench.store / place, store / place)
    logs, note = report_texts.training_logs(result, store)
    assert (sorted(logs), note) == (sorted(variant.name for variant in result.variants), "")
    first = result.variants[0]
    log = store / "model" / first.key[:2] / first.key / "train_log.jsonl"
    log.write_text(log.read_text().replace('"loss"', '"lost"'))
    logs, note = report_texts.training_logs(result, store)
    assert first.name not in logs
    assert f"does not hold the training of {first.name}." in note


def test_hostile_names_and_texts_are_text(attacked: Any) -> None:
    folder, made = attacked
    for path, outline in outlines(folder).items():
        assert "img" not in outline.elements, path
        assert "b" not in outline.elements, path
        scripts = path.read_text(encoding="utf-8").count("<script")
        assert scripts == outline.elements.count("script") == len(outline.data) + (2 if outline.data else 1)
        for data in outline.data:
            assert "<" not in data
            json.loads(data)
    assert all(re.fullmatch(r"[a-z0-9_./-]+", one.path) and ".." not in one.path for one in made)
    text = (folder / "site" / page(made, "task.html").path).read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "&lt;/script&gt;&lt;script&gt;window.hacked = 1&lt;/script&gt;" in text


def test_spaces_are_text_and_controls_are_spelled_out() -> None:
    shown = report._shown
    assert shown("a\u00a0b\u3000c\td\ne\u200df") == "a\u00a0b\u3000c\td\ne\u200df"
    assert shown("\x00\u202e\u2066") == "\\x00\\u202e\\u2066"
    assert shown(3) == 3


def test_control_characters_do_not_reach_a_drawing() -> None:
    """vl-convert ends the whole process at one."""
    import vl_convert

    rows = [{"word": "bell \x07 and \x19", "value": 1.0}, {"word": HOSTILE, "value": -1.0}]
    chart = charts.bars(rows, y="word", order=[row["word"] for row in rows], x_title="x")
    spec = charts.specification(chart, "words")
    ET.fromstring(vl_convert.vegalite_to_svg(spec))
    assert "\\\\x07" in json.dumps(spec)


def test_the_map_keeps_distances() -> None:
    """Three points in a plane, whose squared distances are given as divergences, come out as they lie."""
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    squared = ((places[:, None] - places[None]) ** 2).sum(-1)
    cells = [[Divergence(value=float(value), standard_error=None, impossible=0.0) for value in row] for row in squared]
    found = report_study_figures.layout(
        MeanKL(unit="token", variants=("a", "b", "c"), divergence=tuple(tuple(row) for row in cells))
    )
    assert found is not None
    np.testing.assert_allclose(((found[:, None] - found[None]) ** 2).sum(-1), squared, atol=1e-9)
    cells[0][1] = Divergence(value=None, standard_error=None, impossible=0.5)
    infinite = MeanKL(unit="token", variants=("a", "b", "c"), divergence=tuple(tuple(row) for row in cells))
    assert report_study_figures.layout(infinite) is None


def test_labels_of_a_map_leave_each_other_room() -> None:
    places = np.array([[0.0, 0.0], [0.01, 0.0], [0.5, 0.0], [0.0, 0.5], [-1.0, 1.0], [0.0, 0.51]])
    assert report_study_figures.uncrowded(places) == [True, False, True, True, True, False]
    assert report_study_figures.uncrowded(np.zeros((3, 2))) == [True, False, False]


def test_lengths_sort_by_who_reaches_them() -> None:
    points = tuple(results.LengthPoint(at=at, accuracy=plain(0.5), ceiling=0.9, predicted=0.9) for at in (4, 64))
    given = [(None, None, None), (None, 30.0, 60.0), (None, 30.0, None), (None, 21.0, None), (50.0, 8.0, 9.0)]
    lengths = [
        results.Length(unit="tokens", points=points, to_95=own, ceiling_to_95=limit, predicted_to_95=predicted)
        for own, limit, predicted in given
    ]
    ordered = sorted(lengths, key=report_tables._told_order)
    assert [given[lengths.index(one)] for one in ordered] == [given[i] for i in (4, 3, 1, 2, 0)]
    assert report_tables._told_order(None) is None


def test_calibration_counts_every_guess() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 2000)
    credit = (rng.uniform(size=2000) < confidence).astype(float)
    rows = report_texts.calibration(
        [np.array([confidence[:900], credit[:900]]), np.array([confidence[900:], credit[900:]])]
    )
    assert len(rows) == report_texts.BINS
    assert sum(row["texts"] for row in rows) == 2000
    assert all(abs(row["confidence"] - row["value"]) < 0.12 for row in rows)
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    constant = np.array([np.full(50, 0.25), np.full(50, 0.25)])
    assert report_texts.calibration([constant]) == [{"confidence": 0.25, "value": 0.25, "texts": 50}]
    assert report_texts.calibration([]) == []


def test_slugs_are_plain_and_tell_names_apart() -> None:
    assert report_pages.slug("naive_bayes") == "naive_bayes"
    names = ["../../etc/passwd", "a/b", "a b", "A b", "", "x" * 300, "ü"]
    slugs = [report_pages.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,80}", slug) for slug in slugs)


def test_an_older_schema_is_migrated_and_a_newer_one_refused(
    seed_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.loads((seed_run[1] / "result.json").read_text())
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**data, "schema": 0, "preset": None, "size": data["preset"]}))
    with pytest.raises(UserError, match="found 0"):
        results.read(old)

    def from_zero(given: dict[str, Any]) -> dict[str, Any]:
        return {**{name: value for name, value in given.items() if name != "size"}, "preset": given["size"]}

    monkeypatch.setitem(results.MIGRATIONS, 0, from_zero)
    assert results.read(old) == seed_run[0]
    old.write_text(json.dumps({**data, "schema": 0}))
    with pytest.raises(UserError, match="damaged, no result of schema 0"):
        results.read(old)
    new = tmp_path / "new.json"
    new.write_text(json.dumps({**data, "schema": 7}))
    with pytest.raises(UserError, match="found 7, which is newer") as error:
        results.read(new)
    assert str(new) in str(error.value)


def test_a_folder_of_foreign_files_is_refused(site: Any, tmp_path: Path) -> None:
    made = report.Site({"index.html": "one", "data/a.csv": "x"})
    folder = tmp_path / "site"
    report.write(made, folder)
    # Its own files, and those of an earlier report, are no foreign ones.
    report.write(report.Site({"index.html": "two"}), folder)
    assert (folder / "index.html").read_text() == "two"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", report.MANIFEST]
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"no report's: thesis\.tex\n.*--overwrite"):
        report.write(made, folder)
    assert (folder / "index.html").read_text() == "two"
    report.write(made, folder, overwrite=True)
    assert (folder / "index.html").read_text() == "one"
    assert (folder / "thesis.tex").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        report.write(made, folder / "thesis.tex")


def test_a_manifest_reaches_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "site", tmp_path / "precious.txt"
    outside.write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_text("mine")
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    named = ["../precious.txt", str(outside), "data/b.csv", 7]
    (folder / report.MANIFEST).write_text(json.dumps({"files": named[:3]}))
    report.write(report.Site({"index.html": "x"}), folder, overwrite=True)
    assert outside.read_text() == "mine"
    assert (tmp_path / "elsewhere" / "b.csv").read_text() == "mine"
    (folder / report.MANIFEST).write_text(json.dumps({"files": named}))
    with pytest.raises(UserError, match="no report's"):
        report.write(report.Site({"index.html": "x"}), folder)


def test_the_command_makes_a_site(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    code, out, err = natfp("report", seed_run[1], "-o", "site", "--store", bench.store)
    assert (code, err) == (0, "")
    assert "factors: how identifiable?" in out
    assert "attributors: who tells best?" in out
    assert re.search(r"7 pages, \d\.\d MB: site/index\.html", out)
    assert (tmp_path / "site" / "index.html").is_file()
    assert natfp("report", seed_run[1], "-o", "site", "--store", bench.store)[0] == 0
    (tmp_path / "site" / "foreign").touch()
    code, _, err = natfp("report", seed_run[1], "-o", "site", "--store", bench.store)
    assert code == 2
    assert "foreign" in err


def test_the_command_writes_markdown(natfp: Natfp, seed_run: Any, tmp_path: Path) -> None:
    code, out, err = natfp("report", seed_run[1], "--format", "md")
    assert (code, err) == (0, "")
    assert "| task |" in out
    assert "| rank | attributor |" in out
    assert natfp("report", seed_run[1], "--format", "md", "-o", "docs/table.md")[0] == 0
    assert (tmp_path / "docs" / "table.md").read_text() == out
    code, _, err = natfp("report", seed_run[1], "--format", "md", "-o", "docs")
    assert code == 2
    assert "docs: cannot be written" in err


def test_the_command_writes_figures_for_papers(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    code, out, _ = natfp("report", seed_run[1], "--figures", "figures", "--store", bench.store)
    assert code == 0
    drawn = sorted((tmp_path / "figures").glob("*.svg"))
    assert f"{len(drawn)} figures" in out
    assert len(drawn) > 10
    for path in drawn:
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) < 900
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_the_command_writes_chosen_figures(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    few = ("report", seed_run[1], "--figures", "figures", "--store", bench.store, "--only")
    code, out, _ = natfp(*few, "index-factors,*-length")
    assert code == 0
    assert "2 figures" in out
    names = {path.stem.rsplit("-", 1)[1] for path in (tmp_path / "figures").glob("*.svg")}
    assert names == {"factors", "length"}
    code, _, err = natfp(*few, "index-factor")
    assert code == 2
    assert "unknown figure 'index-factor'" in err
    assert "did you mean: index-factors" in err
    code, _, err = natfp("report", seed_run[1], "-o", "site", "--only", "index-factors")
    assert code == 2
    assert "add --figures FOLDER" in err


def test_bad_input_is_told(natfp: Natfp, seed_run: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    bad = tmp_path / "bad" / "result.json"
    bad.parent.mkdir()
    bad.write_text("{}")
    for arguments, said in (
        (("nothing", "-o", "site"), "no results found"),
        (("missing", "-o", "site"), "no results at 'missing'"),
        (("bad", "-o", "site"), "no result of schema 1"),
        ((seed_run[1],), "where to?"),
        ((seed_run[1], "-o", "site", "--format", "pdf"), "unknown format 'pdf'"),
        ((seed_run[1], "-o", "site", "--format", "text"), "for the terminal"),
    ):
        code, _, err = natfp("report", *arguments)
        assert code == 2, arguments
        assert said in err
        assert not (tmp_path / "site").exists()
    code, out, err = natfp("report", seed_run[1], "bad", "--format", "text")
    assert code == 1
    assert f"skipped: {bad.relative_to(tmp_path)}" in err
    assert "seed_id" in out


def test_damaged_predictions_cost_texts_alone(seed_run: Any, bench: Any, tmp_path: Path) -> None:
    shutil.copytree(seed_run[1], tmp_path / "run")
    (tmp_path / "run" / "predictions.parquet").write_bytes(b"PAR1")
    made = make([tmp_path / "run"], bench.store, tmp_path / "site")
    assert "cannot be read (damaged)" in page(made, "task.html").shown["texts"].note
    assert {figure.name for figure in page(made, "attributor.html", "unigram").figures} == {"tasks"}


def test_a_result_of_fixed_texts_is_shown(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from natfp_bench.attributors.registry import find as baselines
    from natfp_bench.base import resources
    from natfp_bench.pipeline import bundled_texts as fixed_texts
    from natfp_bench.pipeline.bundled_texts import make_fixed_plan
    from natfp_bench.pipeline.run import run_plan
    from natfp_bench.pipeline.store import Store

    # Whether the recipe of the texts is that of now is for other tests to say.
    asked = fixed_texts.read_manifest(resources.fixed_texts()).tasks["seed_id"].asked
    monkeypatch.setattr(fixed_texts, "_asked", lambda plan: asked)
    options = {"store": Store(bench.store), "engine": bench.engine, "output": tmp_path / "results", "device": "cpu"}
    run_plan(make_fixed_plan("seed_id"), baselines("majority"), **options)
    made = make([tmp_path / "results"], bench.store, tmp_path / "site")
    shown = page(made, "task.html").shown
    assert shown["log_note"] == "No model was trained for this result."
    assert len(shown["texts"].groups) == report_texts.GROUPS
    assert find([tmp_path / "results"])
