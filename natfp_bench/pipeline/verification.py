"""Verification of descent in a run: what the reference attributor and the likelihoods say of pairs."""

from __future__ import annotations

import numpy as np

from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.statistics import ceiling
from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.verification import SIZES, Verification, verified

from .evidence import Evidence
from .scoring import REFERENCE, View
from .stages.verification import FoldAnswers, VerificationStudy


def verification(evidence: Evidence) -> Verification | None:
    """Judge every pair of an ancestor and a held-out descendant, and of an ancestor and a stranger.

    None if the levels of the task are no ancestors, or if the study of it failed.
    """
    study = evidence.studies.get("verification")
    if not isinstance(study, VerificationStudy):
        return None
    read = {evidence.plan.analysis.reference: study.read_answers(evidence.store)}
    if evidence.text_scores:
        read[REFERENCE.name] = _by_likelihood(evidence, study)
    fewest = min(int(np.unique(fold.model, return_counts=True)[1].min()) for found in read.values() for fold in found)
    return Verification(
        ancestors=len(set(evidence.levels)),
        descendants=len(evidence.kept),
        strangers=len(evidence.unrelated),
        found=tuple(verified(who, found, size) for who, found in read.items() for size in SIZES if size <= fewest),
    )


def _by_likelihood(evidence: Evidence, study: VerificationStudy) -> list[FoldAnswers]:
    """Answers of the likelihoods of the variants that each fold learns from."""
    view = View(evidence, "level", UNSEEN_REPLICATE)
    own = evidence.log_likelihood()
    beyond = [evidence.stranger_scores[name].read(evidence.store) for name in evidence.names if study.strangers]
    other = np.column_stack([one.astype(np.float64).sum(axis=1) for one in beyond]) if beyond else own[:0]
    counts = [int(part.test.sum()) for part in study.read_strangers(evidence.store)]
    variants = len(evidence.kept)
    strange = np.repeat(np.arange(variants, variants + len(counts)), counts)
    found = []
    for fold in view.folds:
        mine = view.rows(fold)
        model = np.concatenate([evidence.texts.source[mine], strange])
        known: Floats = np.concatenate([own[mine], other])[:, fold.known]
        # If no known variant can write a text, all ancestors are equally likely.
        known[np.isneginf(known).all(axis=1)] = 0.0
        proba = ceiling.posterior(known, view.class_of[fold.known])
        found.append(FoldAnswers(proba, model, study.truth[model]))
    return found
