"""The ladder of knowledge in a run: what each rung is given, which stages that takes, and where it cannot be had.

Nothing that a rung is given may reveal a label or a test text. Further texts are of the models that a fit learns from,
behind those that are attributed. Strangers are variants of no class: the recipes of the variants, trained with seeds
that no variant has. Twins have one seed of a variant, that of its initial weights, and a stranger's for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import JobError, UserError
from natfp_bench.base.rungs import Knows, reaches
from natfp_bench.plan.ancestors import STRANGER, untaken, with_seed
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.settings import Settings
from natfp_bench.plan.split import Fold

from .evidence import Evidence
from .schedule import Wanted
from .sources.kind import Identities, source_kind
from .stages.knowledge import KnowledgeStage, TrainingTexts, Unlabelled
from .stages.prediction import Labelled
from .stages.sample import SampleStage
from .stages.stage import ModelStage, Stage
from .stages.variant import VariantStages
from .variants import longer

TWIN = "twin"
"""Level of twins."""

FURTHER = 16
"""Further texts of all variants together, at least, as a multiple of those of one that are attributed."""


def lacking(plan: Plan, rung: Knows) -> str | None:
    """Why a plan cannot give what a rung is given; None if it can."""
    if rung == "texts":
        return None
    if plan.fixed_texts:
        return "fixed texts are all that is given of their sources"
    if plan.given is not None:
        return "the given texts are all that is known of their sources"
    if plan.source.kind == "lm_eval":
        return "a backend is asked for no more texts than are attributed"
    if reaches(rung, "corpus") and plan.source.kind != "train":
        return "the models of this task are not trained from nothing here, so their corpus and recipe are not at hand"
    made = any(of.settings.teacher.run >= 0 or of.settings.derive.active for of in plan.variants)
    if reaches(rung, "origin") and made:
        return "the models of this task are made of others, so their initial weights say nothing of them alone"
    return None


def able(plan: Plan, baselines: Sequence[Baseline]) -> tuple[list[Baseline], list[str]]:
    """Baselines whose rung a plan can give, and a line about each of the others.

    Raises UserError if there were some, and none is left.
    """
    why = {one.name: lacking(plan, one.card.knowledge) for one in baselines}
    left_out = [f"{one.name} (knowledge: {one.card.knowledge}): {why[one.name]}" for one in baselines if why[one.name]]
    kept = [one for one in baselines if not why[one.name]]
    if left_out and not kept:
        listed = "\n  ".join(left_out)
        raise UserError(
            f"no attributor is left for {plan.task.name}:\n  {listed}\n  --baseline fast   reads texts alone"
        )
    return kept, left_out


def require_texts(baseline: Baseline, why: str) -> None:
    """Raise UserError for a baseline that asks for knowledge, where there is none to give."""
    if (rung := baseline.card.knowledge) != "texts":
        raise UserError(f"{baseline.name} asks for knowledge (knowledge: {rung} in its card.yaml)\n  {why}")


def wants(baselines: Sequence[Baseline], rung: Knows) -> bool:
    """Whether a baseline has what a rung is given."""
    return any(reaches(one.card.knowledge, rung) for one in baselines)


def further(plan: Plan, variants: Sequence[VariantStages]) -> Iterator[Wanted]:
    """Samples that the further texts of variants are in."""
    for of in variants:
        for number, stage in enumerate(_samples(plan, of), 1):
            if stage not in of.samples:
                yield Wanted(stage, f"sample {of.name} {number}, without labels")


def _samples(plan: Plan, of: VariantStages) -> tuple[SampleStage, ...]:
    return longer(of, plan, texts_with_further(plan))


def texts_with_further(plan: Plan) -> int:
    """Texts of each variant, the further ones included."""
    return (1 + math.ceil(FURTHER / len(plan.variants))) * plan.texts


def strangers(plan: Plan, variants: Sequence[VariantStages]) -> list[VariantStages]:
    """A stranger for each recipe of some variants, whatever their seeds; they have no texts."""
    source, identities, found = source_kind(plan.source.kind), Identities(), dict[ModelStage, Settings]()
    seed = next(untaken(of.variant.settings for of in variants))
    for of in variants:
        settings = with_seed(of.variant.settings, seed)
        found.setdefault(source.model(settings, plan, identities), settings)
    made = [(Variant(level=STRANGER, replicate=n, settings=own), model) for n, (model, own) in enumerate(found.items())]
    return [VariantStages(variant, model, ()) for variant, model in made]


def twins(plan: Plan, variants: Sequence[VariantStages]) -> dict[str, VariantStages]:
    """A twin of each variant, by its name; several variants may share one. They have no texts."""
    source, identities, found = source_kind(plan.source.kind), Identities(), dict[str, VariantStages]()
    seed = next(untaken(of.variant.settings for of in variants))
    for number, of in enumerate(variants):
        settings = with_seed(of.variant.settings, seed, init=of.variant.settings.seeds.init)
        twin = Variant(level=TWIN, replicate=number, settings=settings)
        found[of.name] = VariantStages(twin, source.model(settings, plan, identities), ())
    return found


def check_strangers(
    found: Iterable[VariantStages], variants: Sequence[VariantStages], metas: Mapping[Stage, Any]
) -> None:
    """Check that no stranger or twin is a variant, by its seeds or by its weights; raises JobError for a bug."""
    for stranger in found:
        own, weights = stranger.variant.settings, metas[stranger.model].weights
        for of in variants:
            if of.variant.settings.seeds == own.seeds or of.model == stranger.model:
                raise JobError(f"{stranger.name} has the seeds of {of.name}: it would be that model")
            if weights is not None and metas[of.model].weights == weights:
                raise JobError(f"{stranger.name} has the weights of {of.name}: its seeds change nothing in training")


def given(evidence: Evidence, rung: Knows, fold: Fold | None = None) -> tuple[Stage, ...]:
    """Stages of what a rung is given in a fold (None: with all variants known); empty on the lowest rung."""
    plan = evidence.plan
    if rung == "texts":
        return ()
    known = np.ones(len(evidence.kept), dtype=np.bool_) if fold is None else fold.known
    samples = tuple(_samples(plan, of) for of, learnt in zip(evidence.kept, known.tolist(), strict=True) if learnt)
    found: list[Stage] = [Unlabelled(samples, plan.texts, texts_with_further(plan), plan.split, plan.cut, plan.seed)]
    if reaches(rung, "corpus"):
        found.append(TrainingTexts(tuple(dict.fromkeys(of.corpus for of in evidence.kept))))
    if reaches(rung, "recipe"):
        found += [of.model for of in evidence.strangers]
    return tuple(found)


def twins_given(
    evidence: Evidence, rung: Knows, labels: Sequence[str], fold: Fold | None = None
) -> tuple[tuple[str, Stage], ...]:
    """Twins of the variants that a fold learns from, each once for a label; empty below the rung that is given them."""
    if not reaches(rung, "origin"):
        return ()
    known = np.ones(len(evidence.kept), dtype=np.bool_) if fold is None else fold.known
    learnt = [(of.name, label) for of, label, one in zip(evidence.kept, labels, known.tolist(), strict=True) if one]
    return tuple(dict.fromkeys((label, evidence.twins[name].model) for name, label in learnt if name in evidence.twins))


def unmet(evidence: Evidence) -> list[str]:
    """Names of the attributors for which no stranger, or no twin, is left: all of them diverged."""
    lost: list[Knows] = []
    if not evidence.strangers:
        lost.append("recipe")
    if not evidence.twins:
        lost.append("origin")
    return [one.name for one in evidence.baselines if any(wants([one], rung) for rung in lost)]


def first(stages: Iterable[Labelled]) -> list[Wanted]:
    """What has to be written before some stages can show it to an attributor."""
    found = dict.fromkeys(one for stage in stages for one in stage.knowledge if isinstance(one, KnowledgeStage))
    names = {"unlabelled": "texts without labels", "corpus": "the corpus as texts"}
    return [Wanted(stage, f"write {names[stage.name]} ({number})") for number, stage in enumerate(found, 1)]
