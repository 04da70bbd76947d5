"""Distances of results: their values by hand, what joins several results, their tree, and the command."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fresh_python import loaded_by
from made_descents import descended, divergences
from made_results import PROMPT, scored, studied

import natfp_bench
from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.result import MeanKL
from natfp_bench.results import distances
from natfp_bench.results.distances import distance_rows, distances_of, tree_of


def confused(name: str, confusion: list[list[float]], **more: Any) -> Any:
    return scored(name, PROMPT, 0.2, confusion=tuple(map(tuple, confusion)), **more)


COUNTS = [[6, 2, 2, 0], [1, 9, 0, 0], [0, 0, 0, 10], [2, 2, 3, 3]]


def test_a_distance_is_the_mean_of_both_directions_with_its_error() -> None:
    matrix = np.array([[0.0, 0.3], [0.5, 0.0]])
    kl = MeanKL(unit="byte", variants=("a/r0", "b/r0"), divergence=divergences(matrix, 0.03))
    found = distances_of(descended("seed_id", replicates=1, mean_kl=kl))
    (pair,) = found.pairs
    assert (pair.a, pair.b, found.kind, found.unit) == ("a/r0", "b/r0", "likelihood", "bits per byte")
    assert pair.distance == pytest.approx(0.4)
    assert pair.standard_error == pytest.approx(math.hypot(0.03, 0.03) / 2)
    assert found.matrix == pytest.approx(np.array([[0, 0.4], [0.4, 0]]))


def test_what_noise_makes_negative_is_no_distance_in_a_matrix() -> None:
    kl = MeanKL(unit="token", variants=("a", "b"), divergence=divergences(np.array([[0.0, -0.2], [0.1, 0.0]]), None))
    found = distances_of(descended("seed_id", replicates=1, mean_kl=kl))
    assert found.pairs[0].distance == pytest.approx(-0.05)
    assert found.pairs[0].standard_error is None
    assert found.matrix.max() == 0


@pytest.mark.parametrize("infinite", [False, True])
def test_without_finite_likelihoods_confusions_count(infinite: bool) -> None:
    other = confused("better", [[10, 0, 0, 0]] * 4, parts=())
    result = descended("seed_id", replicates=1, study=studied())
    names = tuple(of.level for of in result.variants)
    made = [confused("bayes", COUNTS), other]
    scores = tuple(one.model_copy(update={"classes": names}) for one in made)
    kl = None
    if infinite:
        matrix = 1 - np.eye(4)
        matrix[0, 1] = np.nan
        assert result.mean_kl
        kl = MeanKL(unit="token", variants=result.mean_kl.variants, divergence=divergences(matrix))
    found = distances_of(result.model_copy(update={"mean_kl": kl, "scores": scores}))
    assert (found.kind, found.attributor) == ("classifier", "bayes"), "the reference attributor"
    assert ("infinite" in (found.why or "")) == infinite
    assert found.variants == tuple(of.name for of in result.variants)
    first = found.pairs[0]
    assert first.distance == pytest.approx(6 / 8 + 9 / 10 - 1)
    assert first.standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 8 + 0.9 * 0.1 / 10))
    alone = next(pair for pair in found.pairs if {pair.a, pair.b} == {found.variants[0], found.variants[2]})
    assert alone.distance == pytest.approx(6 / 8 + 0.5 - 1), "no text of the other one was taken for either: a guess"


def test_without_the_reference_the_most_accurate_attributor_counts() -> None:
    result = descended("seed_id", replicates=1, study=studied(), mean_kl=None)
    names = tuple(of.level for of in result.variants)
    scores = [scored(name, PROMPT, at, confusion=tuple(map(tuple, COUNTS))) for name, at in (("x", 0.3), ("y", 0.5))]
    found = distances_of(
        result.model_copy(update={"scores": tuple(one.model_copy(update={"classes": names}) for one in scores)})
    )
    assert found.attributor == "y"


def test_variants_that_nobody_compared_have_no_distances() -> None:
    with pytest.raises(UserError, match=r"base_id, run run0: its variants have no distances: there are no likelihoods"):
        distances_of(descended("base_id", mean_kl=None))


def test_bases_that_leave_a_trace_make_a_tree_that_agrees() -> None:
    drawn = tree_of(descended("base_id"))
    assert drawn.families == [0, 1, 2, 3] * 2
    assert drawn.agreement is not None
    assert drawn.agreement.share.value == 1
    assert drawn.agreement.test.p == pytest.approx(1 / 24)
    assert drawn.tree.newick(drawn.distances.variants).count("base0") == 2


def test_runs_that_leave_a_trace_are_families_at_every_level() -> None:
    matrix = np.kron(1 - np.eye(2), np.ones((5, 5))) + 0.1 * (1 - np.eye(10))
    drawn = tree_of(descended("prune_id", matrix))
    assert drawn.families == [0] * 5 + [1] * 5
    assert drawn.agreement is not None
    assert drawn.agreement.share.value == 1
    assert drawn.agreement.test.smallest == pytest.approx(1 / 16), "the runs are permuted within each level"


def test_where_nothing_descends_from_anything_it_is_said() -> None:
    drawn = tree_of(descended("lr_id"))
    assert (drawn.families, drawn.agreement) == (None, None)
    assert "there is no true tree" in drawn.why


def test_a_result_of_another_version_has_a_tree_and_no_history() -> None:
    result = descended("base_id")
    strange = [of.model_copy(update={"settings": {"strange": 1}}) for of in result.variants]
    drawn = tree_of(result.model_copy(update={"variants": tuple(strange)}))
    assert drawn.agreement is None
    assert "settings of another version" in drawn.why


def test_models_in_several_results_are_known_by_their_source() -> None:
    one, other = descended("base_id"), descended("base_id", number=1, preset="other")
    rows = distance_rows([one, other])
    assert len(rows) == 28, "every pair once"
    assert {row["run"] for row in rows} == {"run1"}, "of the newest run"
    third = descended("teacher_id", number=2)
    assert len(distance_rows([one, other, third])) == 56
    sources = {row["source_a"] for row in rows} | {row["source_b"] for row in rows}
    assert len(sources) == 8


def test_a_model_that_is_served_in_two_ways_is_two_sources() -> None:
    result = descended("rounding_id", replicates=1)
    assert len({distances.source_digest(of.model_copy(update={"key": "k"})) for of in result.variants}) == 5
    more = result.variants[0].settings
    more = {**more, "sampling": {**more["sampling"], "texts": 7}}
    same = result.variants[0].model_copy(update={"settings": more})
    assert distances.source_digest(same) == distances.source_digest(result.variants[0]), "more texts of one source"


def saved(folder: Path, *results: Any) -> Path:
    for result in results:
        path = folder / result.task.name / "result.json"
        path.parent.mkdir(parents=True)
        path.write_text(result.to_json())
    return folder


def test_the_command_and_the_function_give_one_table(natfp: Any, tmp_path: Path) -> None:
    where = saved(tmp_path / "results", descended("base_id"), descended("prune_id", number=1))
    made = tmp_path / "made"
    code, out, err = natfp("export", where / "base_id", where / "prune_id", "--format", "distances", "-o", made)
    assert (code, err) == (0, "")
    assert out == f"{made}: 73 distances between pairs of models, 2 trees\n"
    assert sorted(path.name for path in made.iterdir()) == [
        "base_id-run0.nwk",
        "distances.csv",
        "distances.parquet",
        "prune_id-run1.nwk",
    ]
    assert (made / "base_id-run0.nwk").read_text().endswith(";\n")
    rows = pq.read_table(made / "distances.parquet").to_pylist()
    lines = (made / "distances.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[0].split(",") == [*distances.COLUMNS]
    frame = natfp_bench.distances(where)
    assert [*frame.columns] == [*distances.COLUMNS]
    assert frame["distance"].tolist() == [row["distance"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none", "--format", "distances"], "no results found"),
        (["results", "--format", "distances"], "lr_id, run run0: its variants have no distances"),
        (["results/lr_id", "results/lr_id", "--format", "csv"], "--format csv takes one result, and 2 are given"),
    ],
)
def test_wrong_input_gets_one_message_and_no_folder(
    natfp: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    saved(tmp_path / "results", descended("lr_id", mean_kl=None))
    (tmp_path / "none").mkdir()
    code, out, err = natfp("export", *arguments, "-o", "made")
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "made").exists()


def test_without_results_python_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results found"):
        natfp_bench.distances(tmp_path)


def test_the_command_loads_no_machine_learning(tmp_path: Path) -> None:
    where = saved(tmp_path / "results", descended("base_id"))
    assert loaded_by("export", where, "--format", "distances", "-o", tmp_path / "made", folder=tmp_path) == []


def test_a_real_run_has_distances_of_both_kinds(seed_run: Any) -> None:
    result = seed_run[0]
    found = distances_of(result)
    assert (found.kind, len(found.pairs)) == ("likelihood", 6)
    assert all(pair.distance > 0 for pair in found.pairs)
    guessed = distances_of(result.model_copy(update={"mean_kl": None}))
    assert (guessed.kind, guessed.attributor) == ("classifier", "naive_bayes")
    assert guessed.variants == tuple(of.name for of in sorted(result.variants, key=lambda of: of.level))
