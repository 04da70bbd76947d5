"""Models that are trained here, or made of such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from natfp_bench.pipeline.stages.derived import DerivedModel
from natfp_bench.pipeline.stages.stage import ModelStage
from natfp_bench.pipeline.stages.taught import TaughtCorpus, taught
from natfp_bench.pipeline.stages.trained import PackedCorpus, TrainedModel, packing
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.settings import Recipe, Settings

from .kind import Identities, SourceKind


class Trained(SourceKind):
    """Variants that are trained here."""

    def model(self, settings: Settings, plan: Plan, identities: Identities) -> ModelStage:
        """Return the stage that trains a variant's model, or makes it of trained ones."""
        derive, spec = settings.derive, settings.corpus

        def packed(recipe: Recipe) -> PackedCorpus:
            return PackedCorpus(
                corpus=identities.corpus(spec),
                whole=identities.corpus(spec.whole),
                tokenizer=recipe.tokenizer,
                context=recipe.model.context,
                heldout=spec.heldout_documents,
                tail=identities.corpus(settings.tail) if settings.tail else None,
                **packing(recipe),
            )

        parents = [TrainedModel(recipe, plan.seed, packed(recipe)) for recipe in settings.parents]
        if teaching := settings.teacher_recipe:
            documents = packed(teaching)
            lessons = taught(TrainedModel(teaching, plan.seed, documents), documents, settings.recipe, settings)
            parents = [replace(parent, corpus=lessons) for parent in parents]
        if not derive.active:
            return parents[0]
        context, threads = settings.model.context, settings.numerics.threads
        return DerivedModel(tuple(parents), derive.shares, derive.prune, context, threads)

    def start(self, variant: Variant, plan: Plan, models: Mapping[str, ModelStage]) -> ModelStage | None:
        """The same run stopped the last time before this variant's stop, if the plan or its sweep has one."""
        model = models[variant.name]
        return stopped_before(model, models.values(), plan) if isinstance(model, TrainedModel) else None


def parents(model: ModelStage) -> list[TrainedModel]:
    """The trained models that a model is made of: itself alone, unless it is derived from others."""
    found = model.parents if isinstance(model, DerivedModel) else (model,)
    return [one for one in found if isinstance(one, TrainedModel)]


def teacher_of(model: TrainedModel) -> TrainedModel | None:
    """The model that wrote the training texts of a model; None if it was trained on documents."""
    return model.corpus.teacher if isinstance(model.corpus, TaughtCorpus) else None


def trained_for(model: ModelStage) -> dict[TrainedModel, str]:
    """All models that are trained for one, itself included, each with what it is to the one: no two are the same."""
    found: dict[TrainedModel, str] = {}
    several = parents(model)
    for number, one in enumerate(several, 1):
        of = f"part {number} of " if len(several) > 1 else ""
        found.setdefault(one, of)
        for what, other in (("teacher", teacher_of(one)), ("base", one.base), ("beginning", one.trunk)):
            if other:
                found.setdefault(other, f"the {what} of {of}")
    return found


def stopped_before(model: TrainedModel, others: Iterable[ModelStage], plan: Plan) -> TrainedModel | None:
    """The same run stopped the last time before this model's stop: by other models of its plan, or by its sweep."""
    if model.base or model.trunk:
        return None
    same = [one.recipe.budget.stop for other in others for one in parents(other) if one.whole == model.whole]
    stops = [stop for stop in (*same, *plan.stops.get(model.whole, ())) if stop < model.recipe.budget.stop]
    if not stops:
        return None
    budget = model.recipe.budget.model_copy(update={"stop": max(stops)})
    return replace(model, recipe=model.recipe.model_copy(update={"budget": budget}))


SOURCE = Trained()
