"""Figures: their charts follow the schema and show the numbers of the result."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from made_results import plain
from report_sites import HOSTILE, page

from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.result import MeanKL, find
from natfp_bench.report import charts, figures, result_tables, study_figures
from natfp_bench.report import site as report
from natfp_bench.statistics.ceiling import Divergence


def test_charts_follow_the_schema_and_have_their_data(site: Any) -> None:
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
    shown = {figure.name: figure for figure in page(site[1], "task.html", "rate").figures}
    scores = {(score.attributor.name, score.split): score for score in result.scores if score.target == "level"}
    splits = {result_tables.SPLITS[split]: split for split in ("unseen_replicate", "seen_replicate")}
    for row in shown["accuracy"].rows:
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


def test_sections_of_a_figure_have_headings(site: Any) -> None:
    """Figures on held-out replicates and on seen ones cannot be compared."""
    folder, _ = site
    standings = report.read(find([folder.parent / "results"]), folder).found.standings
    rows = sorted((row for one in standings for row in one.factors), key=lambda row: row.section)
    figure = figures.factors(rows, "factors", "Factors")
    assert figure is not None
    scales = [layer["encoding"].get("y", {}).get("scale") for layer in figure.spec["layer"]]
    assert {"domain": ["held-out replicates:", "rate", "seen replicates only:", "seed_id"]} in scales


def test_control_characters_do_not_reach_a_drawing() -> None:
    """A control character would make vl-convert end the whole process."""
    import vl_convert

    rows = [{"word": "bell \x07 and \x19", "value": 1.0}, {"word": HOSTILE, "value": -1.0}]
    chart = charts.bars(rows, y="word", order=[row["word"] for row in rows], x_title="x")
    spec = charts.specification(chart, "words")
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
    points = tuple(results.LengthPoint(at=at, accuracy=plain(0.5), ceiling=0.9) for at in (4, 64))
    given = [(None, None), (None, 30.0), (None, 21.0), (50.0, 8.0)]
    lengths = [results.Length(unit="tokens", points=points, to_95=own, ceiling_to_95=limit) for own, limit in given]
    ordered = sorted(lengths, key=result_tables.length_order)
    assert [given[lengths.index(one)] for one in ordered] == [given[i] for i in (3, 2, 1, 0)]
    assert result_tables.length_order(None) is None
