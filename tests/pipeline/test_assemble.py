"""What a result says of its evidence: figures by hand, and checks that fail where they should."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import task_file

from natfp_bench.attributors import registry
from natfp_bench.pipeline import assemble, wanted
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.readings import readings
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.scoring import View, likelihood_answers
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import ceiling, per_text, replication


def with_other_data(evidence: Evidence, fields: tuple[str, ...]) -> Evidence:
    """The same evidence, but the last variant read other data, and the task is of these fields."""
    last = evidence.variants[-1].model
    other = evidence.metas[last].model_copy(update={"training_multiset": "other"})
    metas = {**evidence.metas, last: other}
    factor = evidence.plan.task.factor.model_copy(update={"fields": fields})
    task = evidence.plan.task.model_copy(update={"factor": factor})
    return replace(evidence, metas=metas, plan=evidence.plan.model_copy(update={"task": task}))


@pytest.mark.parametrize(
    ("fields", "ok"),
    [
        (("optimizer.lr",), False),
        (("budget.batch",), False),
        (("seeds.data_order",), False),
        (("finetune.seed",), False),
        (("model.width",), False),
        (("budget.tokens",), True),
        (("budget.epochs",), True),
        (("budget.stop",), True),
        (("finetune.share",), True),
        (("corpus.topics",), True),
        (("tokenizer.vocabulary",), True),
        (("model.context",), True),
    ],
)
def test_other_data_fail_the_check_unless_they_are_the_factor(
    evidence: Evidence, fields: tuple[str, ...], ok: bool
) -> None:
    (check,) = assemble._same_data(with_other_data(evidence, fields))
    assert check.ok == ok
    said = "2 distinct digests of the training multiset"
    assert check.detail == (f"{said}, which the factor is about" if ok else said)


def studied(evidence: Evidence) -> set[str]:
    return set(wanted.studies(evidence, registry.find("naive_bayes")[0]))


def test_which_studies_there_are(evidence: Evidence) -> None:
    everything = {"permutation", "robustness", "length", "train_texts", "wording", "pooled", "classes"}
    assert studied(evidence) == everything
    two = replace(evidence, kept=[of for of in evidence.kept if of.variant.replicate < 2][:5])
    assert studied(two) == everything - {"classes"}, "five instances make no curve"
    one = replace(evidence, kept=evidence.kept[:3])
    assert studied(one) == everything - {"classes", "permutation"}, "no labels to exchange"


def test_the_ceiling_at_a_length_is_that_of_the_beginnings(evidence: Evidence, result: Result) -> None:
    levels = sorted(set(evidence.levels))
    class_of = np.array([levels.index(level) for level in evidence.levels])
    truth = class_of[evidence.texts.source]
    for point in result.study.length.points:
        posterior = ceiling.posterior(evidence.log_likelihood(point.at), class_of)
        assert point.ceiling == pytest.approx(per_text.credits(posterior, truth).mean())
        assert point.accuracy.value < point.ceiling
    heights = [point.ceiling for point in result.study.length.points]
    assert heights == sorted(heights)
    assert (result.study.length.ceiling_to_95 is None) == (heights[-1] < 0.95)


def test_a_tenth_of_the_likelihoods_is_read_as_a_tenth_everywhere(evidence: Evidence, result: Result) -> None:
    view = View(evidence, "instance", UNSEEN_PROMPT)
    tenth = ceiling.posterior(evidence.log_likelihood() / 10, view.class_of)
    (whole,) = readings(view, {"insider": replace(likelihood_answers(view), proba=tenth)})
    for one in (whole.whole, *whole.by_type, *whole.by_position):
        assert one.share.value == pytest.approx(0.1, rel=1e-6)
    found = {one.attributor: one for one in result.study.readings}
    assert set(found) == {baseline.name for baseline in evidence.baselines}, "the ceiling is what they are measured by"
    assert found["naive_bayes"].whole.share.low > 0
    assert found["naive_bayes"].whole.share.high < 1
    assert found["naive_bayes"].texts_to_99 is None
    assert found["naive_bayes"].most_texts == 1
    assert readings(View(evidence, "level", UNSEEN_REPLICATE), {}) == ()
    assert readings(View(evidence, "level", SEEN_REPLICATE), {}) == ()


def test_bits_by_position_and_type_add_up_to_one_whole(evidence: Evidence, result: Result) -> None:
    texts, levels = evidence.texts, np.array(evidence.levels)
    runs = [of.variant.replicate for of in evidence.kept]
    found = evidence.log_likelihood()
    rivals = [
        np.mean([found[i, own] - found[i, v] for v in range(9) if levels[v] != levels[own] and runs[v] == runs[own]])
        for i, own in enumerate(texts.source)
    ]
    whole = sum(rivals) / np.log(2)
    assert sum(row.bits * row.texts for row in result.study.by_position) == pytest.approx(whole, rel=1e-6)
    assert sum(row.bits * row.tokens for row in result.study.by_type if row.bits is not None) == pytest.approx(
        whole, rel=1e-6
    )
    assert sum(row.tokens for row in result.study.by_type) == texts.lengths.sum()
    ends = next(row for row in result.study.by_type if row.type == "end")
    assert ends.tokens == sum(ids[-1] == 0 for ids in texts.ids), "the end token is a tokenizer's first"


def test_what_could_have_been_found(evidence: Evidence, result: Result) -> None:
    assert result.study.detectable.instance == replication.detectable_instance(225, 1 / 9)
    spread = result.study.permutation.spread / (2 / 3)
    assert result.study.detectable.factor == pytest.approx(replication.detectable_factor(spread, 3, 3, 35))


def test_models_of_unlike_rates_are_not_equally_good(result: Result) -> None:
    found = result.study.equivalence
    assert (found.answer != "equally good", found.units, found.margin) == (True, "replicates", 0.01)
    bits: dict[str, list[float]] = {}
    for variant in result.variants:
        bits.setdefault(variant.level, []).append(math.log(variant.heldout_bits_per_byte.value))
    worse, better = found.worst_pair
    assert found.worst_ratio == pytest.approx(math.exp(np.mean(bits[worse]) - np.mean(bits[better])))
    assert worse == "low"


def test_a_factor_that_shapes_the_blocks_prepares_several_corpora(bench: Any, tmp_path: Path) -> None:
    text = "factor:\n  name: context\n  fields: [model.context]\n  levels: {short: 32, long: 48}\n"
    plan = bench.plan("context", include=[task_file(tmp_path / "tasks", "context", text)])
    variants = resolve(plan)
    corpora = {of.corpus for of in variants}
    labels = {one.label for one in wanted.texts(plan, variants) if one.stage in corpora}
    assert (len(corpora), len(labels)) == (2, 2)
