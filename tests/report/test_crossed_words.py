"""What is said of a crossing, from figures made by hand: every number is the result's, and its scope is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pytest
from made_results import PROMPT, studied, write_result

from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Crossed, CrossedSide, Result
from natfp_bench.report.crossed_figures import crossed_figures
from natfp_bench.report.crossed_words import crossed_sentences, crossed_table
from natfp_bench.report.finding import finding
from natfp_bench.report.result_tables import findings
from natfp_bench.statistics.crossed import Parts, Variance, VariancePart
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.replication import PermutationTest


def known(value: float, half: float | None = 0.05) -> Interval:
    ends = {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}
    return Interval(value=value, **ends, method="t", units="values of a seed", n_units=4)


def parts(which: str, half: float | None) -> Parts:
    shares = {"seeds.init": 0.25, "seeds.data_order": 0.15, "interaction": 0.6}
    made = (VariancePart(part=part, share=known(share, half), variance=4 * share) for part, share in shares.items())
    return Parts(which=which, tokens=1000, impossible=0, whole=4.0, parts=tuple(made))


def side(seed: str, other: str, accuracy: float, p: float) -> CrossedSide:
    test = PermutationTest(p=p, smallest=0.0005, permutations=1999, exhaustive=False, testable=True)
    return CrossedSide(
        seed=seed,
        held_out=(other,),
        values=4,
        accuracy=known(accuracy, 0.02),
        by_value=(accuracy,) * 4,
        permuted=Permuted(test=test, observed=accuracy, spread=0.01),
        likelihood=known(0.5, 0.1),
    )


def made(folder: Path, half: float | None = 0.05, **changes: Any) -> Result:
    sides = (side("seeds.init", "seeds.data_order", 0.4, 0.001), side("seeds.data_order", "seeds.init", 0.3, 0.02))
    variance = Variance(whole=parts("all", half), by_type=(parts("name", half),), by_position=(parts("5-8", half),))
    crossed = Crossed(seeds=("seeds.init", "seeds.data_order"), variance=variance, sides=sides)
    study = studied(crossed=crossed.model_copy(update=changes))
    facts = {"factor__name": "two seeds", "factor__fields": crossed.seeds, "study": study}
    return results.read(write_result(folder, "any_id", {PROMPT: {"bayes": 0.4, "ceiling": 0.9}}, **facts))


def test_the_sentence_has_the_parts_and_both_guesses(tmp_path: Path) -> None:
    assert finding(made(tmp_path)) == (
        "Two seeds: of the variance between models in the log-probability of a token, 0.25 (95% interval 0.20 to 0.30) "
        "goes with the initialisation, 0.15 (95% interval 0.10 to 0.20) goes with the data order and 0.60 (95% "
        "interval 0.55 to 0.65) with no seed alone; from texts of models whose other seeds it has not met, bayes names "
        "the initialisation with accuracy 0.40 (95% interval 0.38 to 0.42), where chance is 0.25 (permutation test: "
        "uncorrected p = 0.001, smallest possible 0.0005) and the data order with accuracy 0.30 (95% interval 0.28 to "
        "0.32), where chance is 0.25 (permutation test: uncorrected p = 0.020, smallest possible 0.0005)."
    )


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    said = finding(made(tmp_path, variance=None))
    assert said.startswith("Two seeds: from texts of models whose other seeds")
    assert "smallest possible" not in finding(made(tmp_path, sides=()))
    assert "(4 values of a seed: no interval)" in finding(made(tmp_path, half=None))
    nothing = made(tmp_path, variance=None, sides=())
    assert finding(nothing) == "Two seeds: nothing could be measured."
    assert list(crossed_figures(nothing)) == []
    assert crossed_table(nothing.study) is None


def test_a_newcomer_reads_what_was_done_and_what_it_means(tmp_path: Path) -> None:
    said = " ".join(crossed_sentences(made(tmp_path).study))
    assert said.startswith("There is one model for every combination of initialisation and data order, so")
    for part in (
        "standard deviation of 2.00 bits over models (1,000 tokens)",
        "0.25 (95% interval 0.20 to 0.30) of this variance goes with the initialisation",
        "and chaos, which fork_id measures",
        "bayes learns from models with all values of data order but one, and is tested on models with that one",
        "the likelihoods of the same models reach 0.50",
        "1,999 relabelings (drawn at random)",
        "the smallest possible p is 0.0005",
    ):
        assert part in said
    facts = dict(findings(made(tmp_path)))
    assert facts["parts of the variance between models"].startswith("initialisation 0.25 0.20–0.30; data order 0.15")
    assert "chance 0.25" in facts["which data order?"]
    assert list(crossed_sentences(studied())) == []


@pytest.mark.parametrize("half", [0.05, None])
def test_figures_and_table_show_the_same_numbers(tmp_path: Path, half: float | None) -> None:
    result = made(tmp_path, half)
    shares, guesses = crossed_figures(result)
    for one in (shares, guesses):
        alt.Chart.from_dict(dict(one.spec), validate=True)
    assert [row["tokens"] for row in shares.rows[::3]] == ["all tokens", "name", "position 5-8"]
    assert [row["value"] for row in shares.rows] == [0.25, 0.15, 0.6] * 3
    assert [row["value"] for row in guesses.rows] == [0.4, 0.5, 0.3, 0.5]
    table = crossed_table(result.study)
    assert table is not None
    assert table.texts[0][:3] == ["all", "1,000", "4.000"]
    assert [row[0] for row in table.texts] == ["all", "by type of token:", "name", "by position in the text:", "5-8"]
