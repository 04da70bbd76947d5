"""What is known of the factor beyond the scores: tests over replicates, curves, robustness, and where bits sit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from natfp_bench.plan import split
from natfp_bench.statistics import ceiling, intervals, per_text, replication, token_evidence
from natfp_bench.statistics.curves import Curve, Permuted, crossing
from natfp_bench.statistics.dilution import Dilution
from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.reading import Reading

from .crossed_study import crossed, transposed
from .evidence import Evidence
from .result import Detectable, FactorStudy, Gap, Length, LengthPoint, MeanKL, share_weights
from .scoring import View
from .verification import verification

PERMANOVA_PERMUTATIONS = 999
"""No fit is needed for these, so there can be many."""


def factor_study(
    evidence: Evidence,
    mean_kl: MeanKL | None,
    gaps: Sequence[Gap],
    read: Sequence[Reading],
    mixed: Dilution | None = None,
) -> FactorStudy:
    """Collect everything about the factor beyond its scores."""
    curves = [curve for name in ("pooled", "train_texts", "classes") for curve in evidence.studied(name, Curve)]
    return FactorStudy(
        reference=evidence.plan.analysis.reference,
        permanova=_permanova(evidence, mean_kl) if mean_kl else None,
        gaps=tuple(gaps),
        equivalence=_equivalence(evidence) if evidence.text_scores else None,
        detectable=_detectable(evidence),
        length=_length(evidence),
        curves=tuple(curves),
        by_position=_by_position(evidence),
        by_type=_by_type(evidence),
        readings=tuple(read),
        crossed=crossed(evidence),
        transposed=transposed(evidence),
        verification=verification(evidence),
        dilution=mixed,
        failed=dict(evidence.failed_studies),
        **_plain(evidence),
    )


def _plain(evidence: Evidence) -> dict[str, Any]:
    """Findings of the studies that stand in the result as they are; some others get the likelihoods' beside them."""
    fields = FactorStudy.model_fields.keys() - {"length", "crossed", "transposed", "verification", "dilution"}
    return {name: study.finding(evidence.store) for name, study in evidence.studies.items() if name in fields}


def _permanova(evidence: Evidence, mean_kl: MeanKL) -> replication.Permanova | None:
    if evidence.splits("level")[0] != split.UNSEEN_REPLICATE:
        return None
    divergence = np.array(
        [[np.nan if one.value is None else one.value for one in row] for row in mean_kl.divergence], dtype=np.float64
    )
    levels = np.unique(evidence.levels, return_inverse=True)[1].astype(np.int64)
    seed = evidence.plan.seed
    return replication.permanova(divergence, levels, evidence.replicates, PERMANOVA_PERMUTATIONS, seed)


def _equivalence(evidence: Evidence) -> replication.Equivalence | None:
    if share_weights((of.variant.replicate, evidence.model_meta(of).weights) for of in evidence.kept):
        return None
    bits = np.stack([evidence.heldout(of)["bits"].to_numpy() for of in evidence.kept])
    return replication.equivalence(bits, evidence.levels, evidence.replicates, evidence.plan.analysis.margin)


def _detectable(evidence: Evidence) -> Detectable:
    """Smallest effects that would have been found."""
    k, factor = len(set(evidence.levels)), None
    for permuted in evidence.studied("permutation", Permuted):
        replicates = len(np.unique(evidence.replicates))
        factor = replication.detectable_factor(permuted.spread / (1 - 1 / k), k, replicates, permuted.test.permutations)
    classes = len(evidence.kept) if "instance" in evidence.plan.targets else k
    return Detectable(instance=replication.detectable_instance(len(evidence.texts), 1 / classes), factor=factor)


def _length(evidence: Evidence) -> Length | None:
    if not (curves := evidence.studied("length", Curve)):
        return None
    (curve,) = curves
    at = [point.at for point in curve.points]
    limits: list[float | None] = [None] * len(at)
    view = View(evidence, "level", split.UNSEEN_PROMPT)
    if view.bounded:
        truth = view.class_of[evidence.texts.source]
        limits = [_accuracy(ceiling.posterior(evidence.log_likelihood(n), view.class_of), truth) for n in at]
    points = tuple(
        LengthPoint(at=point.at, accuracy=point.accuracy, ceiling=limit)
        for point, limit in zip(curve.points, limits, strict=True)
    )

    def reached(values: Sequence[float | None]) -> float | None:
        return crossing([(n, value) for n, value in zip(at, values, strict=True) if value is not None])

    return Length(
        unit=curve.unit,
        points=points,
        to_95=reached([point.accuracy.value for point in curve.points]),
        ceiling_to_95=reached(limits),
    )


def _accuracy(proba: Floats, truth: intervals.Ints) -> float:
    return float(per_text.credits(proba, truth).mean())


def _by_position(evidence: Evidence) -> tuple[token_evidence.PositionRatio, ...]:
    """Bits of each position for the level, against models of the same replicate, that differ in nothing but the level.

    None where variants read texts as other tokens, or tokens are not known.
    """
    if not evidence.plan.shared_tokenizer or evidence.plan.fixed_texts or not evidence.text_scores:
        return ()
    texts, class_of = evidence.texts, View(evidence, "level", split.UNSEEN_PROMPT).class_of
    found = token_evidence.ratio_by_position(
        evidence.token_scores, texts.source, texts.lengths, class_of, evidence.replicates
    )
    return tuple(found)


def _by_type(evidence: Evidence) -> tuple[token_evidence.TypeRatio, ...]:
    """Bits of each type of token for the level; none as for positions."""
    if not evidence.plan.shared_tokenizer or evidence.plan.fixed_texts or not evidence.text_scores:
        return ()
    texts, class_of = evidence.texts, View(evidence, "level", split.UNSEEN_PROMPT).class_of
    found = token_evidence.ratio_by_type(
        evidence.token_scores, texts.source, texts.lengths, evidence.token_types, class_of, evidence.replicates
    )
    return tuple(found)
