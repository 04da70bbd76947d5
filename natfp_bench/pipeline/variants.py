"""From a plan to the stages of its variants: which models and texts there are."""

from __future__ import annotations

from typing import Any

from natfp_bench.plan.ancestors import STRANGER, strangers, untaken, with_seed
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.settings import Settings
from natfp_bench.statistics.curves import REWRITTEN

from .sources.kind import Identities, source_kind
from .stages.rewritten import Rewritten
from .stages.sample import SampleStage, TestRows
from .stages.variant import VariantStages

TRANSFER_TEMPERATURES = (0.7, 1.3)

DISGUISES: dict[str, tuple[str, float]] = {
    "temperature 0.8": ("temperature", 0.8),
    "top-p 0.9": ("top_p", 0.9),
}
"""Ways to draw texts that people use to make them smoother, each with its setting and its value."""


SWEEPS = 6
"""How often each token of a rewritten text is drawn anew."""


def transfers(plan: Plan, settings: Settings) -> dict[str, Settings]:
    """Other ways to draw texts, to test an attributor of the usual ones on; none if sampling is the factor."""
    sampling = settings.sampling
    if not _drawn_otherwise(plan, settings):
        return {}
    ways: dict[str, dict[str, Any]] = {}
    for temperature in TRANSFER_TEMPERATURES:
        if temperature != sampling.temperature:
            ways[f"temperature {temperature}"] = {"temperature": temperature}
    for name, (field, value) in DISGUISES.items() if plan.analysis.disguises else ():
        if getattr(sampling, field) != value:
            ways[name] = {field: value}
    if settings.source.trained and not sampling.prompt_characters:
        # A character takes four bytes at most, and a byte one token at most: such prompts always leave enough room.
        room = settings.model.context
        ways["prompted"] = {"prompt_characters": room // 8, "max_tokens": min(sampling.max_tokens, room // 2)}
    return {
        name: settings.model_copy(update={"sampling": sampling.model_copy(update=way)}) for name, way in ways.items()
    }


def _drawn_otherwise(plan: Plan, settings: Settings) -> bool:
    """Whether an attributor of the usual texts is tested on others of the same models."""
    varied = any(path.startswith("sampling.") for path in plan.task.factor.fields)
    return plan.analysis.transfer and not varied and plan.shared_tokenizer and settings.source.has_likelihood


def rewriter(plan: Plan) -> VariantStages | None:
    """The model that rewrites test texts, one for all variants so that it gives none away; None if none is asked for.

    It is a stranger with the recipe of the first variant.
    """
    first = plan.variants[0].settings
    asked = plan.analysis.disguises and _drawn_otherwise(plan, first)
    if not asked or not first.source.trained or first.sampling.prompt_characters:
        return None
    settings = with_seed(first, next(untaken(of.settings for of in plan.variants)))
    model = source_kind(plan.source.kind).model(settings, plan, Identities())
    return VariantStages(Variant(level=STRANGER, replicate=0, settings=settings), model, ())


def resolve_strangers(plan: Plan) -> list[VariantStages]:
    """Return the stages of the models that descend from no level of a plan, as many as it asks for."""
    made = strangers(plan)
    if not made:
        return []
    apart = plan.model_copy(update={"analysis": plan.analysis.model_copy(update={"transfer": False})})
    return resolve(apart.model_copy(update={"variants": made}))


def resolve(plan: Plan) -> list[VariantStages]:
    """Return the stages of all variants; text files are hashed for it. Raises UserError for what cannot be read."""
    source, identities = source_kind(plan.source.kind), Identities()
    models = {of.name: source.model(of.settings, plan, identities) for of in plan.variants}
    writer, found = rewriter(plan), []
    for variant in plan.variants:
        settings, model = variant.settings, models[variant.name]
        serve, threads = settings.serve, settings.numerics.threads
        transfer: dict[str, SampleStage] = {
            name: TestRows(model, serve, threads, way.sampling.draw, plan.seed, plan.texts, plan.split)
            for name, way in transfers(plan, settings).items()
        }
        samples = source.samples(model, settings, plan.seed, plan.texts)
        if writer:
            rest = plan.texts, plan.split, plan.seed, SWEEPS
            transfer[REWRITTEN] = Rewritten(samples, model, writer.model, threads, *rest)
        found.append(VariantStages(variant, model, samples, source.start(variant, plan, models), transfer))
    return found


def longer(of: VariantStages, plan: Plan, rows: int) -> tuple[SampleStage, ...]:
    """The sample set of a variant with so many rows: a longer one begins with the blocks of a shorter one."""
    settings = of.variant.settings
    return source_kind(settings.source.kind).samples(of.model, settings, plan.seed, rows)
