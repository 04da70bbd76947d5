"""Shares of mixed texts in a run, on the models of seed_id: nothing is made for it that a run has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench import gathered

from natfp_bench.pipeline.dilution import _common, _pairs
from natfp_bench.pipeline.scoring import View
from natfp_bench.plan.split import UNSEEN_PROMPT

if TYPE_CHECKING:
    from bench import Bench


@pytest.fixture(scope="module")
def made(bench: Bench, seed_run: Any) -> tuple[Any, Any]:
    """Evidence and result of the task on shares, after a run of seed_id."""
    return gathered(bench, "dilution_id", baselines="unigram,naive_bayes")[:2]


def test_attributors_and_likelihoods_estimate_shares_of_all_pairs(bench: Bench, made: tuple[Any, Any]) -> None:
    evidence, result = made
    assert not {name.split()[0] for name in bench.started()} & {"train", "sample", "score"}
    found = result.study.dilution
    half = 200 // evidence.plan.split.test_every // 2
    assert (found.pairs, found.calibration) == (12, half)
    assert [(one.attributor, one.texts) for one in found.found] == [
        (name, half) for name in ("unigram", "naive_bayes", "ceiling")
    ]
    for one in found.found:
        assert [at.share for at in one.at] == [0, 0.02, 0.05, 0.1, 0.25, 0.5, 1]
        assert all(at.coverage > 0.85 for at in one.at)
        assert all(at.low <= at.estimate <= at.high for at in one.at)
    best = found.found[-1]
    assert abs(best.at[5].bias) < 0.1
    assert best.at[5].spread < min(one.at[5].spread for one in found.found[:-1])
    assert result.failures == []


def test_nothing_is_mixed_unless_it_is_asked_for(seed_run: Any) -> None:
    assert seed_run[0].study.dilution is None


def test_texts_of_a_pair_are_by_its_models_and_share_their_prompts(made: tuple[Any, Any]) -> None:
    evidence, _ = made
    texts = evidence.texts
    by_a, by_b = _common(View(evidence, "level", UNSEEN_PROMPT), 2, 1)
    assert set(texts.source[by_a]) == {2}
    assert set(texts.source[by_b]) == {1}
    assert (texts.prompts[by_a] == texts.prompts[by_b]).all()
    assert len(set(texts.prompts[by_a].tolist())) == len(by_a)


def test_pairs_are_within_replicates_and_neighbours_come_first() -> None:
    assert _pairs(np.array([0, 0, 0])) == [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)]
    assert _pairs(np.array([0, 1, 0, 1])) == [(0, 2), (2, 0), (1, 3), (3, 1)]
    assert len(_pairs(np.zeros(40, dtype=np.int64))) == 240
