"""Verification of descent in a run: descendants of known ancestors, and strangers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench import BRIEF, gathered

from natfp_bench.pipeline.run import resolve_strangers
from natfp_bench.pipeline.sources.train import trained_for
from natfp_bench.pipeline.stages.verification import VerificationStudy
from natfp_bench.plan import split
from natfp_bench.report.verification_words import verification_sentence, verification_table
from natfp_bench.statistics.verification import Bundles

if TYPE_CHECKING:
    from bench import Bench

Made = tuple[Any, Any, Path]

FEW = BRIEF | {"replicates": "2", "analysis.strangers": "3", "analysis.permutations": "9"}


@pytest.fixture(scope="module")
def made(bench: Bench) -> Made:
    """Evidence, result and folder of a run of base_id with three strangers."""
    return gathered(bench, "base_id", overrides=FEW, baselines="naive_bayes")


@pytest.mark.slow
def test_pairs_are_judged_by_the_reference_and_by_the_likelihoods(made: Made) -> None:
    evidence, result, _ = made
    found = result.study.verification
    assert (found.ancestors, found.descendants, found.strangers) == (4, 8, 3)
    assert [(one.attributor, one.size) for one in found.found] == [
        (who, size) for who in ("naive_bayes", "likelihood_reference") for size in (1, 10)
    ]
    assert result.failures == []
    for one in found.found:
        assert one.others.models == 8
        assert one.strangers.models == 3
        assert 0 <= one.strangers.auroc.value <= 1
        assert one.recognised is None, "three strangers give no small p"
    assert len(evidence.unrelated) == 3


@pytest.mark.slow
def test_held_out_answers_are_those_of_the_scores(made: Made) -> None:
    """The same fits, asked about the same texts: so AUROC and accuracy are about one thing."""
    evidence, _, _ = made
    study = evidence.studies["verification"]
    assert isinstance(study, VerificationStudy)
    for fold, read in zip(
        split.folds(split.UNSEEN_REPLICATE, evidence.replicates), study.read_answers(evidence.store), strict=True
    ):
        mine = np.flatnonzero(fold.tested[evidence.texts.source])
        own = read.truth >= 0
        assert read.proba[own] == pytest.approx(evidence.proba("naive_bayes", "level", fold.number)[mine])
        assert (read.model[own] == evidence.texts.source[mine]).all()
        assert np.unique(read.model[~own]).tolist() == [8, 9, 10]
        assert set(np.unique(read.model, return_counts=True)[1]) == {25}, "as many texts of each model"


@pytest.mark.slow
def test_likelihoods_find_their_own_descendants(made: Made) -> None:
    evidence, result, _ = made
    single, ten = (one for one in result.study.verification.found if one.attributor == "likelihood_reference")
    assert ten.others.auroc.value > single.others.auroc.value > 0.5
    # The likelihoods of strangers' texts are those of the texts that attributors read.
    assert set(evidence.stranger_scores) == set(evidence.names)
    shape = evidence.stranger_scores[evidence.names[0]].read(evidence.store).shape
    assert shape[0] == 3 * 25


@pytest.mark.slow
def test_strangers_share_no_training_with_the_variants(made: Made) -> None:
    evidence, _, _ = made
    known = {model.key for of in evidence.kept for model in trained_for(of.model)}
    strange = {model.key for of in evidence.unrelated for model in trained_for(of.model)}
    assert len(strange) == 6, "a base and a fine-tuning of each"
    assert known.isdisjoint(strange)
    weights = {evidence.metas[of.model].weights for of in [*evidence.kept, *evidence.unrelated]}
    assert len(weights) == 11


@pytest.mark.slow
def test_what_is_shown(made: Made) -> None:
    _, result, _ = made
    table = verification_table(result.study)
    assert table
    assert table.columns == ["attributor", "texts", "against", "AUROC"]
    assert len(table.rows) == 8
    said = verification_sentence(result.study.verification)
    assert "8 descendants of 4 ancestors" in said
    assert "3 models of the same making" in said
    assert "of 5% takes 19 and of 1% takes 99" in said
    assert "analysis.strangers" not in said


@pytest.mark.slow
def test_without_strangers_a_run_verifies_against_other_descendants(bench: Bench) -> None:
    result, folder = bench.run("base_id", overrides=BRIEF | {"replicates": "2"}, baselines="naive_bayes")
    found = result.study.verification
    assert found.strangers == 0
    assert all(one.strangers is None for one in found.found)
    assert "--set analysis.strangers=19" in verification_sentence(found)
    assert (folder / "result.json").is_file()
    other, _ = bench.run("null_id", overrides=BRIEF, baselines="majority")
    assert other.study.verification is None


def test_a_dry_run_counts_the_strangers(bench: Bench, tmp_path: Path) -> None:
    from natfp_bench.pipeline.overview import overview

    plain, more = (bench.plan("base_id", overrides=own) for own in (BRIEF | {"replicates": "2"}, FEW))
    assert overview(plain, tmp_path).models_to_train + 6 == overview(more, tmp_path).models_to_train
    assert len(resolve_strangers(more)) == 3


@pytest.mark.slow
def test_bundles_of_a_fold_have_one_writer(made: Made) -> None:
    evidence, _, _ = made
    for fold in evidence.studies["verification"].read_answers(evidence.store):
        cut = Bundles.of(*fold, 10)
        assert np.bincount(cut.model, minlength=11)[8:].tolist() == [2, 2, 2]
