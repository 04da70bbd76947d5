"""Scores by target and split: one fit for seen and unseen replicates, ordered levels, and checks of the scores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_results import scored, studied
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from natfp_bench.pipeline import score_checks, scoring
from natfp_bench.pipeline.evidence import Evidence, TestTexts
from natfp_bench.pipeline.result import METRICS, FactorStudy, Gap, Result, Score
from natfp_bench.pipeline.scoring import Answers, Frame, View
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.split import folds
from natfp_bench.statistics import metrics, per_text
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.replication import PermutationTest

LEVELS = ("low", "middle", "high")


@pytest.fixture(scope="module")
def rows(rate_evidence: Any) -> list[dict[str, Any]]:
    """All rows of predictions.parquet."""
    folder: Path = rate_evidence[2]
    return pq.read_table(folder / "predictions.parquet").to_pylist()


def of(result: Result, name: str, target: str, split: str) -> Score:
    (score,) = [s for s in result.scores if (s.attributor.name, s.target, s.split) == (name, target, split)]
    return score


def accuracies(rows: list[dict[str, Any]], name: str, split: str) -> list[float]:
    """Accuracy for the level in each fold, by hand: credit is shared among the most probable classes."""
    classes = sorted(LEVELS)
    found: dict[int, list[float]] = {}
    for row in rows:
        if (row["attributor"], row["target"], row["split"]) == (name, "level", split):
            top = [c for c, p in zip(classes, row["proba"], strict=True) if p == max(row["proba"])]
            found.setdefault(row["fold"], []).append((row["label"] in top) / len(top))
    return [math.fsum(found[fold]) / len(found[fold]) for fold in sorted(found)]


# The scores of a result.


def test_levels_are_scored_on_unseen_and_seen_replicates_instances_on_unseen_prompts(result: Result) -> None:
    found = {(score.target, score.split) for score in result.scores}
    assert found == {("level", "unseen_replicate"), ("level", "seen_replicate"), ("instance", "unseen_prompt")}
    texts = ["majority", "naive_bayes", "unigram"]
    for target, split in found:
        names = [score.attributor.name for score in result.scores if (score.target, score.split) == (target, split)]
        # Likelihoods of known models are no bound on texts of models that they do not know.
        assert names == [*texts, "likelihood_reference" if split == "unseen_replicate" else "ceiling"]
    assert result.scores[0].split == "unseen_replicate", "the split that the task asks about comes first"


def test_the_schema_names_every_metric() -> None:
    assert tuple(metrics.METRICS) == METRICS


def test_intervals_are_those_of_the_split(result: Result) -> None:
    for score in result.scores:
        unseen = score.split == "unseen_replicate"
        accuracy = score.metrics["accuracy"]
        assert (accuracy.method == "cross-fitted t") == unseen
        assert accuracy.units == ("replicates" if unseen else accuracy.units)
        assert accuracy.n_units == (3 if unseen else 25)
        # Texts are independent given the models, but not for claims about a factor: no binomial test of those.
        assert (score.log10_p is None) == (score.split != "unseen_prompt")
        assert (score.extraction is None) or score.split != "unseen_replicate"
        assert score.chance == (1 / 3 if score.target == "level" else 1 / 9)


def test_every_fold_has_all_levels_and_no_text_twice(rows: list[dict[str, Any]]) -> None:
    for split, tested in (("unseen_replicate", 1), ("seen_replicate", 2)):
        mine = [r for r in rows if (r["attributor"], r["split"]) == ("unigram", split)]
        for fold in range(3):
            asked = [(r["variant"], r["row"]) for r in mine if r["fold"] == fold]
            assert len(asked) == len(set(asked)) == 25 * 3 * tested
            names = {name for name, _ in asked}
            assert len(names) == 3 * tested
            assert {name.endswith(f"/r{fold}") for name in names} == {split == "unseen_replicate"}


def test_seen_and_unseen_are_answers_of_one_fit(evidence: Evidence, rows: list[dict[str, Any]]) -> None:
    texts = evidence.texts
    place = {(evidence.names[s], r): i for i, (s, r) in enumerate(zip(texts.source, texts.rows, strict=True))}
    for fold in range(3):
        entry = evidence.proba("unigram", "level", fold)
        mine = [r for r in rows if (r["attributor"], r["target"], r["fold"]) == ("unigram", "level", fold)]
        covered = [place[r["variant"], r["row"]] for r in mine]
        assert sorted(covered) == list(range(225)), "seen and unseen texts together are all texts, each once"
        for at, row in zip(covered, mine, strict=True):
            assert row["proba"] == entry[at].tolist()
            assert (row["split"] == "unseen_replicate") == row["variant"].endswith(f"/r{fold}")


def test_accuracy_on_unseen_replicates_is_the_mean_over_folds(result: Result, rows: list[dict[str, Any]]) -> None:
    for name in ("majority", "naive_bayes", "unigram", "likelihood_reference"):
        by_fold = accuracies(rows, name, "unseen_replicate")
        score = of(result, name, "level", "unseen_replicate")
        assert score.parts == pytest.approx(by_fold)
        found = score.metrics["accuracy"]
        assert found.value == pytest.approx(np.mean(by_fold))
        half = student.ppf(0.975, 2) * np.std(by_fold, ddof=1) * math.sqrt(1 / 3 + 1 / 2)
        assert (found.low, found.high) == pytest.approx((np.mean(by_fold) - half, np.mean(by_fold) + half))


def test_the_replicate_gap_by_hand(result: Result, rows: list[dict[str, Any]]) -> None:
    assert [gap.attributor for gap in result.study.gaps] == ["majority", "naive_bayes", "unigram"]
    for gap in result.study.gaps:
        seen, unseen = (
            np.array(accuracies(rows, gap.attributor, f"{which}_replicate")) for which in ("seen", "unseen")
        )
        difference = seen - unseen
        assert gap.gap.value == pytest.approx(difference.mean(), abs=1e-12)
        error = difference.std(ddof=1) * math.sqrt(1 / 3 + 1 / 2)
        half = student.ppf(0.975, 2) * error
        assert gap.gap.low == pytest.approx(difference.mean() - half, abs=1e-12)
        if gap.attributor == "majority":
            assert (gap.gap.value, gap.p) == (0.0, 1.0)
        else:
            assert gap.p == pytest.approx(student.cdf(difference.mean() / error, 2))


def test_ordered_metrics_follow_the_factor_and_not_the_alphabet(result: Result, rows: list[dict[str, Any]]) -> None:
    # Columns are sorted by name (high, low, middle); the task has the order low, middle, high.
    step = [LEVELS.index(name) for name in sorted(LEVELS)]
    for split in ("seen_replicate", "unseen_replicate"):
        errors: dict[int, list[float]] = {}
        for row in rows:
            if (row["attributor"], row["target"], row["split"]) == ("unigram", "level", split):
                guess = step[int(np.argmax(row["proba"]))]
                errors.setdefault(row["fold"], []).append(abs(guess - LEVELS.index(row["label"])))
        score = of(result, "unigram", "level", split)
        if split == "unseen_replicate":
            expected = np.mean([np.mean(errors[fold]) for fold in range(3)])
        else:
            expected = np.mean([error for fold in errors.values() for error in fold])
        assert score.metrics["level_error"].value == pytest.approx(expected)
        assert score.metrics["kendall_tau"].value > 0.2
    assert "kendall_tau" not in of(result, "majority", "level", "seen_replicate").metrics, (
        "a constant has no rank correlation"
    )
    assert "level_error" not in of(result, "unigram", "instance", "unseen_prompt").metrics, "instances have no order"


def test_pairwise_auroc_is_that_of_scikit_learn(result: Result, rows: list[dict[str, Any]]) -> None:
    mine = [r for r in rows if (r["attributor"], r["target"]) == ("unigram", "instance")]
    found = of(result, "unigram", "instance", "unseen_prompt")
    truth = [found.classes.index(r["label"]) for r in mine]
    known = roc_auc_score(truth, np.array([r["proba"] for r in mine]), multi_class="ovo")
    assert found.metrics["pairwise_auroc"].value == pytest.approx(known)


def test_the_likelihood_reference_does_not_use_the_replicate_held_out(evidence: Evidence) -> None:
    """The reference does not depend on the likelihoods of the models that are held out."""
    known = scoring.likelihood_answers(View(evidence, "level", "unseen_replicate"))
    for held in range(3):
        spoilt = [
            np.zeros_like(s) if r == held else s
            for s, r in zip(evidence.token_scores, evidence.replicates, strict=True)
        ]
        other = replace(evidence)
        other.__dict__["token_scores"] = spoilt
        found = scoring.likelihood_answers(View(other, "level", "unseen_replicate"))
        assert np.array_equal(found.proba[known.fold == held], known.proba[known.fold == held])
        assert not np.array_equal(found.proba[known.fold != held], known.proba[known.fold != held])


# Views made by hand.


def view(
    labels: str, replicates: list[int], split: str, *, plan: Plan | None = None, target: Any = "level", texts: int = 2
) -> View:
    """A view of variants with one-letter levels, each with `texts` test texts; variants share their prompts."""
    plan = plan or make_plan("seed_id", "smoke")
    variants = [
        SimpleNamespace(variant=Variant(level=label, replicate=r, settings=plan.variants[0].settings))
        for label, r in zip(labels, replicates, strict=True)
    ]
    n = len(variants)
    source, rows = np.repeat(np.arange(n), texts), np.tile(np.arange(texts), n)
    known = SimpleNamespace(
        plan=plan,
        kept=variants,
        replicates=np.array(replicates),
        names=[of.variant.name for of in variants],
        texts=TestTexts(source, rows, rows, np.ones(n * texts, int), np.ones(n * texts, int), [[1]] * n * texts),
        baselines=(),
        predictions={},
        metas={},
    )
    return View(known, target, split)  # type: ignore[arg-type]


def answered(truth: list[int], guess: list[int], k: int, *, fold: list[int] | None = None) -> Answers:
    """Certain answers to texts, each with its own prompt."""
    at = np.arange(len(truth))
    writers = np.array(["a/r0"] * len(truth))
    return Answers(np.eye(k)[guess], np.array(truth), writers, at, at, np.array(fold or [0] * len(truth)))


def test_classes_and_their_variants() -> None:
    of_level, of_instance = (view("baba", [0, 0, 1, 1], "unseen_replicate", target=t) for t in ("level", "instance"))
    assert of_level.classes == ("a", "b")
    assert of_level.class_of.tolist() == [1, 0, 1, 0]
    assert of_instance.classes == ("a/r0", "a/r1", "b/r0", "b/r1")
    assert of_instance.class_of.tolist() == [2, 0, 3, 1]


def test_answers_of_folds_are_concatenated() -> None:
    some = view("abab", [0, 0, 1, 1], "unseen_replicate")
    proba = {fold: np.full((8, 2), fold + 0.5) for fold in (0, 1)}
    proba[0][0], proba[1][0] = 7, 8  # the first text is of replicate 0, which fold 1 knows
    found = scoring.answers(some, proba)
    assert found.rows.tolist() == list(range(8))
    assert found.fold.tolist() == [0] * 4 + [1] * 4
    assert found.truth.tolist() == [0, 0, 1, 1] * 2
    assert found.proba[:, 0].tolist() == [7, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5, 1.5]
    seen = scoring.answers(view("abab", [0, 0, 1, 1], "seen_replicate"), proba)
    assert seen.rows.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert seen.fold.tolist() == [0] * 4 + [1] * 4
    assert seen.proba[4, 0] == 8
    assert [len(truth) for _, truth in seen.by_fold()] == [4, 4]


@pytest.mark.parametrize(
    ("task", "split", "bounded"),
    [
        ("seed_id", "unseen_prompt", True),
        ("lr_id", "seen_replicate", True),
        ("lr_id", "unseen_replicate", False),
        ("tokenizer_id", "unseen_prompt", False),
        ("tokenizer_id", "seen_replicate", False),
    ],
)
def test_a_ceiling_needs_known_candidates_and_shared_tokens(task: str, split: str, bounded: bool) -> None:
    assert view("ab", [0, 0], split, plan=make_plan(task, "smoke")).bounded == bounded


def test_a_text_that_no_known_variant_can_write_has_a_uniform_posterior() -> None:
    some = view("abab", [0, 0, 1, 1], "unseen_replicate", texts=1)
    nats = np.array([[0.0, -5, -np.inf, -np.inf], [-5, 0, -1, -np.inf], [0, -1, 0, 0], [-1, -1, 0, 0]])
    some.evidence.log_likelihood = lambda: nats  # type: ignore[method-assign]
    found = scoring.likelihood_answers(some)
    likely = math.exp(-1) / (1 + math.exp(-1))
    assert found.proba == pytest.approx(np.array([[0.5, 0.5], [1, 0], [1 - likely, likely], [0.5, 0.5]]))


def further(frame: Frame, proba: Any, truth: Any) -> dict[str, float]:
    return metrics.fold_values(scoring.answered(frame, proba, truth))


def with_levels(levels: dict[str, float], *, ordered: bool = True) -> Plan:
    plan = make_plan("lr_id", "smoke")
    factor = plan.task.factor.model_copy(update={"levels": levels, "ordered": ordered})
    return plan.model_copy(update={"task": plan.task.model_copy(update={"factor": factor})})


def test_ordered_levels_by_hand() -> None:
    """The order of the task differs from the alphabet."""
    levels = {"c": 1.0, "a": 2.0, "b": 3.0}
    some = view("cab", [0, 0, 0], "unseen_prompt", plan=with_levels(levels))
    # Columns a, b, c; in the factor's order they are the second, the third and the first level.
    truth, guess = [0, 1, 2, 2], [0, 0, 1, 2]
    found = further(some.frame, np.eye(3)[guess], np.array(truth))
    assert found["level_error"] == pytest.approx((0 + 1 + 2 + 0) / 4)
    perfect = further(some.frame, np.eye(3)[[0, 1, 2]], np.array([0, 1, 2]))
    assert (perfect["level_error"], perfect["kendall_tau"]) == (0.0, pytest.approx(1.0))
    unordered = view("cab", [0, 0, 0], "unseen_prompt", plan=with_levels(levels, ordered=False))
    assert "level_error" not in further(unordered.frame, np.eye(3)[guess], np.array(truth))


def test_levels_that_are_left_out_do_not_change_the_order_of_the_others() -> None:
    plan = with_levels({"z": 0.5, "c": 1.0, "gone": 1.5, "a": 2.0})
    some = view("zca", [0, 0, 0], "unseen_prompt", plan=plan)
    # The guess is always a; the truths are a, c and z.
    found = further(some.frame, np.eye(3)[[0, 0, 0]], np.array([0, 1, 2]))
    assert found["level_error"] == pytest.approx((0 + 1 + 2) / 3)


# Gaps and checks.


def gap_of(seen: list[float], unseen: list[float]) -> Gap:
    """The gap of an attributor that is right on these shares of the ten texts of each fold."""

    def given(shares: list[float]) -> dict[str, Answers]:
        truth = [0] * 10 * len(shares)
        guess = [int(i >= 10 * share) for share in shares for i in range(10)]
        return {"one": answered(truth, guess, 2, fold=[i // 10 for i in range(len(truth))])}

    (gap,) = score_checks.gaps(given(unseen), given(seen))
    return gap


def test_two_replicates_have_a_gap_and_no_interval() -> None:
    gap = gap_of([0.9, 0.8], [0.5, 0.6])
    assert (gap.gap.value, gap.gap.low, gap.gap.method, gap.p) == (pytest.approx(0.3), None, "none", None)


def test_equal_gaps_have_no_spread_to_divide_by() -> None:
    assert gap_of([0.9] * 3, [0.5] * 3).p == 1.0
    assert gap_of([0.5] * 3, [0.5] * 3).p == 1.0
    assert gap_of([0.5] * 3, [0.6] * 3).p == 0.0


def test_unseen_replicates_that_are_easier_fail_the_check() -> None:
    easier = [gap_of([0.5, 0.4, 0.5, 0.4], [0.9, 0.9, 1.0, 0.8])]
    [check] = score_checks.not_easier(easier, "one")
    assert not check.ok
    assert "p = " in check.detail
    assert score_checks.not_easier(easier, "another") == [], "only the gap of the reference attributor counts"
    assert score_checks.not_easier([gap_of([0.5, 0.4], [0.9, 0.9])], "one") == [], "two replicates have no p-value"
    [check] = score_checks.not_easier([gap_of([0.9, 0.8, 1.0], [0.5, 0.6, 0.7])], "one")
    assert check.ok


def test_an_attributor_that_is_significantly_above_the_ceiling_fails_the_check() -> None:
    truth = [0, 1] * 50
    given = {
        "ceiling": answered(truth, [0] * 100, 2),
        "cheat": answered(truth, truth, 2),
        "lucky": answered(truth, [truth[0], truth[1], *[0] * 98], 2),
    }
    checks = {check.name: check.ok for check in score_checks.below_ceiling(view("ab", [0, 0], "unseen_prompt"), given)}
    assert checks == {
        "cheat is not above the ceiling (level)": False,
        "lucky is not above the ceiling (level)": True,
    }
    seen = score_checks.below_ceiling(view("ab", [0, 0], "seen_replicate"), given)
    assert seen[0].name == "cheat is not above the ceiling (level, seen_replicate)"
    assert score_checks.below_ceiling(view("ab", [0, 0], "unseen_replicate"), given) == [], "a reference may be beaten"


def test_levels_that_mean_nothing_must_not_be_found() -> None:
    """The control fails if labels are found with the smallest p of many, or an attributor is above chance."""

    def scores(parts: tuple[float, ...], log10_p: float) -> list[Score]:
        unseen = scored("one", "unseen_replicate", 0.0, parts=parts)
        instance = scored("ceiling", "unseen_prompt", 0.5, log10_p=log10_p)
        return [unseen, instance.model_copy(update={"attributor": scoring.CEILING, "target": "instance"})]

    def study(p: float, smallest: float) -> FactorStudy:
        test = PermutationTest(p=p, smallest=smallest, permutations=9, exhaustive=True, testable=True)
        return studied(permutation=Permuted(test=test, observed=0.3, spread=0.02))

    sound = score_checks.means_nothing(study(0.4, 0.0008), scores((0.26, 0.24, 0.25, 0.27, 0.24), -30.0))
    assert [check.ok for check in sound] == [True, True, True]
    leaky = score_checks.means_nothing(study(0.0008, 0.0008), scores((0.46, 0.44, 0.45, 0.47, 0.44), -1.0))
    assert [check.ok for check in leaky] == [False, False, False]
    constant = score_checks.means_nothing(study(0.4, 0.0008), scores((0.5,) * 5, -30.0))
    assert [check.ok for check in constant] == [True, False, True], "without spread, above chance is above chance"
    floor = score_checks.means_nothing(study(0.4, 0.0008), scores((0.25 + 1e-16,) * 5, -30.0))
    assert all(check.ok for check in floor)
    few = score_checks.means_nothing(study(1 / 36, 1 / 36), scores((0.5, 0.5), -30.0))
    assert [check.name for check in few] == ["single runs can be identified, so that the control could fail"]


def test_a_fold_is_named_after_its_replicate_in_the_table() -> None:
    some = view("abab", [0, 0, 2, 2], "unseen_replicate", texts=1)
    assert [fold.number for fold in some.folds] == [fold.number for fold in folds(some.split, np.array([0, 0, 2, 2]))]
    given = scoring.answers(some, {0: np.full((4, 2), 0.5), 2: np.eye(2)[[0, 1, 0, 1]]})
    table = scoring.table(some, {"one": given}).to_pylist()
    assert [(row["variant"], row["fold"], row["label"], row["proba"]) for row in table] == [
        ("a/r0", 0, "a", [0.5, 0.5]),
        ("b/r0", 0, "b", [0.5, 0.5]),
        ("a/r2", 2, "a", [1.0, 0.0]),
        ("b/r2", 2, "b", [0.0, 1.0]),
    ]
    assert per_text.credits(given.proba, given.truth).tolist() == [0.5, 0.5, 1, 1]


def test_bits_of_variants_have_the_mean_that_is_reported(seed_run: Any) -> None:
    for score in seed_run[0].scores:
        if score.status == "ok":
            assert score.bits_by_variant.keys() == score.by_variant.keys()
            mean = np.mean([*score.bits_by_variant.values()])
            assert mean == pytest.approx(score.metrics["bits"].value), "as many texts of each"
