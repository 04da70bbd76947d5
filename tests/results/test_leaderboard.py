"""Leaderboards of factors and of attributors, on results made by hand."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
import scipy.stats
from made_results import PROMPT, SEEN, UNSEEN, VARIANTS, plain, scored, studied, variant

from natfp_bench.pipeline import result_files as results
from natfp_bench.report import leaderboard_tables
from natfp_bench.results.leaderboard import AttributorRow, FactorRow, Leaderboards, best, leaderboards
from natfp_bench.results.predictions import read_predictions
from natfp_bench.statistics import per_text, replication
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.intervals import student_quantile


def factor(found: Leaderboards, task: str) -> FactorRow:
    (row,) = [row for standing in found.standings for row in standing.factors if row.task == task]
    return row


def attributor(found: Leaderboards, name: str) -> AttributorRow:
    (standing,) = found.standings
    (row,) = [row for row in standing.attributors if row.attributor == name]
    return row


def test_a_factor_with_replicates_held_out(made: Any) -> None:
    test = replication.PermutationTest(p=0.03, smallest=0.01, permutations=99, exhaustive=False, testable=True)
    figures = {
        UNSEEN: {"bayes": 0.3, "other": 0.4, "likelihood_reference": 0.5},
        SEEN: {"bayes": 0.6, "other": 0.7, "ceiling": 0.9},
    }
    study = studied(permutation=Permuted(test=test, observed=0.5, spread=0.05))
    row = factor(leaderboards([made("lr_id", figures, study=study)]), "lr_id")
    assert (row.factor, row.reference, row.section, row.current) == (
        "factor of lr_id",
        "bayes",
        "held-out replicates",
        True,
    )
    assert (row.unseen.split, row.seen.split) == (UNSEEN, SEEN)
    assert (row.unseen.reference, row.seen.reference.value) == (plain(0.3, 0.01), 0.6)
    assert (row.unseen.bits.value, row.seen.bits.value, row.seen.ceiling_bits.value) == (0.6, 1.2, 1.8)
    assert (row.unseen.ceiling, row.seen.ceiling.value) == (None, 0.9)  # a reference may be beaten: no ceiling
    assert (row.p, row.p_floor, row.p_adjusted, row.verdict) == (0.03, 0.01, 0.03, "found")
    assert (row.strength, row.log10_p, row.detectable) == (pytest.approx(5.0), None, None)
    assert (row.unseen.best_attributors, row.unseen.best) == (("other",), plain(0.4, 0.01))
    assert (row.seen.best_attributors, row.seen.best) == (("other",), plain(0.7, 0.01))


def test_a_factor_without_replicates_to_hold_out_has_figures_of_seen_ones_only(made: Any) -> None:
    path = made("seed_id", {PROMPT: {"ceiling": 0.9}}, scores=[scored("bayes", PROMPT, 0.5, log10_p=-12.0)])
    row = factor(leaderboards([path]), "seed_id")
    assert (row.unseen, row.seen.split, row.seen.reference.value) == (None, PROMPT, 0.5)
    assert (row.p, row.verdict, row.log10_p, row.section) == (None, None, -12.0, "seen replicates only")
    assert row.detectable == pytest.approx((0.4 - 0.25) / 0.75)  # an accuracy among four, normalised


def with_p(p: float, smallest: float = 0.001) -> Any:
    test = replication.PermutationTest(p=p, smallest=smallest, permutations=999, exhaustive=True, testable=True)
    return studied(permutation=Permuted(test=test, observed=0.3, spread=0.02))


def test_p_values_are_corrected_over_the_factors_of_a_table(made: Any) -> None:
    """Holm over four: 4 x 0.001, 3 x 0.02, 2 x 0.03, 1 x 0.6. Controls and older protocols are not counted."""
    given = {"sure_id": 0.001, "likely_id": 0.02, "maybe_id": 0.03, "no_id": 0.6}
    five = tuple(variant(f"{level}/r{r}", f"{level}{r}") for r in range(5) for level in "abcd")
    paths = [made("no_id", {UNSEEN: {"bayes": 0.1}}, study=with_p(0.01), protocol_digest="older", variants=five)]
    paths += [made(task, {UNSEEN: {"bayes": 0.1}}, study=with_p(p), variants=five) for task, p in given.items()]
    paths.append(made("data_id", {UNSEEN: {"bayes": 0.9}}, study=with_p(0.001), task__control="positive"))
    found = leaderboards(paths)
    (standing,) = found.standings
    rows = {row.task: row for row in standing.factors if row.section == "held-out replicates"}
    assert [*rows] == [*given], "ordered by strength of evidence"
    assert [row.p_adjusted for row in rows.values()] == pytest.approx([0.004, 0.06, 0.06, 0.6])
    assert [row.verdict for row in rows.values()] == ["found", "not found", "not found", "not found"]
    # The spread of the accuracy, 0.02, on the scale of identifiability, for one of four tests.
    detectable = replication.detectable_factor(0.02 / 0.75, 4, 5, 999, 4)
    assert rows["no_id"].detectable == pytest.approx(detectable)
    assert detectable > replication.detectable_factor(0.02 / 0.75, 4, 5, 999)
    control = factor(found, "data_id")
    assert (control.p, control.p_adjusted, control.verdict) == (0.001, None, None)


def test_what_cannot_be_found_costs_the_others_nothing(made: Any) -> None:
    """Two levels and five replicates have a p of 1/16 at the least: no part of the family."""
    sure = made("a_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(0.04))
    never = made("b_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(1 / 16, 1 / 16))
    found = leaderboards([sure, never])
    assert (factor(found, "a_id").verdict, factor(found, "a_id").p_adjusted) == ("found", 0.04)
    assert (factor(found, "b_id").verdict, factor(found, "b_id").p_adjusted) == ("not testable", None)


def test_a_verdict_never_contradicts_the_corrected_p(made: Any) -> None:
    """The larger of two p-values is multiplied by one: found, although twice its floor is above 0.05."""
    first = made("a_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(0.001))
    second = made("b_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(0.031, 0.031))
    found = leaderboards([first, second])
    assert (factor(found, "b_id").verdict, factor(found, "b_id").p_adjusted) == ("found", 0.031)


def test_a_factor_that_could_not_be_found_is_not_testable(made: Any) -> None:
    """Three levels and three replicates: 1/36 may do alone, and never among two."""
    alone = made("a_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(1 / 36, 1 / 36))
    assert factor(leaderboards([alone]), "a_id").verdict == "found"
    other = made("b_id", {UNSEEN: {"bayes": 0.5}}, study=with_p(1 / 36, 1 / 36))
    assert {row.verdict for row in leaderboards([alone, other]).standings[0].factors} == {"not testable"}


def test_rows_stand_in_sections_best_first(made: Any) -> None:
    paths = [
        made("null_id", {PROMPT: {"bayes": 0.99}}, task__control="negative"),
        made("data_id", {UNSEEN: {"bayes": 0.95}}, task__control="positive"),
        made("seed_id", {PROMPT: {"bayes": 0.9}}),
        made("low_id", {UNSEEN: {"bayes": 0.1}, SEEN: {"bayes": 0.8}}),
        made("high_id", {UNSEEN: {"bayes": 0.2}, SEEN: {"bayes": 0.3}}),
        made("failed_id", {UNSEEN: {"bayes": None}}),
    ]
    (standing,) = leaderboards(paths).standings
    assert [(row.task, row.section) for row in standing.factors] == [
        ("high_id", "held-out replicates"),
        ("low_id", "held-out replicates"),
        ("failed_id", "held-out replicates"),
        ("seed_id", "seen replicates only"),
        ("data_id", "positive control"),
        ("null_id", "negative control"),
    ]


def test_the_best_attributor_of_a_replicate_is_chosen_by_the_others() -> None:
    """`lucky` is far ahead on one replicate: it is the best of all others, and not of that one."""
    scores = {
        "bayes": scored("bayes", UNSEEN, 0.2, parts=(0.4, 0.4, 0.4)),
        "lucky": scored("lucky", UNSEEN, 0.3, parts=(0.3, 0.3, 0.825)),
        "none": scored("none", UNSEEN, None),
        "likelihood_reference": scored("likelihood_reference", UNSEEN, 0.9),
    }
    names, found = best(scores)
    assert names == ("lucky", "bayes")
    # Judged by lucky, lucky and bayes: accuracies 0.3, 0.3, 0.4 of four, hence 1/15, 1/15, 1/5.
    assert found.value == pytest.approx(1 / 9)
    spread = np.std([1 / 15, 1 / 15, 1 / 5], ddof=1)
    low, high = scipy.stats.t.interval(0.95, 2, 1 / 9, spread * (1 / 3 + 1 / 2) ** 0.5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.method, found.units, found.n_units) == ("cross-fitted t", "replicates", 3)


def test_choosing_the_best_of_equals_gains_nothing() -> None:
    """Of twenty attributors at chance the highest looks good; the one that is called the best does not."""
    draw = np.random.default_rng(0)
    highest, chosen = [], []
    for _ in range(300):
        parts = draw.binomial(100, 0.25, size=(20, 10)) / 100
        scores = {str(i): scored(str(i), PROMPT, 0.0, parts=tuple(row)) for i, row in enumerate(parts)}
        _, found = best(scores)
        chosen.append(found.value)
        highest.append(per_text.identifiability(parts.mean(axis=1).max(), 0.25))
    error = statistics.stdev(chosen) / 300**0.5
    assert statistics.fmean(highest) > 0.025
    assert statistics.fmean(chosen) < 3 * error


def test_one_part_cannot_choose() -> None:
    assert best({"bayes": scored("bayes", PROMPT, 0.4, parts=(0.55,))}) == ((), None)
    assert best({}) == ((), None)


def test_scores_tell_their_parts(seed_run: Any) -> None:
    """Tenths of the prompts, each a mean of credits, whose mean is the accuracy where all are of one size."""
    result, folder = seed_run
    (score,) = [score for score in result.scores if score.attributor.name == "unigram"]
    assert len(score.parts) == 10
    assert statistics.fmean(score.parts) == pytest.approx(score.metrics["accuracy"].value)
    answers = read_predictions(folder / "result.json").of(score)
    credit = answers.credit
    part = np.unique(answers.prompts, return_inverse=True)[1] % 10
    assert score.parts == pytest.approx([credit[part == number].mean() for number in range(10)])


@pytest.mark.parametrize(
    "changes",
    [{"preset": "smoke"}, {"corpus__name": "text:x"}, {"seed": 1}, {"overrides": {"optimizer.lr": 0.1}}],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_never_share_a_table(made: Any, changes: dict[str, Any]) -> None:
    own = made("a_id", {UNSEEN: {"bayes": 0.1}})
    other = made("b_id", {UNSEEN: {"bayes": 0.2}}, **changes)
    found = leaderboards([own, other])
    assert sorted(row.task for standing in found.standings for row in standing.factors) == ["a_id", "b_id"]
    assert all(len(standing.factors) == standing.tasks == 1 for standing in found.standings)


def test_the_corpus_as_an_override_is_no_other_setting(made: Any) -> None:
    paths = [made("a_id", {UNSEEN: {"bayes": 0.1}}, overrides={"corpus.name": "text:x"}, corpus__name="text:x")]
    paths.append(made("b_id", {UNSEEN: {"bayes": 0.1}}, corpus__name="text:x"))
    (standing,) = leaderboards(paths).standings
    assert standing.setting.overrides == {}


def test_unseen_and_seen_runs_have_means_of_their_own(made: Any) -> None:
    values = [0.1, 0.3, 0.8]
    paths = [made(f"task{i}", {UNSEEN: {"bayes": at}, SEEN: {"bayes": 0.9}}) for i, at in enumerate(values)]
    paths.append(made("task3", {PROMPT: {"bayes": 0.1}}))
    paths.append(made("null_id", {PROMPT: {"bayes": -1.0}}, task__control="negative"))
    found = leaderboards(paths)
    row = attributor(found, "bayes")
    assert (found.standings[0].tasks, found.standings[0].held_out) == (4, 3)
    assert (row.unseen.tasks, row.seen.tasks) == (3, 4)
    assert (row.unseen.identifiability.value, row.seen.identifiability.value) == pytest.approx((0.4, 0.7))
    assert (row.unseen.identifiability.units, row.unseen.identifiability.n_units) == ("models", 12)
    assert (row.fit_seconds, row.predict_seconds) == (10.0, 2.5)  # the control's as well


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 22, 101])
def test_student_quantile_is_that_of_scipy(df: int) -> None:
    assert student_quantile(df) == pytest.approx(scipy.stats.t.ppf(0.975, df), rel=1e-12)


def test_attributors_are_ranked_over_tasks(made: Any) -> None:
    """On all ten tasks, `first` is a little above `second` and both far above `floor`; tasks differ much more."""
    figures = {i: {"first": 0.08 * i + 0.02, "second": 0.08 * i + 0.01 * (i % 2), "floor": 0.0} for i in range(1, 11)}
    found = leaderboards([made(f"task{i}", {UNSEEN: row}) for i, row in figures.items()])
    assert {name: attributor(found, name).unseen.rank for name in ("first", "second", "floor")} == {
        "first": 1,
        "second": 2,
        "floor": 3,
    }
    first, second = ([row[name] for row in figures.values()] for name in ("first", "second"))
    assert scipy.stats.wilcoxon(first, second, alternative="greater").pvalue < 0.05 / 6
    (standing,) = found.standings
    assert [row.attributor for row in standing.attributors] == ["first", "second", "floor"]


def test_with_no_clear_difference_attributors_share_a_rank(made: Any) -> None:
    paths = [made(f"task{i}", {UNSEEN: {"x": 0.5, "y": 0.5 + 0.1 * (-1) ** i}}) for i in range(10)]
    found = leaderboards(paths)
    assert (attributor(found, "x").unseen.rank, attributor(found, "y").unseen.rank) == (1, 1)


@pytest.mark.parametrize(("tasks", "testable"), [(1, False), (2, True)])
def test_few_models_give_no_ranks(made: Any, tasks: int, testable: bool) -> None:
    """Two ordered pairs, each with p = 2^-models at the least: four models cannot pass Holm, whatever the figures."""
    found = leaderboards([made(f"task{i}", {UNSEEN: {"x": 0.1 * i + 0.3, "y": 0.1 * i}}) for i in range(tasks)])
    assert [attributor(found, name).unseen.rank for name in "xy"] == ([1, 2] if testable else [None, None])


def test_who_did_not_do_every_task_is_listed_without_a_rank(made: Any) -> None:
    paths = [made(f"task{i}", {UNSEEN: {"x": 0.1 * i, "y": 0.05 * i, "z": 0.9}}) for i in range(8)]
    paths.append(made("task8", {UNSEEN: {"x": 0.5, "y": 0.2, "z": None}}))
    found = leaderboards(paths)
    row = attributor(found, "z")
    assert (row.unseen.rank, row.unseen.tasks, row.failed) == (None, 8, ("task8",))
    assert row.unseen.identifiability.value == pytest.approx(0.9)
    (standing,) = found.standings
    assert [row.attributor for row in standing.attributors] == ["x", "y", "z"]  # the highest mean, but of other tasks
    assert attributor(found, "x").unseen.rank == 1


def test_two_versions_of_an_attributor_are_not_one(made: Any) -> None:
    paths = [
        made(f"task{i}", {UNSEEN: {"x": 0.2}}, scores=[scored("mine", UNSEEN, 0.5, digest=f"{i // 4}")])
        for i in range(8)
    ]
    row = attributor(leaderboards(paths), "mine")
    assert (row.digests, row.unseen.rank, row.unseen.tasks) == (("0", "1"), None, 8)


def test_results_of_one_protocol_are_one_row(made: Any) -> None:
    """Each names one attributor; the older figure of `bayes` is replaced."""
    paths = [made("a_id", {UNSEEN: figures}) for figures in ({"bayes": 0.1}, {"bayes": 0.2}, {"other": 0.3})]
    found = leaderboards(paths)
    assert factor(found, "a_id").unseen.reference.value == 0.2
    assert (attributor(found, "bayes").unseen.tasks, attributor(found, "other").unseen.tasks) == (1, 1)
    assert [origin.run.id for origin in found.origins] == ["run0", "run1", "run2"]


def test_a_later_result_of_the_level_alone_changes_nothing_of_the_factor(made: Any) -> None:
    """What is detectable is told of the instance's classes, whoever answered last."""
    of = {"target": "instance", "classes": VARIANTS, "chance": 0.125}
    instance = scored("bayes", PROMPT, 0.6).model_copy(update=of)
    whole = made("order_id", {PROMPT: {"bayes": 0.5}}, scores=[instance])
    later = made("order_id", {PROMPT: {"late": 0.2}})
    before, after = (factor(leaderboards(paths), "order_id") for paths in ([whole], [whole, later]))
    assert before.detectable == after.detectable == pytest.approx(per_text.identifiability(0.4, 0.125))


def test_a_part_of_the_test_texts_is_a_table_of_its_own(made: Any) -> None:
    whole, part = made("seed_id", {PROMPT: {"bayes": 0.5}}), made("lr_id", {PROMPT: {"bayes": 0.1}})
    part.write_text(results.read(part).model_copy(update={"subset": 20}).to_json())
    found = leaderboards([part, whole]).standings
    assert [one.setting.subset for one in found] == [None, 20], "the whole stands first"
    assert leaderboard_tables.setting_title(found[1].setting).endswith("only 20 test texts per class")
    assert "on a part of the test texts" in leaderboard_tables.standing_tables(found[1])[0].title


def test_an_older_protocol_of_a_task_is_shown_and_counts_for_nothing(made: Any) -> None:
    paths = [made("a_id", {UNSEEN: {"bayes": at}}, protocol_digest=f"{at}") for at in (0.9, 0.2)]
    paths.append(made("b_id", {UNSEEN: {"bayes": 0.4}}))
    found = leaderboards(paths)
    (standing,) = found.standings
    assert [(row.task, row.protocol_digest, row.section) for row in standing.factors] == [
        ("b_id", "protocol of b_id", "held-out replicates"),
        ("a_id", "0.2", "held-out replicates"),
        ("a_id", "0.9", "older protocol"),
    ]
    assert standing.tasks == 2
    assert attributor(found, "bayes").unseen.identifiability.value == pytest.approx(statistics.fmean([0.2, 0.4]))


def test_a_real_result_has_its_row(seed_run: Any) -> None:
    result, folder = seed_run
    found = leaderboards([folder / "result.json"])
    row = factor(found, "seed_id")
    by_name = {score.attributor.name: score for score in result.scores}
    assert row.section == "seen replicates only"
    assert row.seen.reference == by_name[result.study.reference].metrics["identifiability"]
    assert row.seen.ceiling == by_name["ceiling"].metrics["identifiability"]
    assert (row.length, row.equivalence) == (result.study.length, result.study.equivalence)
    assert Leaderboards.model_validate_json(found.model_dump_json()) == found
    (origin,) = found.origins
    assert origin.run == result.run
