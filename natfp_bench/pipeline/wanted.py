"""Which stages a plan takes: first those that make texts, and then those that read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from natfp_bench.attributors.registry import Baseline
from natfp_bench.plan import split
from natfp_bench.plan.curve import CurvePlan
from natfp_bench.plan.plan import Plan, Target
from natfp_bench.plan.split import Fold

from . import ladder
from .evidence import Evidence
from .schedule import Wanted
from .sources.finetune import TunedModel
from .sources.train import stopped_before, trained_for
from .stages.curve import CurvePrediction
from .stages.parity import Parity
from .stages.prediction import Prediction
from .stages.score import TextScores
from .stages.stage import CorpusStage
from .stages.studies import STUDIES, Ground, Study
from .stages.taught import TaughtCorpus
from .stages.variant import VariantStages
from .stages.verification import VerificationStudy
from .variants import longer


def texts(plan: Plan, variants: Sequence[VariantStages]) -> list[Wanted]:
    """Corpora, models and sample sets."""
    return [*models(plan, variants), *(wanted for of in variants for wanted in _samples(of))]


def models(plan: Plan, variants: Sequence[VariantStages]) -> list[Wanted]:
    """Corpora and models."""
    corpora, made = list[CorpusStage](), list[Wanted]()
    for of in variants:
        corpora.append(of.corpus)
        made.append(Wanted(of.model, f"{of.model.doing} {of.name}", of.start))
        for model, what in trained_for(of.model).items():
            corpora.append(model.corpus)
            start = stopped_before(model, (one.model for one in variants), plan)
            made.append(Wanted(model, f"train {what}{of.name}", start))
            if isinstance(model.corpus, TaughtCorpus):
                made += _lessons(model.corpus, f"{what}{of.name}")
        if isinstance(of.model, TunedModel):
            corpora.append(of.model.base.corpus)
            made.append(Wanted(of.model.base, f"measure base of {of.name}"))
    return [*_corpora(plan, list(dict.fromkeys(corpora))), *made]


def _corpora(plan: Plan, distinct: Sequence[CorpusStage]) -> Iterator[Wanted]:
    for number, corpus in enumerate(distinct, 1):
        # If the factor shapes the blocks, one corpus is prepared in several ways, and names must differ.
        which = f" ({number} of {len(distinct)})" if len(distinct) > 1 else ""
        name = (
            f"read {', '.join(plan.given.paths)}" if plan.given else f"prepare {plan.variants[0].settings.corpus.name}"
        )
        yield Wanted(corpus, f"{name}{which}")


def _lessons(corpus: TaughtCorpus, name: str) -> Iterator[Wanted]:
    for number, stage in enumerate(corpus.lessons, 1):
        yield Wanted(stage, f"draw what {name} reads {number}/{len(corpus.lessons)}")


def _samples(of: VariantStages) -> Iterator[Wanted]:
    for number, stage in enumerate(of.samples, 1):
        yield Wanted(stage, f"sample {of.name} {number}/{len(of.samples)}")
    for condition, stage in of.transfer.items():
        yield Wanted(stage, f"sample {of.name} {condition}")


def text_scores(evidence: Evidence) -> dict[str, TextScores]:
    """Scores of all test texts, by the variant under whose model they are; none if the sources have no likelihood."""
    if not evidence.plan.source.has_likelihood:
        return {}
    return {of.name: text_score(evidence.plan, of, evidence.kept) for of in evidence.kept}


def stranger_scores(evidence: Evidence) -> dict[str, TextScores]:
    """Scores of the texts of strangers, by the variant under whose model they are; none if there are no strangers."""
    if not evidence.unrelated or not evidence.plan.source.has_likelihood:
        return {}
    return {of.name: text_score(evidence.plan, of, evidence.unrelated) for of in evidence.kept}


def text_score(plan: Plan, of: VariantStages, kept: Sequence[VariantStages]) -> TextScores:
    """The scores of all test texts under the model of one variant."""
    own, samples = of.variant.settings, tuple(one.samples for one in kept)
    sampler, threads = own.sampling.sampler, own.numerics.threads
    return TextScores(of.model, own.serve.function, threads, sampler, samples, plan.texts, plan.split, plan.cut)


def parity(evidence: Evidence, tasks: tuple[str, ...]) -> dict[str, Parity]:
    """Scores by lm-eval, by variant."""
    found = {}
    for of in evidence.kept:
        own = of.variant.settings
        found[of.name] = Parity(of.model, own.serve.function, own.numerics.threads, tasks)
    return found


def predictions(evidence: Evidence) -> dict[tuple[str, Target, int], Prediction]:
    """Predictions by baseline, target and fold."""
    found = {}
    for target in evidence.plan.targets:
        labels = tuple(of.variant.label(target) for of in evidence.kept)
        for baseline in evidence.baselines:
            for fold in split.folds(evidence.splits(target)[0], evidence.replicates):
                shared = labelled(evidence, baseline, labels, fold)
                found[baseline.name, target, fold.number] = Prediction(**shared, known=tuple(fold.known.tolist()))
    return found


def curve_predictions(evidence: Evidence, curve: CurvePlan) -> dict[tuple[str, int, int], CurvePrediction]:
    """Predictions of levels by baseline, number of training texts per variant, and fold."""
    found = {}
    for texts in curve.texts:
        further = tuple(longer(of, evidence.plan, curve.rows(texts)) for of in evidence.kept)
        for baseline in evidence.baselines:
            for fold in split.folds(evidence.splits("level")[0], evidence.replicates):
                shared, known = labelled(evidence, baseline, tuple(evidence.levels), fold), tuple(fold.known.tolist())
                made = CurvePrediction(**shared, known=known, further=further, learnt=texts)
                found[baseline.name, texts, fold.number] = made
    return found


def studies(evidence: Evidence, reference: Baseline) -> dict[str, Study]:
    """Studies by name; none of bundled texts, which are there to rank attributors."""
    if evidence.plan.fixed_texts:
        return {}
    fold = evidence.splits("level")[0]
    conditions = evidence.kept[0].transfer
    ways = {how: tuple(of.transfer[how] for of in evidence.kept) for how in conditions}
    drawn = {how: stages for how, stages in ways.items() if evidence.metas.keys() >= set(stages)}
    ground = Ground(evidence.plan, evidence.kept, fold, drawn, evidence.unrelated)
    shared = labelled(evidence, reference, tuple(evidence.levels))
    shared |= {"fold": fold, "replicates": tuple(evidence.replicates.tolist())}
    kinds: tuple[type[Study], ...] = (*STUDIES, VerificationStudy)
    made = [kind.of(ground, **shared) for kind in kinds]
    return {study.name: study for study in made if study}


def labelled(
    evidence: Evidence, baseline: Baseline, labels: tuple[str, ...], fold: Fold | None = None
) -> dict[str, Any]:
    """The fields of every stage that shows the sample sets to a baseline, all of them or those of a fold."""
    plan = evidence.plan
    return {
        "baseline": baseline,
        "seed": plan.seed,
        "labels": labels,
        "samples": tuple(of.samples for of in evidence.kept),
        "texts": plan.texts,
        "split": plan.split,
        "cut": plan.cut,
        "sandboxed": baseline.name in evidence.sandboxed,
        "knowledge": ladder.given(evidence, baseline.card.knowledge, fold),
        "twins": ladder.twins_given(evidence, baseline.card.knowledge, labels, fold),
    }
