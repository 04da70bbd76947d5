"""What each attributor reads of the evidence in the test texts of a view, beside the likelihoods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from natfp_bench.plan import split
from natfp_bench.statistics import reading
from natfp_bench.statistics.reading import Reading

from .scoring import CEILING, Answers, View


def readings(view: View, given: Mapping[str, Answers]) -> tuple[Reading, ...]:
    """What each attributor reads: of texts of known models, one in each class, whose tokens and likelihoods are known.

    Empty for any other view. given: by name, from `scoring.score_view`.
    """
    evidence, class_of = view.evidence, view.class_of
    alone = len(set(class_of.tolist())) == len(class_of)
    if not (alone and evidence.text_scores and view.bounded and view.split == split.UNSEEN_PROMPT):
        return ()
    if evidence.plan.fixed_texts:
        return ()
    texts = evidence.texts
    scores = [evidence.token_scores[variant] for variant in np.argsort(class_of)]
    width = scores[0].shape[1]
    divisions = (reading.by_type(evidence.token_types, width), reading.by_position(len(texts), width))
    divided = [(parts.names, reading.evidence(scores, texts.lengths, parts)) for parts in divisions]
    found = [
        reading.read(name, one.proba, one.truth, one.prompts, divided, evidence.plan.seed)
        for name, one in given.items()
        if name != CEILING.name
    ]
    return tuple(one for one in found if one)
