"""Figures: their charts follow the schema and show the numbers of the result."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from made_results import plain, variant
from report_sites import HOSTILE, page

from natfp_bench.pipeline.result import Length, LengthPoint, MeanKL
from natfp_bench.pipeline.result_files import find
from natfp_bench.report import charts, drawing, figures, main_figure, result_tables, study_figures
from natfp_bench.report import site as report
from natfp_bench.report.pages.validity import SIMULATIONS
from natfp_bench.statistics.ceiling import Divergence


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_charts_follow_the_schema_and_have_their_data(site: Any, every: bool) -> None:
    """The schema of one figure of each name in the fast tests, of every figure in the slow ones."""
    import altair as alt

    names = set()
    for one in site[1]:
        for figure in one.figures:
            if every or figure.name not in names:
                alt.Chart.from_dict(dict(figure.spec), validate=True)
            names.add(figure.name)
            assert figure.spec["description"].startswith(figure.title)
            assert figure.rows
            assert all(set(row) >= set(figure.columns) - {"low", "high", "count"} for row in figure.rows if row), figure


def test_figures_say_what_the_result_says(site: Any, rate_run: Any) -> None:
    """A figure's rows are the result's own numbers."""
    result = rate_run[0]
    shown = {figure.name: figure for figure in page(site[1], "task.html", "rate").figures}
    scores = {(score.attributor.name, score.split): score for score in result.scores if score.target == "level"}
    splits = {result_tables.SPLITS[split]: split for split in ("unseen_replicate", "seen_replicate")}
    for row in shown["accuracy"].rows:
        if row["replicate"] is not None:
            single = scores[row["attributor"], "unseen_replicate"]
            assert row["value"] == single.parts[row["replicate"]]
            continue
        accuracy = scores[row["attributor"], splits[row["split"]]].metrics["accuracy"]
        assert (row["value"], row["low"], row["high"]) == (accuracy.value, accuracy.low, accuracy.high)
    for row in shown["confusion"].rows:
        score = scores[row["attributor"], "unseen_replicate"]
        counts = score.confusion[score.classes.index(row["truth"])]
        assert row["value"] == pytest.approx(counts[score.classes.index(row["guess"])] / sum(counts))
    divergence = result.mean_kl.divergence[0][1]
    names = result.mean_kl.variants[:2]
    cell = next(row for row in shown["kl"].rows if (row["source"], row["other"]) == names)
    assert cell["value"] == divergence.value


def test_the_main_figure_shows_each_mark_of_the_result(site: Any, rate_run: Any) -> None:
    """Held-out runs with each replicate, the same runs, and the ceiling of the same question."""
    result = rate_run[0]
    folder, _ = site
    of = report.read(find([folder.parent / "results" / "run1"]), folder)
    drawn = main_figure.main_figure(of.found.standings[0].factors, of.by_digest, "factors", "Factors")
    assert drawn is not None
    scores = {(score.attributor.name, score.split): score for score in result.scores if score.target == "level"}
    reference = result.study.reference
    at = {row["mark"]: row for row in drawn.rows}
    for mark, key in (
        (main_figure.HELD_OUT, (reference, "unseen_replicate")),
        (main_figure.SAME, (reference, "seen_replicate")),
        (main_figure.LIMIT, ("ceiling", "seen_replicate")),
        (main_figure.LIKELIHOODS, ("likelihood_reference", "unseen_replicate")),
    ):
        found = scores[key].metrics["identifiability"]
        assert (at[mark]["value"], at[mark]["low"], at[mark]["high"]) == (found.value, found.low, found.high)
    single = [row["value"] for row in drawn.rows if row["mark"] == main_figure.ONE_HELD_OUT]
    assert len(single) == len({variant.replicate for variant in result.variants})
    assert np.mean(single) == pytest.approx(at[main_figure.HELD_OUT]["value"])
    assert at[main_figure.INSTANCE]["high"] == at[main_figure.SAME]["value"]
    assert at[main_figure.HELD_OUT]["factor"] == result.factor.name, "the plain name, not that of the task"


def test_the_main_figure_says_so_if_there_is_no_interval() -> None:
    two = plain(-0.03)
    row = cast("Any", SimpleNamespace(unseen=True, replicates=2, p_adjusted=None, verdict=""))
    assert main_figure._said(two, row) == "-0.03, 2 runs: no interval"
    assert main_figure._said(plain(0.5, 0.1), row) == "0.50 ± 0.10"
    row.verdict = "not testable"
    assert main_figure._said(plain(0.5, 0.1), row) == "0.50 ± 0.10, not testable"
    row.p_adjusted = 0.0123
    assert main_figure._said(plain(0.5, 0.1), row) == "0.50 ± 0.10, p 0.012"


def test_roles_have_the_same_colour_in_every_figure(site: Any) -> None:
    seen: dict[str, set[str]] = {}
    for one in site[1]:
        for figure in one.figures:
            for layer in figure.spec.get("layer", []):
                scale = layer["encoding"].get("color", {}).get("scale", {})
                for name, colour in zip(scale.get("domain", ()), scale.get("range", ()), strict=False):
                    seen.setdefault(str(name), set()).add(colour)
    assert seen["ceiling"] == {drawing.CEILING}
    assert seen["unseen replicates"] == {drawing.REFERENCE}
    levels = {colour for name in ("low", "middle", "high") for colour in seen[name]}
    assert levels.isdisjoint({drawing.REFERENCE, drawing.BEST, drawing.CEILING, drawing.CHANCE, drawing.SEEN})


def test_training_curves_are_differences_from_their_mean(site: Any) -> None:
    rows = next(figure for figure in page(site[1], "task.html", "rate").figures if figure.name == "training").rows
    for at in {row["tokens"] for row in rows}:
        assert sum(row["value"] for row in rows if row["tokens"] == at) == pytest.approx(0.0, abs=1e-9)
    assert all(row["loss"] > 0 for row in rows)


def test_a_map_that_distorts_is_not_drawn() -> None:
    """Six models at the same distance from each other have no place in a plane."""
    names = tuple(f"{level}/r{replicate}" for level in "abc" for replicate in (0, 1))
    one = [[Divergence(value=float(i != j), standard_error=None, impossible=0.0) for j in range(6)] for i in range(6)]
    found = MeanKL(unit="token", variants=names, divergence=tuple(map(tuple, one)))
    places = study_figures.layout(found)
    assert places is not None
    assert study_figures.stress(found, places) > study_figures.BAD_STRESS
    variants = tuple(variant(name, name) for name in names)
    result = SimpleNamespace(mean_kl=found, variants=variants, factor=SimpleNamespace(levels=("a", "b", "c")))
    drawn = {figure.name: figure for figure in study_figures.mean_kl(cast("Any", result))}
    assert set(drawn) == {"kl", "distances"}
    assert "There is no map" in drawn["distances"].caption
    pairs = [row["pair"] for row in drawn["distances"].rows]
    assert [pairs.count(pair) for pair in study_figures.PAIRS] == [3, 6, 6]


def test_simulations_are_drawn_within_their_bands() -> None:
    found = figures.simulated(json.loads(SIMULATIONS.read_text()))
    assert found is not None
    assert len(found.rows) > 50
    assert all(abs(row["value"]) <= 1 for row in found.rows if row["holds"])
    place = figures._within_band({"what": "x", "expected": "0.95", "seen": "0.97", "band": "0.91 to 0.99"})
    assert place == pytest.approx(0.5)
    assert figures._within_band({"what": "x", "expected": "too many", "seen": "68 of 200", "band": "above 21"}) is None


def test_control_characters_do_not_reach_a_drawing() -> None:
    """A control character would make vl-convert end the whole process."""
    import vl_convert

    rows = [{"word": "bell \x07 and \x19", "value": 1.0}, {"word": HOSTILE, "value": -1.0}]
    chart = charts.bars(rows, y="word", order=[row["word"] for row in rows], x_title="x")
    spec = drawing.specification(chart, "words")
    ET.fromstring(vl_convert.vegalite_to_svg(spec))
    assert "\\\\x07" in json.dumps(spec)


def test_the_map_keeps_distances() -> None:
    """Divergences that are squared distances between three points in a plane give these points."""
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    squared = ((places[:, None] - places[None]) ** 2).sum(-1)
    cells = [[Divergence(value=float(value), standard_error=None, impossible=0.0) for value in row] for row in squared]
    found = study_figures.layout(
        MeanKL(unit="token", variants=("a", "b", "c"), divergence=tuple(tuple(row) for row in cells))
    )
    assert found is not None
    np.testing.assert_allclose(((found[:, None] - found[None]) ** 2).sum(-1), squared, atol=1e-9)
    cells[0][1] = Divergence(value=None, standard_error=None, impossible=0.5)
    infinite = MeanKL(unit="token", variants=("a", "b", "c"), divergence=tuple(tuple(row) for row in cells))
    assert study_figures.layout(infinite) is None


def test_labels_of_a_map_do_not_overlap() -> None:
    places = np.array([[0.0, 0.0], [0.01, 0.0], [0.5, 0.0], [0.0, 0.5], [-1.0, 1.0], [0.0, 0.51]])
    assert study_figures.uncrowded(places) == [True, False, True, True, True, False]
    assert study_figures.uncrowded(np.zeros((3, 2))) == [True, False, False]


def test_lengths_sort_by_reference_then_ceiling() -> None:
    points = tuple(LengthPoint(at=at, accuracy=plain(0.5), ceiling=0.9) for at in (4, 64))
    given = [(None, None), (None, 30.0), (None, 21.0), (50.0, 8.0)]
    lengths = [Length(unit="tokens", points=points, to_95=own, ceiling_to_95=limit) for own, limit in given]
    ordered = sorted(lengths, key=result_tables.length_order)
    assert [given[lengths.index(one)] for one in ordered] == [given[i] for i in (3, 2, 1, 0)]
    assert result_tables.length_order(None) is None
