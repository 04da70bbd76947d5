"""Trends of results that were made by hand, around planted laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_results import studied
from planted_trends import LEVELS, TOKENS, point, protocols

from natfp_bench.pipeline.result import Crossed, FactorResult
from natfp_bench.report.trend_document import trend_parts, trends_document
from natfp_bench.report.trend_figures import trend_figures
from natfp_bench.report.trend_tables import answers, scope, sentences, trend_tables
from natfp_bench.results.leaderboard import leaderboards_of
from natfp_bench.results.protocols import Protocol
from natfp_bench.results.trends import Line, trends_of, without_points
from natfp_bench.statistics.paired import holm


def line(lines: tuple[Line, ...], figure: str, against: str, **fixed: Any) -> Line:
    found = [one for one in lines if (one.figure, one.against) == (figure, against)]
    return next(one for one in found if one.fixed == fixed)


def test_a_planted_law_is_found_and_tested() -> None:
    (trend,) = trends_of(protocols())
    assert trend.over == ("budget.tokens", "model.width")
    assert (trend.units, trend.n_units, len(trend.points)) == ("models", 5, 18)
    found = line(trend.lines, "mean_kl", "tokens", **{"model.width": 64})
    assert [x for x, _ in found.points] == TOKENS
    assert found.law is not None
    assert found.law.settled
    assert found.law.exponent.value == pytest.approx(-0.5, abs=0.1)
    assert found.law.limit.value == pytest.approx(0.05, abs=0.03)
    assert found.law.prediction is not None
    assert found.law.prediction.sound
    assert found.law.further is not None
    assert found.law.further[0] == 4 * TOKENS[-1]
    assert found.p is not None
    assert found.p <= (found.p_adjusted or 0), "corrected for all lines"
    assert found.slope.value < 0


def test_lines_against_parameters_and_the_excess() -> None:
    (trend,) = trends_of(protocols())
    sizes = [one for one in trend.lines if one.against == "parameters"]
    assert len(sizes) == 3 * len(TOKENS), "a line of each figure at each budget"
    assert all(abs(one.slope.value) < 0.05 for one in sizes if one.figure == "mean_kl"), "width changes nothing here"
    (excess,) = [one for one in trend.lines if (one.figure, one.against) == ("mean_kl", "excess")]
    assert len(excess.points) == 18
    assert excess.slope.value > 0


def test_bits_of_the_ceiling_are_those_of_each_model() -> None:
    made = protocols()
    (trend,) = trends_of(made)
    own = {of.newest.protocol_digest: of.newest.scores[-1].bits_by_variant for of in made}
    for one in trend.points:
        bits = [*own[one.protocol_digest].values()]
        found = one.figures["ceiling_bits"]
        assert found.estimate.value == pytest.approx(sum(bits) / 5)
        assert found.left_out[0] == pytest.approx(sum(bits[1:]) / 4)


def test_two_values_are_no_line_and_two_results_no_trend() -> None:
    (trend,) = trends_of(protocols(tokens=TOKENS[:2], widths=(32, 64)))
    assert {one.against for one in trend.lines} == {"excess"}
    assert len(trend.points) == 4
    assert trends_of(protocols(tokens=TOKENS[:2], widths=(32,))) == []


def test_a_plain_run_is_a_point_of_a_sweep() -> None:
    found = protocols(widths=(32,))
    usual = found[2].newest.model_copy(update={"overrides": {}})
    found[2] = Protocol([(Path("none/2/result.json"), usual)])
    (trend,) = trends_of(found)
    assert [one.swept["budget.tokens"] for one in trend.points] == TOKENS


def test_levels_of_a_factor_are_not_left_out() -> None:
    # One run of each learning rate: they are no sample of anything, so nothing has an interval.
    factor = FactorResult(name="rate", fields=("optimizer.lr",), levels=LEVELS)
    found = [
        Protocol([(path, one.model_copy(update={"factor": factor}))]) for of in protocols() for path, one in of.results
    ]
    (trend,) = trends_of(found)
    assert trend.n_units == 0
    assert all(one.slope.low is None and one.p_adjusted is None for one in trend.lines)
    assert all("without an interval" in said for said in sentences(trend))
    assert "none, so that nothing has an interval" in trends_document(trend_parts([trend]))


def test_other_corpora_presets_and_seeds_are_other_trends() -> None:
    first = protocols(widths=(32,))
    other = [
        Protocol([(path, one.model_copy(update={"seed": 1, "protocol_digest": f"x{one.protocol_digest[1:]}"}))])
        for of in first
        for path, one in of.results
    ]
    assert [len(trend.points) for trend in trends_of([*first, *other])] == [6, 6]


def test_stops_of_one_run_are_a_trend_of_their_own() -> None:
    decayed = protocols(widths=(32,))
    stopped = [
        Protocol([(path, one.model_copy(update={"overrides": {**one.overrides, "schedule.decay_at_stop": True}}))])
        for of in decayed
        for path, one in of.results
    ]
    apart = [of.newest.model_copy(update={"protocol_digest": f"x{of.newest.protocol_digest[1:]}"}) for of in decayed]
    found = trends_of([*stopped, *(Protocol([(Path("none/x/result.json"), one)]) for one in apart)])
    assert [len(trend.points) for trend in found] == [6, 6]


def test_a_line_that_turns_says_where() -> None:
    heights = dict(zip(TOKENS, [0.2, 0.5, 0.8, 0.8, 0.5, 0.2], strict=True))
    made = [
        Protocol([(Path(f"none/{n}/result.json"), point(n, tokens, 32, height, 2 - 0.1 * n))])
        for n, (tokens, height) in enumerate(heights.items())
    ]
    (trend,) = trends_of(made)
    turned = line(trend.lines, "mean_kl", "tokens")
    assert [(one.direction, one.start, one.end) for one in turned.phases] == [
        ("rises", TOKENS[0], TOKENS[2]),
        ("falls", TOKENS[3], TOKENS[5]),
    ]
    steps = [step.p for each in trend.lines for step in each.steps]
    adjusted = dict(zip(steps, holm(steps), strict=True))
    assert turned.phases[0].p == max(adjusted[step.p] for step in turned.steps[:2])
    said = [one for one in answers(trend) if one.startswith("With more tokens, the mean KL in bits per token rises")]
    assert len(said) == 1
    assert "between 100,000 and 400,000 tokens" in said[0]


def test_every_sentence_has_an_interval_or_says_why_not() -> None:
    (trend,) = trends_of(protocols())
    for said in sentences(trend):
        assert "95%" in said or "without an interval" in said
        assert "corrected p" in said or "without an interval" in said
    said = next(one for one in sentences(trend) if "mean KL" in one and "width=64" in one)
    assert said.startswith(
        "From 100,000 to 3,200,000 tokens (model.width=64), the mean KL in bits per token goes from "
    )
    assert "Extrapolated, not measured: " in said


def test_the_document_has_every_line_and_names_what_is_foreign(tmp_path: Path) -> None:
    (trend,) = trends_of(protocols())
    text = trends_document(trend_parts([trend]))
    assert text.startswith("# Trends\n")
    points, lines = trend_tables(trend)
    assert len(points.rows) == 18
    assert len(lines.rows) == len(trend.lines)
    assert trends_document([], swept=False).endswith("No results differ in settings that were swept.\n")


def test_figures_have_their_points_and_laws() -> None:
    (trend,) = trends_of(protocols())
    figures = {one.name: one for one in trend_figures(trend)}
    assert {"mean-kl-tokens", "mean-kl-excess", "identifiability-parameters"} <= figures.keys()
    rows = figures["mean-kl-tokens"].rows
    assert sum(not row.get("dashed") for row in rows) == 18
    assert max(row["at"] for row in rows if row.get("dashed")) == pytest.approx(4 * TOKENS[-1])


def test_points_of_a_trend_have_no_tables_of_their_own() -> None:
    found = protocols(widths=(32,))
    boards = leaderboards_of(found)
    assert len(boards.standings) == 6
    assert without_points(boards, trends_of(found)).standings == ()
    assert without_points(boards, []) == boards


def test_cells_of_a_crossing_are_not_left_out_one_by_one() -> None:
    # They share seeds with one another, so an interval that took them for independent models would be too narrow.
    crossed = Crossed(seeds=("seeds.init", "seeds.data_order"), variance=None)
    found = [
        Protocol([(path, one.model_copy(update={"study": studied(crossed=crossed)}))])
        for of in protocols()
        for path, one in of.results
    ]
    (trend,) = trends_of(found)
    assert trend.n_units == 0


def test_a_model_that_diverged_is_no_part_of_its_point() -> None:
    found = protocols(widths=(32,))
    path, one = found[1].results[0]
    gone = one.variants[0].model_copy(update={"status": "diverged", "excess_bits_per_byte": None})
    assert one.mean_kl is not None
    rows = tuple(row[1:] for row in one.mean_kl.divergence[1:])
    kept = one.mean_kl.model_copy(update={"variants": one.mean_kl.variants[1:], "divergence": rows})
    found[1] = Protocol([(path, one.model_copy(update={"variants": (gone, *one.variants[1:]), "mean_kl": kept}))])
    (trend,) = trends_of(found)
    assert [point.models for point in trend.points] == [5, 4, 5, 5, 5, 5]
    # Its level is not in every point, so nothing can be left out of all of them.
    assert trend.n_units == 0


def test_a_trend_says_how_much_of_the_work_was_training() -> None:
    found = protocols(widths=(32,))

    def worked(fork: float) -> list[Protocol]:
        changed = []
        for of in found:
            result = of.newest
            variants = [
                one.model_copy(update={"settings": {**one.settings, "fork": {"at": fork}}}) for one in result.variants
            ]
            run = result.run.model_copy(update={"work": {"train": 30.0, "sample": 10.0}})
            changed.append(
                Protocol([(of.results[0][0], result.model_copy(update={"variants": tuple(variants), "run": run}))])
            )
        return changed

    (trend,) = trends_of(worked(0.0))
    read = sum(of.tokens_trained or 0 for protocol in found for of in protocol.newest.variants)
    assert trend.train_share == 0.75
    assert trend.tokens_per_second == pytest.approx(read / (30 * len(found)))
    assert "Training took 75% of the time of all jobs, at " in scope(trend)
    (forked,) = trends_of(worked(0.5))
    assert forked.tokens_per_second is None, "copies share their beginning"
    assert "Training" not in scope(trends_of(found)[0])
