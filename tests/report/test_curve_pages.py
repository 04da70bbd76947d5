"""Curves as sentences, tables and figures, from records that were made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natfp_bench.pipeline.curve import fitted
from natfp_bench.pipeline.curve_result import (
    AttributorCurve,
    CurveCeiling,
    CurvePoint,
    CurveResult,
    find,
    read_all,
)
from natfp_bench.pipeline.result import AttributorId, FactorResult, RunInfo, TaskId
from natfp_bench.pipeline.scoring import CEILING
from natfp_bench.report.curve_figures import curve_figures
from natfp_bench.report.curve_tables import curve_scope, curve_sentences, curve_table
from natfp_bench.report.trend_document import curve_parts, curves_section, figures_of
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.power_law import Law

TEXTS = (250, 500, 1000, 2000, 4000, 8000)

LAWS = {
    "measured": Law(1.6, -20.0, -0.5),
    "extrapolated": Law(1.25, -25.0, -0.5),
    "beyond": Law(0.8, -10.0, -0.5),
    "fewest": Law(1.9, -1.0, -0.5),
}
"""Of bits, by what they say about half of two bits."""


def about(value: float, half: float = 0.02) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, method="bootstrap", units="rows", n_units=1000)


def who(name: str, access: Any = "text") -> AttributorId:
    return AttributorId(name=name, version="1", digest=None, access=access, floor=False)


def metrics(bits: float) -> dict[str, Interval]:
    return {"accuracy": about(0.25 + bits / 3), "identifiability": about(bits / 2), "bits": about(bits)}


def point(texts: int, law: Law) -> CurvePoint:
    bits = law.at(texts)
    # Units differ a little, in the same way at every point, and by themselves.
    own = np.random.default_rng(texts).standard_normal(10)
    without = tuple((bits + 0.002 * (np.arange(10) - 4.5) + 0.0005 * (own - own.mean())).tolist())
    shown = metrics(bits)
    return CurvePoint(
        texts=texts, status="ok", n_train=4 * texts, metrics=shown, extraction=bits / 2, bits_without=without
    )


def ceiling(bits: float = 2.0) -> CurveCeiling:
    without = tuple(bits + 0.002 * (unit - 4.5) for unit in range(10))
    shown = {**metrics(1.9), "bits": about(bits)}
    return CurveCeiling(attributor=CEILING, split="unseen_prompt", metrics=shown, bits_without=without)


def curve(name: str, points: list[CurvePoint], top: CurveCeiling | None) -> AttributorCurve:
    law, half = fitted(points, top, "tenths of the rows")
    return AttributorCurve(attributor=who(name), points=tuple(points), law=law, half=half)


def result(curves: list[AttributorCurve], top: CurveCeiling | None, **more: Any) -> CurveResult:
    info = {"id": "r", "command": (), "started": "s", "seconds": {}, "work": {}, "attributors": {}, "environment": {}}
    task = TaskId(name="seed_id", version=1, digest="d", tags=(), control=None)
    factor = FactorResult(name="random seeds", fields=("seeds.init",), levels=("a", "b", "c", "d"))
    known: dict[str, Any] = {"schema": 1, "protocol_digest": "p", "overrides": {}, "seed": 0, "task": task}
    known |= {"preset": "quick", "factor": factor, "corpus": "chronicle", "variants": ("a", "b", "c", "d")}
    known |= {"target": "level", "split": "unseen_prompt", "classes": ("a", "b", "c", "d"), "chance": 0.25}
    known |= {"n_test": 4000, "own_texts": 3000, "sampled": 12_000, "units": "tenths of the rows"}
    return CurveResult(**{**known, **more}, ceiling=top, curves=tuple(curves), run=RunInfo(**info))


@pytest.fixture(scope="module")
def planted() -> CurveResult:
    """One attributor for each thing that can be said, named after it."""
    top = ceiling()
    curves = [curve(name, [point(texts, law) for texts in TEXTS], top) for name, law in LAWS.items()]
    few = [point(texts, LAWS["beyond"]) for texts in TEXTS[:3]]
    return result([*curves, curve("unknown", few, top)], top)


def test_each_thing_that_can_be_known_is_found(planted: CurveResult) -> None:
    assert {one.attributor.name: one.half.how for one in planted.curves if one.half} == {
        name: name for name in (*LAWS, "unknown")
    }


def test_the_answer_comes_first(planted: CurveResult) -> None:
    said = {answer.split(" ", 1)[0]: (answer, rest) for answer, rest in curve_sentences(planted)}
    assert said["measured"][0].startswith("measured has half of the ceiling's bits (1.00 of 2.00 per text) after 1,1")
    assert said["measured"][0].endswith("), between two measured points.")
    assert "after about 10,000 training texts per model (95% " in said["extrapolated"][0]
    assert "extrapolated, not measured" in said["extrapolated"][0]
    assert "even with 32,000 training texts per model: extrapolated" in said["beyond"][0]
    assert "with 250 training texts per model already, the fewest that were tried" in said["fewest"][0]
    assert said["unknown"][0].endswith(
        "with 1,000 training texts per model, the most that were tried; how many it needs is not known."
    )
    for name in LAWS:
        rest = said[name][1]
        assert rest.startswith("From 250 to 8,000 training texts per model, its bits go from ")
        assert "(chance 0.25, ceiling 0.88)" in rest
        assert "the prediction held." in rest
    assert "There are too few points to test a power law." in said["unknown"][1]


def test_without_a_ceiling_nothing_is_halved() -> None:
    points = [point(texts, LAWS["measured"]) for texts in TEXTS]
    for top in (None, ceiling(0.05)):
        one = curve("x", points, top)
        assert one.half is None
        assert one.law is not None
        ((answer, _),) = curve_sentences(result([one], top))
        assert answer.startswith("x: from 250 to 8,000 training texts per model, its bits go from ")
    other = ceiling().model_copy(update={"attributor": who("likelihood_reference", "likelihood")})
    assert fitted(points, other, "x")[1] is None, "what may be beaten is no ceiling"


def test_failed_points_are_named(planted: CurveResult) -> None:
    points = [point(texts, LAWS["measured"]) for texts in TEXTS]
    lost = CurvePoint(texts=16_000, status="failed", error="out of memory")
    of = result([curve("x", [*points, lost], ceiling()), curve("y", [lost], ceiling())], ceiling())
    (_, rest), (answer, _) = curve_sentences(of)
    assert "It failed at 1 of 7 points." in rest
    assert answer == "y failed at every point: out of memory."
    assert of.failures == [f"{name} failed with 16,000 texts: out of memory" for name in "xy"]
    assert [cells[1] for cells in curve_table(of).texts if cells[0] == "16,000"] == ["failed", "failed"]
    assert list(curve_figures(of))


@pytest.mark.parametrize(
    ("split", "over"), [("unseen_prompt", "test texts"), ("unseen_replicate", "held-out replicates")]
)
def test_a_caption_says_what_its_intervals_are_over(planted: CurveResult, split: str, over: str) -> None:
    of = planted.model_copy(update={"split": split})
    assert all(f"Bands are 95% intervals over {over}." in one.caption for one in curve_figures(of))


def test_a_document_has_the_newest_of_each_curve_with_its_figures(planted: CurveResult, tmp_path: Path) -> None:
    newer = planted.model_copy(update={"n_test": 5000, "run": planted.run.model_copy(update={"started": "t"})})
    other = planted.model_copy(update={"protocol_digest": "q"})
    for name, one in (("a", newer), ("b", planted), ("c", other), ("d", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "curve.json").write_text(one.to_json() if one else "{}")
    read, faults = read_all(find([tmp_path]))
    assert [str(tmp_path / "d" / "curve.json") in fault for fault in faults] == [True]
    parts = curve_parts(read)
    assert ["5,000 test texts" in part.about for part in parts] == [True, False]
    text = "\n".join(curves_section(parts, "figures/curves"))
    assert [f"](figures/curves/{name}.svg)" in text for name in figures_of(parts)] == [True] * 4
    assert curves_section([], "figures/curves") == []


def test_what_an_attributor_knows_stands_beside_its_name() -> None:
    points = [point(texts, LAWS["measured"]) for texts in TEXTS]
    one = curve("x", points, ceiling())
    knows = one.model_copy(update={"attributor": who("x").model_copy(update={"knowledge": "recipe"})})
    of = result([knows], ceiling())
    ((answer, _),) = curve_sentences(of)
    assert answer.startswith("x (knows: recipe) has half")
    assert curve_table(of).texts[0][0] == "x (knows: recipe):"
    assert {row["series"] for row in next(iter(curve_figures(of))).rows} >= {"x (knows: recipe)"}


def test_each_rung_has_a_figure_beside_the_best_of_those_that_know_less() -> None:
    def knowing(name: str, rung: str, limit: float) -> AttributorCurve:
        made = curve(name, [point(texts, Law(limit, -20.0, -0.5)) for texts in TEXTS], ceiling())
        return made.model_copy(update={"attributor": who(name).model_copy(update={"knowledge": rung})})

    of = result([knowing("low", "texts", 1.2), knowing("high", "texts", 1.4), knowing("all", "recipe", 1.8)], ceiling())
    figures = {one.name: one for one in curve_figures(of)}
    assert list(figures) == ["texts-bits", "texts-accuracy", "texts-bits-texts", "texts-bits-recipe"]

    def shown(name: str) -> set[str]:
        return {row["series"] for row in figures[name].rows if not row.get("dashed")}

    assert shown("texts-bits") == {"low", "high", "all (knows: recipe)"}
    assert shown("texts-bits-texts") == {"low", "high"}
    assert shown("texts-bits-recipe") == {"high", "all (knows: recipe)"}
    caption = figures["texts-bits-recipe"].caption
    assert "What can somebody read who can train such models?" in caption
    assert "only the one that reads most is shown (high)." in caption
    assert "know less" not in figures["texts-bits-texts"].caption


def test_tables_and_figures_have_the_numbers(planted: CurveResult) -> None:
    import altair as alt

    rows = curve_table(planted).texts
    assert rows[0][0] == "fewest:", "the attributor that reaches most comes first"
    assert rows[-1][0] == "any"
    assert len(rows) == 4 * 7 + 4 + 2
    bits, accuracy = curve_figures(planted)
    for figure in (bits, accuracy):
        alt.Chart.from_dict(dict(figure.spec), validate=True)
        shown = {(row["series"], row["at"]): row["value"] for row in figure.rows if not row.get("dashed")}
        for one in planted.curves:
            for at in one.points:
                name = "bits" if figure is bits else "accuracy"
                assert shown[one.attributor.name, at.texts] == at.metrics[name].value
    laws = [row for row in bits.rows if row.get("dashed")]
    assert max(row["at"] for row in laws) == pytest.approx(32_000)
    assert not [row for row in accuracy.rows if row.get("dashed")]


def test_the_scope_names_the_ordinary_run(planted: CurveResult) -> None:
    said = curve_scope(planted)
    assert said.startswith("4 models, 12,000 texts drawn from each; 4,000 test texts, the same for every point;")
    assert "3,000 training texts per model" in said
    held_out = curve_scope(result([], None, split="unseen_replicate", preset="smoke"))
    assert "of models that the fits have not seen" in held_out
    assert "too small to mean anything" in held_out
