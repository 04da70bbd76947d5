"""The sentence of a result, and its scope: every number is the result's, and nothing is said that it does not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_results import PROMPT, SEEN, UNSEEN, VARIANTS, Figures, studied, variant, write_result

from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Check, Detectable, Gap, Result
from natfp_bench.report.finding import finding, scope, short_corpus
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.replication import PermutationTest

SEEDS = {"factor__name": "random seeds", "factor__fields": ("seeds.init", "seeds.dropout")}
RATE = {"factor__name": "peak learning rate", "factor__fields": ("optimizer.lr",)}
CONTROL = {"factor__name": "rerun", "factor__fields": ("rerun",), "task__control": "negative"}


def made(folder: Path, figures: Figures, **changes: Any) -> Result:
    return results.read(write_result(folder, "any_id", figures, **changes))


def permuted(p: float, smallest: float) -> Permuted:
    test = PermutationTest(p=p, smallest=smallest, permutations=99, exhaustive=True, testable=smallest <= 0.05)
    return Permuted(test=test, observed=0.4, spread=0.05)


def runs(replicates: int, **facts: Any) -> tuple[Any, ...]:
    return tuple(
        variant(f"{level}/r{r}", f"{level}{r}").model_copy(update=facts) for level in "abcd" for r in range(replicates)
    )


def test_seeds_are_about_the_models_with_chance_and_ceiling(tmp_path: Path) -> None:
    found = made(tmp_path, {PROMPT: {"bayes": 0.4, "trees": 0.2, "ceiling": 0.9}}, **SEEDS)
    ranked = [one.model_copy(update={"rank": 2}) if one.attributor.name == "trees" else one for one in found.scores]
    assert finding(found.model_copy(update={"scores": tuple(ranked)})) == (
        "Random seeds: a text of up to 8 tokens names its model, of 4, with accuracy 0.55 (95% interval 0.54 to 0.56), "
        "where chance is 0.25 and the ceiling 0.93; bayes does best."
    )


def test_attributors_that_share_the_first_rank_are_all_named(tmp_path: Path) -> None:
    said = finding(made(tmp_path, {PROMPT: {"trees": 0.2, "bayes": 0.4}}, **SEEDS))
    assert said.endswith("; bayes and trees do best, without a significant difference.")


def test_the_floor_among_the_best_means_that_nobody_beats_it(tmp_path: Path) -> None:
    said = finding(made(tmp_path, {PROMPT: {"majority": 0.0, "bayes": 0.01}}, **SEEDS))
    assert said.endswith("; no attributor does significantly better than guessing one level.")


def test_a_factor_has_its_p_value_and_the_part_that_is_only_the_instance(tmp_path: Path) -> None:
    gap = Interval(value=0.2, low=0.1, high=0.3, method="cross-fitted t", units="replicates", n_units=3)
    study = studied(permutation=permuted(0.01, 0.005), gaps=(Gap(attributor="bayes", gap=gap, p=0.99),))
    found = made(tmp_path, {UNSEEN: {"bayes": 0.4}, SEEN: {"bayes": 0.6, "ceiling": 0.9}}, study=study, **RATE)
    assert finding(found) == (
        "Peak learning rate: on models that no attributor saw, a text of up to 8 tokens names the right level of 4 "
        "with accuracy 0.55 (95% interval 0.54 to 0.56), where chance is 0.25 "
        "(permutation test, with naive Bayes on words: uncorrected p = 0.010, smallest possible 0.005); "
        "on models that it saw, bayes is 0.20 (0.10 to 0.30) more accurate, and this part is only the instance."
    )


def test_a_factor_that_was_not_found_names_what_would_have_been(tmp_path: Path) -> None:
    study = studied(permutation=permuted(0.6, 0.005), detectable=Detectable(factor=0.07))
    said = finding(made(tmp_path, {UNSEEN: {"bayes": 0.01}}, study=study, **RATE))
    assert said.startswith("Peak learning rate was not found: on models that no attributor saw")
    assert "; an identifiability of 0.07 would have been found with power 0.8" in said


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (studied(permutation=permuted(0.5, 1 / 6)), "not testable at this preset: with 2 runs per level, p cannot be "),
        (studied(failed={"permutation": "no memory"}), "no p-value: the permutation test failed, no memory"),
        (None, "no p-value: there was no permutation test"),
    ],
)
def test_without_a_p_value_the_sentence_says_why(tmp_path: Path, study: Any, reason: str) -> None:
    found = made(tmp_path, {UNSEEN: {"bayes": 0.4}}, study=study, variants=runs(2), **RATE)
    assert reason in finding(found)
    assert "was not found" not in finding(found)


def test_too_few_replicates_have_no_interval_and_the_sentence_says_so(tmp_path: Path) -> None:
    found = made(tmp_path, {UNSEEN: {"bayes": 0.4}}, **RATE)
    two = Interval(value=0.4, low=None, high=None, method="none", units="replicates", n_units=2)
    scores = tuple(
        one.model_copy(update={"metrics": {**one.metrics, "identifiability": two, "accuracy": two}})
        for one in found.scores
    )
    assert "with accuracy 0.55 (2 replicates: no interval)" in finding(found.model_copy(update={"scores": scores}))


def test_a_factor_with_one_run_per_level_may_be_the_single_models(tmp_path: Path) -> None:
    said = finding(made(tmp_path, {PROMPT: {"bayes": 0.4}}, **RATE))
    assert "; attributors saw these very models, so it may be the single models and not the factor" in said


def test_ways_to_serve_one_model_accuse_nobody(tmp_path: Path) -> None:
    served = {"factor__name": "way of serving", "factor__fields": ("serve.dtype", "serve.batch")}
    here = made(tmp_path, {PROMPT: {"bayes": 0.4}}, **served)
    unseen = made(tmp_path, {UNSEEN: {"bayes": 0.4}}, study=studied(permutation=permuted(0.01, 0.005)), **served)
    for said in map(finding, (here, unseen)):
        assert "; all levels have the same weights, so a difference is due to how they were served, and is no " in said
        assert "may be the single models" not in said


def test_a_negative_control_says_that_nothing_should_be_found_and_whether_it_was(tmp_path: Path) -> None:
    passed = made(tmp_path, {PROMPT: {"bayes": 0.0, "trees": -0.02}}, **CONTROL)
    assert finding(passed) == (
        "Negative control (rerun): nothing should be found, and nothing was: the highest accuracy is 0.25 "
        "(3 replicates: no interval), where chance is 0.25."
    )
    check = Check(name="bayes is at chance (level)", ok=False, detail="accuracy 0.4")
    failed = passed.model_copy(update={"checks": (check,)})
    assert "nothing should be found, but a check failed, bayes is at chance (level) (accuracy 0.4)" in finding(failed)


def test_a_negative_control_with_a_small_p_is_not_said_to_be_clean(tmp_path: Path) -> None:
    by_chance = "and the p-value is small, as that of one control in twenty is by chance"
    for p, outcome in ((0.03, by_chance), (0.4, "and nothing was")):
        of = made(tmp_path, {UNSEEN: {"bayes": 0.01}}, study=studied(permutation=permuted(p, 0.005)), **CONTROL)
        assert f"nothing should be found on models that no attributor saw, {outcome}: the highest" in finding(of)


def test_given_texts_are_never_said_to_come_from_training(tmp_path: Path) -> None:
    variants = tuple(one.model_copy(update={"source": "texts"}) for one in runs(1))
    given = {"corpus__name": "texts:mine.jsonl", "factor__name": "author", "samples__max_tokens": None}
    found = made(tmp_path, {PROMPT: {"bayes": 0.4}}, variants=variants, **given)
    assert finding(found) == (
        "mine.jsonl: a text names its author, of 4, with accuracy 0.55 (95% interval 0.54 to 0.56), where chance is "
        "0.25."
    )
    assert scope(found) == "4 labels, 500 texts of each; your texts: no model was trained; preset quick"


def test_a_result_without_scores_says_why(tmp_path: Path) -> None:
    said = finding(made(tmp_path, {PROMPT: {"bayes": None}}, **RATE))
    assert said == "Peak learning rate: nothing was measured: bayes failed: fit raised."


def test_the_scope_names_models_size_data_and_runs(tmp_path: Path) -> None:
    trained = {"parameters": 139_584, "tokens_trained": 2_048_000}
    found = made(tmp_path, {UNSEEN: {"bayes": 0.4}}, variants=runs(3, **trained), **RATE)
    assert scope(found) == (
        "12 models of 139,584 parameters, each after 2.0 M tokens of chronicle (synthetic stories); 3 runs per level; "
        "500 texts per run; preset quick"
    )
    of_two_sizes = runs(1, parameters=1_000) + tuple(
        one.model_copy(update={"name": f"{one.name}1", "parameters": 2_000, "key": "x"}) for one in runs(1)
    )
    assert "of 1,000 to 2,000 parameters" in scope(found.model_copy(update={"variants": of_two_sizes}))


def test_the_scope_says_what_was_changed_and_that_smoke_means_nothing(tmp_path: Path) -> None:
    found = made(tmp_path, {PROMPT: {"bayes": 0.4}}, preset="smoke", overrides={"optimizer.lr": 0.1}, seed=3, **SEEDS)
    said = "preset smoke, which is too small to mean anything; optimizer.lr=0.1; seed 3"
    assert scope(found) == f"{len(VARIANTS)} models; 1 run per level; 500 texts per run; {said}"


def test_text_files_are_named_without_their_folders() -> None:
    assert short_corpus("text:/home/me/a.txt,b/c.jsonl") == "text:a.txt,c.jsonl"
    assert short_corpus("hf:some/set/config@v1") == "hf:some/set/config@v1"
    assert short_corpus("chronicle") == "chronicle"
