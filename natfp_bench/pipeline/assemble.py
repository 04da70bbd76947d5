"""What the finished entries say, as a result: scores, likelihoods, studies of the factor, and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from natfp_bench.corpus import words
from natfp_bench.corpus.metas import TextsMeta
from natfp_bench.corpus.tokens import reader
from natfp_bench.models.metas import ModelMeta
from natfp_bench.plan import split
from natfp_bench.plan.plan import Target
from natfp_bench.statistics import ceiling, intervals, per_text, replication, token_evidence
from natfp_bench.statistics.curves import Curve, Permuted, Point, Robustness, Wording, crossing
from natfp_bench.statistics.intervals import Floats

from . import scoring
from .evidence import Evidence
from .result import (
    Check,
    CorpusResult,
    Detectable,
    FactorResult,
    FactorStudy,
    Gap,
    Length,
    LengthPoint,
    Likelihood,
    MeanKL,
    Predicted,
    Result,
    RunInfo,
    SampleResult,
    Score,
    TaskId,
    VariantResult,
)
from .scoring import PREDICTIONS, View
from .stages.variant import VariantStages

PERMANOVA_PERMUTATIONS = 999
"""No fit is needed for these, so there can be many."""


def left_out(variants: Sequence[VariantStages], kept: Sequence[VariantStages], diverged: set[str]) -> list[Check]:
    """Name the variants that share a replicate with a diverged one, and so its fate."""
    taking_part = {of.name for of in kept} | diverged
    names = [of.name for of in variants if of.name not in taking_part]
    detail = f"left out beside a diverged variant: {', '.join(names)}"
    return [Check(name="replicates are whole", ok=False, detail=detail)] if names else []


def result(evidence: Evidence, info: RunInfo) -> tuple[Result, pa.Table]:
    """Build the result, and the table of predictions (one row a test text, target, split and attributor)."""
    plan = evidence.plan
    scores: list[Score] = []
    likelihood: list[Likelihood] = []
    diverged = {of.name for of in evidence.variants if evidence.model_meta(of).status != "ok"}
    checks = [
        *_same_data(evidence),
        *_same_weights(evidence),
        *left_out(evidence.variants, evidence.kept, diverged),
    ]
    tables: list[pa.Table] = []
    mean_kl = factor = None
    if evidence.attributed:
        mean_kl = _mean_kl(evidence) if evidence.scores else None
        found_gaps: list[Gap] = []
        for target in plan.targets:
            extra = _likelihood(evidence, target) if evidence.scores else None
            if extra:
                likelihood.append(extra)
            if extra and extra.self_check:
                checks.append(_self_check(target, extra.self_check))
            given: dict[str, Any] = {}
            for name in evidence.splits(target):
                view = View(evidence, target, name)
                found, given[name] = scoring.score_view(view)
                scores += found
                tables.append(scoring.table(view, given[name]))
                checks += scoring.below_ceiling(view, given[name])
                if plan.task.control == "negative":
                    checks += scoring.at_chance(target, found, extra.mutual_information if extra else None)
            if split.UNSEEN_REPLICATE in given:
                found_gaps = scoring.gaps(given[split.UNSEEN_REPLICATE], given[split.SEEN_REPLICATE])
                checks += scoring.not_easier(found_gaps, plan.analysis.reference)
        factor = _factor(evidence, mean_kl, found_gaps)
        if plan.task.control == "positive":
            checks += _above_half(factor, scores)
    else:
        kept = sorted(set(evidence.levels))
        checks.append(Check(name="two levels", ok=False, detail=f"levels that did not diverge: {kept or 'none'}"))
    corpus = evidence.corpus_meta(evidence.variants[0])
    made = Result(
        schema=1,
        protocol_digest=evidence.protocol,
        overrides=plan.overrides,
        seed=plan.seed,
        fixed_texts=plan.fixed_texts,
        task=TaskId(
            name=plan.task.name,
            version=plan.task.version,
            digest=plan.task_digest,
            tags=plan.task.tags,
            control=plan.task.control,
        ),
        preset=plan.preset,
        factor=FactorResult(
            name=plan.task.factor.name, fields=plan.task.factor.fields, levels=tuple(plan.task.factor.levels)
        ),
        corpus=CorpusResult(
            name=plan.given.name if plan.given else plan.variants[0].settings.corpus.name,
            digest=corpus.digest,
            documents=corpus.documents,
            bytes=corpus.bytes,
            tokens=corpus.tokens,
            copies=corpus.copies if isinstance(corpus, TextsMeta) else 0,
        ),
        variants=tuple(_variant(of, evidence) for of in evidence.variants),
        samples=_samples(evidence) if evidence.attributed else None,
        scores=tuple(scores),
        likelihood=tuple(likelihood),
        mean_kl=mean_kl,
        study=factor,
        checks=tuple(checks),
        run=info,
    )
    return made, pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()


def _variant(of: VariantStages, evidence: Evidence) -> VariantResult:
    meta = evidence.model_meta(of)
    bits = excess = None
    if meta.status == "ok" and evidence.plan.source.has_likelihood:
        table = evidence.heldout(of)
        modelled, size = (table[name].to_numpy() for name in ("bits", "bytes"))
        seed = evidence.plan.seed
        bits = intervals.ratio_interval(modelled, size, seed, "documents")
        if not table["true_bits"].null_count:
            excess = intervals.ratio_interval(modelled - table["true_bits"].to_numpy(), size, seed, "documents")
    return VariantResult(
        name=of.name,
        level=of.variant.level,
        replicate=of.variant.replicate,
        source=evidence.plan.source.kind,
        key=of.model.key,
        settings=of.variant.settings.model_dump(mode="json"),
        heldout_bits_per_byte=bits,
        excess_bits_per_byte=excess,
        parity=dict(evidence.parity.get(of.name, {})),
        **{name: getattr(meta, name) for name in ModelMeta.model_fields},
    )


def _samples(evidence: Evidence) -> SampleResult:
    spec, totals = evidence.kept[0].variant.settings.sampling, evidence.samples
    given = evidence.plan.given is not None
    return SampleResult(
        per_variant=evidence.plan.texts,
        max_tokens=None if given else spec.max_tokens,
        prompted=not given and spec.prompt_characters > 0,
        mean_tokens=totals.tokens / totals.texts if evidence.plan.source.has_likelihood else None,
        ended=totals.ended / totals.texts,
        digest=totals.digest,
    )


def _mean_kl(evidence: Evidence) -> MeanKL:
    texts, shared = evidence.texts, evidence.plan.shared_tokenizer
    matrix = ceiling.mean_kl(evidence.log_likelihood(), texts.lengths if shared else texts.bytes, texts.source)
    return MeanKL(
        unit="token" if shared else "byte",
        variants=tuple(evidence.names),
        divergence=tuple(map(tuple, matrix)),
    )


def _likelihood(evidence: Evidence, target: Target) -> Likelihood:
    """What the likelihoods say of a target when every variant is known."""
    texts, plan = evidence.texts, evidence.plan
    view = View(evidence, target, split.UNSEEN_PROMPT)
    answers = scoring.likelihood_answers(view)
    at: list[int] = []
    if plan.shared_tokenizer:
        at = sorted({2**power for power in range(1, 12)} | {evidence.kept[0].variant.settings.sampling.max_tokens})
    predicted = ceiling.predicted_accuracy(evidence.log_likelihood(), texts.lengths, texts.source, view.class_of, at)
    return Likelihood(
        target=target,
        mutual_information=ceiling.mutual_information(answers.proba, answers.truth, answers.prompts, plan.seed),
        self_check=ceiling.self_check(answers.proba, answers.truth) if plan.shared_tokenizer else None,
        predicted_accuracy=tuple(Predicted(tokens=n, accuracy=a) for n, a in zip(at, predicted, strict=True)),
    )


def _factor(evidence: Evidence, mean_kl: MeanKL | None, gaps: Sequence[Gap]) -> FactorStudy:
    """Put together what is known of the factor beyond its scores."""
    plan = evidence.plan
    curves = evidence.studied("pooled", Curve)
    curves += evidence.studied("train_texts", Curve) + evidence.studied("classes", Curve)
    wording, permuted = evidence.studied("wording", Wording), evidence.studied("permutation", Permuted)
    whole = next((curve.points[0] for curve in curves if curve.name == "pooled"), None)
    return FactorStudy(
        reference=plan.analysis.reference,
        permutation=permuted[0] if permuted else None,
        permanova=_permanova(evidence, mean_kl) if mean_kl else None,
        gaps=tuple(gaps),
        parity=_parity(evidence) if evidence.scores else None,
        detectable=_detectable(evidence, whole),
        length=_length(evidence),
        curves=tuple(curves),
        robustness=tuple(evidence.studied("robustness", Robustness)),
        wording=wording[0] if wording else None,
        by_position=_by_position(evidence),
        by_type=_by_type(evidence),
        failed=dict(evidence.failed_studies),
    )


def _permanova(evidence: Evidence, mean_kl: MeanKL) -> replication.Permanova | None:
    if evidence.splits("level")[0] != split.UNSEEN_REPLICATE:
        return None
    divergence = np.array(
        [[np.nan if one.value is None else one.value for one in row] for row in mean_kl.divergence], dtype=np.float64
    )
    levels = np.unique(evidence.levels, return_inverse=True)[1].astype(np.int64)
    seed = evidence.plan.seed
    return replication.permanova(divergence, levels, evidence.replicates, PERMANOVA_PERMUTATIONS, seed)


def _parity(evidence: Evidence) -> replication.Equivalence | None:
    bits = np.stack([evidence.heldout(of)["bits"].to_numpy() for of in evidence.kept])
    return replication.equivalence(bits, evidence.names, evidence.plan.analysis.margin)


def _detectable(evidence: Evidence, whole: Point | None) -> Detectable:
    """Smallest effects that would have been found; `whole`: the reference attributor's accuracy on whole texts."""
    factor = None
    if whole and evidence.splits("level")[0] == split.UNSEEN_REPLICATE:
        chance = 1 / len(set(evidence.levels))
        factor = replication.detectable_factor(
            np.array([per_text.identifiability(accuracy, chance) for accuracy in whole.by_fold])
        )
    classes = len(evidence.kept) if "instance" in evidence.plan.targets else len(set(evidence.levels))
    return Detectable(instance=replication.detectable_instance(len(evidence.texts), 1 / classes), factor=factor)


def _length(evidence: Evidence) -> Length | None:
    if not (curves := evidence.studied("length", Curve)):
        return None
    (curve,) = curves
    at = [point.at for point in curve.points]
    limits: list[float | None] = [None] * len(at)
    predicted: list[float | None] = [None] * len(at)
    view = View(evidence, "level", split.UNSEEN_PROMPT)
    if view.bounded:
        truth = view.class_of[evidence.texts.source]
        limits = [_accuracy(ceiling.posterior(evidence.log_likelihood(n), view.class_of), truth) for n in at]
        texts = evidence.texts
        predicted = [
            *ceiling.predicted_accuracy(evidence.log_likelihood(), texts.lengths, texts.source, view.class_of, at)
        ]
    points = tuple(
        LengthPoint(at=point.at, accuracy=point.accuracy, ceiling=limit, predicted=expected)
        for point, limit, expected in zip(curve.points, limits, predicted, strict=True)
    )

    def reached(values: Sequence[float | None]) -> float | None:
        return crossing([(n, value) for n, value in zip(at, values, strict=True) if value is not None])

    return Length(
        unit=curve.unit,
        points=points,
        to_95=reached([point.accuracy.value for point in curve.points]),
        ceiling_to_95=reached(limits),
        predicted_to_95=reached(predicted),
    )


def _accuracy(proba: Floats, truth: intervals.Ints) -> float:
    return float(per_text.credits(proba, truth).mean())


def _by_position(evidence: Evidence) -> tuple[token_evidence.PositionRatio, ...]:
    """Bits of each position for the level, against models of the same replicate, that differ in nothing but the level.

    None where variants read texts as other tokens, or tokens are not known.
    """
    if not evidence.plan.shared_tokenizer or evidence.plan.fixed_texts or not evidence.scores:
        return ()
    texts, class_of = evidence.texts, View(evidence, "level", split.UNSEEN_PROMPT).class_of
    found = token_evidence.ratio_by_position(
        evidence.token_scores, texts.source, texts.lengths, class_of, evidence.replicates
    )
    return tuple(found)


def _by_type(evidence: Evidence) -> tuple[token_evidence.TypeRatio, ...]:
    """Bits of each type of token for the level; none as for positions."""
    if not evidence.plan.shared_tokenizer or evidence.plan.fixed_texts or not evidence.scores:
        return ()
    texts, class_of = evidence.texts, View(evidence, "level", split.UNSEEN_PROMPT).class_of
    entry = evidence.kept[0].model.entry(evidence.store)
    tokenizer, _, end = reader(entry.folder, entry.meta)
    known = sorted({token for row in texts.ids for token in row})
    pieces = dict(
        zip(known, tokenizer.decode_batch([[token] for token in known], skip_special_tokens=False), strict=True)
    )
    pieces[end] = ""
    types = [words.token_types([pieces[token] for token in row]) for row in texts.ids]
    found = token_evidence.ratio_by_type(
        evidence.token_scores, texts.source, texts.lengths, types, class_of, evidence.replicates
    )
    return tuple(found)


def _self_check(target: Target, found: ceiling.SelfCheck) -> Check:
    detail = f"{found.excess:+.2f} hits over what the posteriors promise, standard error {found.standard_error:.2f}"
    return Check(name=f"likelihood and sampler agree ({target})", ok=found.ok, detail=detail)


def _above_half(factor: FactorStudy, scores: Sequence[Score]) -> list[Check]:
    """Check a positive control: the reference attributor is more than half way from chance to certainty.

    Where the ceiling is not that high itself, the models have learnt too little for anybody to tell, and there is
    nothing to control.
    """
    limit = next(one for one in scores if one.attributor == scoring.CEILING and one.target == "level")
    bar, possible = (1 + limit.chance) / 2, limit.metrics["accuracy"].value
    for curve in factor.curves:
        if curve.name == "pooled":
            seen = curve.points[0].accuracy.value
            detail = f"accuracy {seen:.3f}, the ceiling {possible:.3f}, the bar {bar:.3f}"
            return [Check(name=f"{factor.reference} is above the bar", ok=seen > bar or possible <= bar, detail=detail)]
    return []


def _same_data(evidence: Evidence) -> list[Check]:
    """Check that all variants read exactly the same training data, unless that is what varies."""
    if not evidence.plan.source.trained:
        return []
    fields = evidence.plan.task.factor.fields
    finished = [evidence.model_meta(of) for of in evidence.variants]
    distinct = {meta.training_multiset for meta in finished if meta.status == "ok"}
    other = (
        "budget.tokens",
        "budget.epochs",
        "budget.stop",
        "model.context",
        "corpus.",
        "tokenizer.",
        "finetune.share",
    )
    free = any(path.startswith(other) for path in fields)
    detail = f"{len(distinct)} distinct digests of the training multiset" + (", which the factor is about" * free)
    return [Check(name="same training data", ok=free or len(distinct) <= 1, detail=detail)]


def _same_weights(evidence: Evidence) -> list[Check]:
    """Check that a rerun, where that is the factor, ended with the same weights."""
    if evidence.plan.task.factor.fields != ("rerun",):
        return []
    distinct = {evidence.model_meta(of).weights for of in evidence.variants}
    return [Check(name="reruns repeat exactly", ok=len(distinct) == 1, detail=f"{len(distinct)} distinct weights")]
