"""A crossing of seeds: the parts of the differences between models, and the likelihoods beside each seed's guess."""

from __future__ import annotations

import numpy as np

from natfp_bench.plan.split import UNSEEN_REPLICATE, folds
from natfp_bench.statistics import ceiling, per_text
from natfp_bench.statistics import crossed as statistics
from natfp_bench.statistics.curves import Side
from natfp_bench.statistics.intervals import Interval, Ints, fold_interval

from .evidence import Evidence
from .result import Crossed, CrossedSide


def crossed(evidence: Evidence) -> Crossed | None:
    """Collect what is known of a crossing; None if the task is none, or if models of it diverged."""
    factor = evidence.plan.task.factor
    if not factor.crossed or len(evidence.kept) < len(evidence.variants):
        return None
    at = [factor.values(level) for level in evidence.levels]
    cells = np.array([[int(values[path]) for path in factor.crossed] for values in at], dtype=np.int64)
    seeds = tuple(factor.crossed)
    texts = evidence.texts
    scored = bool(evidence.text_scores) and evidence.plan.shared_tokenizer
    sides = tuple(
        CrossedSide(**dict(side), likelihood=_likelihood(evidence, cells, seeds.index(side.seed)) if scored else None)
        for side in evidence.studied("crossed", Side)
    )
    parts = (
        statistics.variance(evidence.token_scores, texts.source, texts.lengths, evidence.token_types, cells, seeds)
        if scored
        else None
    )
    return Crossed(seeds=seeds, variance=parts, sides=sides)


def transposed(evidence: Evidence) -> CrossedSide | None:
    """Which replicate wrote the text, at levels that no fit has met; None if the plan does not ask."""
    for side in evidence.studied("transposed", Side):
        levels = np.unique(evidence.levels, return_inverse=True)[1]
        cells = np.column_stack([levels, evidence.replicates]).astype(np.int64)
        scored = bool(evidence.text_scores) and evidence.plan.shared_tokenizer
        likelihood = _likelihood(evidence, cells, 1).model_copy(update={"units": "levels"}) if scored else None
        return CrossedSide(**dict(side), likelihood=likelihood)
    return None


def _likelihood(evidence: Evidence, cells: Ints, seed: int) -> Interval:
    """Accuracy of guessing a seed by the likelihoods of the models that share no other seed with the writer's block."""
    values = np.unique(cells[:, seed], return_inverse=True)[1].astype(np.int64)
    block, source = statistics.held_fixed(cells, seed), evidence.texts.source
    log_likelihood, found = evidence.log_likelihood(), []
    for fold in folds(UNSEEN_REPLICATE, block[block >= 0]):
        known = np.flatnonzero(block >= 0)[fold.known]
        rows = np.flatnonzero(block[source] == fold.number)
        scores = log_likelihood[rows][:, known]
        # If no known model can write a text, all values are equally likely.
        scores[np.isneginf(scores).all(axis=1)] = 0.0
        found.append(float(per_text.credits(ceiling.posterior(scores, values[known]), values[source[rows]]).mean()))
    return fold_interval(found).model_copy(update={"units": statistics.UNITS})
