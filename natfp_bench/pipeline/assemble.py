"""From evidence to a result: scores, likelihoods, what is known of the factor, and the checks that must hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from natfp_bench.corpus.metas import TextsMeta
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models.metas import ModelMeta
from natfp_bench.plan import split
from natfp_bench.plan.plan import Plan, Target
from natfp_bench.statistics import ceiling, intervals
from natfp_bench.statistics.dilution import Dilution
from natfp_bench.statistics.reading import Reading

from . import score_checks, scoring
from .dilution import dilution
from .evidence import Evidence
from .factor_study import factor_study
from .prediction_columns import PREDICTIONS
from .readings import readings
from .result import (
    Check,
    CorpusResult,
    FactorResult,
    FactorStudy,
    Gap,
    Likelihood,
    MeanKL,
    Result,
    RunInfo,
    SampleResult,
    Score,
    TaskId,
    VariantResult,
)
from .scoring import View
from .sources.train import parents
from .stages.trained import TrainedModel
from .stages.variant import VariantStages


def left_out(variants: Sequence[VariantStages], kept: Sequence[VariantStages], diverged: set[str]) -> list[Check]:
    """Name the variants that are left out because another variant of their replicate diverged."""
    taking_part = {of.name for of in kept} | diverged
    names = [of.name for of in variants if of.name not in taking_part]
    detail = f"left out beside a diverged variant: {', '.join(names)}"
    return [Check(name="replicates are whole", ok=False, detail=detail)] if names else []


def result(evidence: Evidence, info: RunInfo) -> tuple[Result, pa.Table]:
    """Build the result, and the table of predictions: one row per test text, target, split and attributor."""
    plan = evidence.plan
    scores: list[Score] = []
    likelihood: list[Likelihood] = []
    diverged = {of.name for of in evidence.variants if evidence.model_meta(of).status != "ok"}
    variants = tuple(_variant(of, evidence) for of in evidence.variants)
    checks = [
        *_same_data(evidence),
        *_same_weights(evidence),
        *_one_run(evidence),
        *left_out(evidence.variants, evidence.kept, diverged),
        *_whole_crossing(evidence),
        *score_checks.above_entropy(variants),
    ]
    tables: list[pa.Table] = []
    mean_kl = factor = None
    if evidence.attributed:
        mean_kl = _mean_kl(evidence) if evidence.text_scores else None
        found_gaps: list[Gap] = []
        read: tuple[Reading, ...] = ()
        mixed: Dilution | None = None
        for target in plan.targets:
            extra = _likelihood(evidence, target) if evidence.text_scores else None
            if extra:
                likelihood.append(extra)
            if extra and extra.self_check:
                checks.append(_self_check(target, extra.self_check))
            given: dict[str, Any] = {}
            for name in evidence.splits(target):
                view = View(evidence, target, name)
                found, given[name] = scoring.score_view(view)
                scores += found
                read = read or readings(view, given[name])
                mixed = mixed or dilution(view, given[name])
                tables.append(scoring.table(view, given[name]))
                checks += score_checks.below_ceiling(view, given[name])
                if plan.task.control == "negative" and not plan.task.factor.own_seeds:
                    checks += score_checks.at_chance(target, found, extra.mutual_information if extra else None)
            if split.UNSEEN_REPLICATE in given:
                found_gaps = score_checks.gaps(given[split.UNSEEN_REPLICATE], given[split.SEEN_REPLICATE])
                checks += score_checks.not_easier(found_gaps, plan.analysis.reference)
        factor = factor_study(evidence, mean_kl, found_gaps, read, mixed)
        if plan.task.control == "positive":
            checks += _above_half(factor, scores)
        if plan.task.factor.own_seeds:
            checks += score_checks.means_nothing(factor, scores)
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
        task=task_id(plan),
        preset=plan.preset,
        factor=factor_result(plan),
        corpus=CorpusResult(
            name=plan.given.name if plan.given else plan.variants[0].settings.corpus.name,
            digest=corpus.digest,
            documents=corpus.documents,
            bytes=corpus.bytes,
            tokens=corpus.tokens,
            copies=corpus.copies if isinstance(corpus, TextsMeta) else 0,
            empty=corpus.empty if isinstance(corpus, TextsMeta) else 0,
            **({} if plan.given else dict(open_corpus(plan.variants[0].settings.corpus.whole).origin())),
        ),
        variants=variants,
        samples=_samples(evidence) if evidence.attributed else None,
        scores=tuple(scores),
        likelihood=tuple(likelihood),
        mean_kl=mean_kl,
        study=factor,
        checks=tuple(checks),
        run=info,
    )
    return _in_units(made, plan.units), pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()


def task_id(plan: Plan) -> TaskId:
    """Which version of which task a plan is of."""
    task = plan.task
    return TaskId(name=task.name, version=task.version, digest=plan.task_digest, tags=task.tags, control=task.control)


def factor_result(plan: Plan) -> FactorResult:
    """What varies in a plan."""
    factor = plan.task.factor
    return FactorResult(name=factor.name, fields=factor.fields, levels=tuple(factor.levels))


def _in_units(made: Result, units: str) -> Result:
    """Name what intervals were resampled by, which the statistics call prompts."""
    # A quotation mark inside a string is escaped, so that this is found in intervals alone.
    return Result.model_validate_json(made.to_json().replace('"units": "prompts"', f'"units": "{units}"'))


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
    plan = evidence.plan
    view = View(evidence, target, split.UNSEEN_PROMPT)
    answers = scoring.likelihood_answers(view)
    return Likelihood(
        target=target,
        mutual_information=ceiling.mutual_information(answers.proba, answers.truth, answers.prompts, plan.seed),
        self_check=ceiling.self_check(answers.proba, answers.truth) if plan.shared_tokenizer else None,
    )


def _self_check(target: Target, found: ceiling.SelfCheck) -> Check:
    detail = f"{found.excess:+.2f} hits over what the posteriors promise, standard error {found.standard_error:.2f}"
    return Check(name=f"likelihood and sampler agree ({target})", ok=found.ok, detail=detail)


def _above_half(factor: FactorStudy, scores: Sequence[Score]) -> list[Check]:
    """Check a positive control: the reference attributor is more than half way from chance to certainty.

    If the ceiling itself is below that bar, the models have learnt too little to be identified, and the control
    says nothing.
    """
    limit = next(one for one in scores if one.attributor == scoring.CEILING and one.target == "level")
    bar, possible = (1 + limit.chance) / 2, limit.metrics["accuracy"].value
    for curve in factor.curves:
        if curve.name == "pooled":
            seen = curve.points[0].accuracy.value
            detail = f"accuracy {seen:.3f}, the ceiling {possible:.3f}, the bar {bar:.3f}"
            return [Check(name=f"{factor.reference} is above the bar", ok=seen > bar or possible <= bar, detail=detail)]
    return []


DATA = (
    *("budget.tokens", "budget.epochs", "budget.stop", "model.context", "corpus.", "tokenizer.", "tuning.part"),
    *("finetune.share", "finetune.part", "finetune.topics", "finetune.file", "teacher.run"),
)
"""Settings that decide what is read, and not only in which order."""


def _same_data(evidence: Evidence) -> list[Check]:
    """Check that variants read exactly the same training data, unless that is what varies.

    If replicates are meant to differ in their data, it is checked within each.
    """
    if not evidence.plan.source.trained:
        return []
    task = evidence.plan.task
    free = any(path.startswith(DATA) for path in task.factor.fields)
    apart = any(path.startswith(DATA) for path in task.nuisance)
    digests: dict[int, set[str | None]] = {}
    for of in evidence.variants:
        meta = evidence.model_meta(of)
        if meta.status == "ok":
            digests.setdefault(of.variant.replicate if apart else 0, set()).add(meta.training_multiset)
    most = max(map(len, digests.values()), default=0)
    detail = f"{most} distinct digests of the training multiset" + (" in each replicate" * apart)
    detail += ", which the factor is about" * free
    return [Check(name="same training data", ok=free or most <= 1, detail=detail)]


def _one_run(evidence: Evidence) -> list[Check]:
    """If copies of a run part at a fork, check that those of a replicate went on from one model."""
    trunks: dict[int, set[TrainedModel]] = {}
    for of in evidence.variants:
        for model in parents(of.model) if of.variant.settings.fork.at else ():
            if trunk := model.trunk:
                trunks.setdefault(of.variant.replicate, set()).add(trunk)
    if not trunks:
        return []
    models = [trunk for found in trunks.values() for trunk in found]
    step = models[0].recipe.stop_step
    weights = ", ".join(evidence.metas[trunk].weights[:12] for trunk in models)
    detail = f"until step {step}, copies are {len(models)} run of {len(trunks)}, of weights {weights}"
    return [Check(name="copies are one run until the fork", ok=len(models) == len(trunks), detail=detail)]


def _whole_crossing(evidence: Evidence) -> list[Check]:
    """Check that a crossing has all its models: one that misses some cannot be divided into the parts of its seeds."""
    if not evidence.plan.task.factor.crossed:
        return []
    kept = {of.name for of in evidence.kept}
    missing = [of.name for of in evidence.variants if of.name not in kept]
    detail = f"without {', '.join(missing)}, nothing is said of single seeds" if missing else f"{len(kept)} models"
    return [Check(name="the crossing is whole", ok=not missing, detail=detail)]


def _same_weights(evidence: Evidence) -> list[Check]:
    """If the factor is a rerun, check that all reruns ended with the same weights."""
    if evidence.plan.task.factor.fields != ("rerun",):
        return []
    distinct = {evidence.model_meta(of).weights for of in evidence.variants}
    return [Check(name="reruns repeat exactly", ok=len(distinct) == 1, detail=f"{len(distinct)} distinct weights")]
