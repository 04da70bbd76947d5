"""What a plan amounts to before it runs: variants, sizes, and what the store already holds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.records import Record, flatten
from natfp_bench.models import checkpoint_files
from natfp_bench.models.metas import TrainMeta
from natfp_bench.plan.plan import Plan, differing, parameters, values_of
from natfp_bench.plan.settings import Recipe
from natfp_bench.statistics.replication import smallest_p

from . import ladder
from . import store as stores
from .sources.finetune import TunedModel
from .sources.train import parents, stopped_before, trained_for
from .stages.stage import Stage
from .stages.trained import TrainedModel
from .stages.variant import VariantStages
from .variants import resolve, resolve_strangers, rewriter

ON_HUB = ("checkpoint", "finetune")
"""Kinds of sources whose models may be on the Hub."""


class VariantOverview(Record):
    """One variant: its values of what differs, its size, and whether model and texts are there already.

    hub: what would be fetched from the Hub, or found in its cache; None for other sources.
    """

    name: str
    differs: dict[str, str | int | float | bool]
    parameters: int | None
    tokens: int | None
    trained: bool
    sampled: bool
    hub: str | None = None


class SharedBeginning(Record):
    """A run until the step at which variants part; key: of the model that all of them go on from."""

    key: str
    step: int
    steps: int
    variants: tuple[str, ...]


class Overview(Record):
    """A plan in figures; seconds only where this store has measured models of the same shape.

    least_p: the smallest p-value that the test of the factor can have; None if no replicates are held out, so that the
    result is about its models and not about a factor. strangers, twins: models for attributors that know more than
    texts, which are among those to train; texts_without_labels: that such attributors are given, and the store lacks.
    """

    task: str
    summary: str
    notes: tuple[str, ...]
    preset: str
    corpus: str
    factor: str
    fields: tuple[str, ...]
    levels: int
    replicates: int
    targets: tuple[str, ...]
    texts: int
    variants: tuple[VariantOverview, ...]
    models_to_train: int
    tokens_to_train: int
    disk_bytes: int
    training_seconds: float | None
    least_p: float | None
    permutations: int
    protocol: dict[str, str | int | float | bool]
    beginnings: tuple[SharedBeginning, ...] = ()
    strangers: int = 0
    twins: int = 0
    texts_without_labels: int = 0


class SweepOverview(Record):
    """The plans of a sweep in figures, each beside its values of the swept settings.

    apart: tokens that the models would read if none went on from another. training_seconds: None if a rate is unknown.
    """

    over: tuple[str, ...]
    plans: tuple[tuple[dict[str, str | int | float | bool], Overview], ...]
    models_to_train: int
    tokens_to_train: int
    tokens_apart: int
    training_seconds: float | None
    disk_bytes: int


def sweep_overview(plans: Sequence[Plan], root: Path) -> SweepOverview:
    """Describe the plans of a sweep in their order: what an earlier one makes is there for a later one."""
    made: dict[TrainedModel, bool] = {}
    found = [overview(plan, root, made) for plan in plans]
    values = [plan.overrides for plan in plans]
    over = [name for name in values[0] if len({repr(one.get(name)) for one in values}) > 1]
    seconds = [one.training_seconds for one in found]
    return SweepOverview(
        over=tuple(over),
        plans=tuple(({name: own[name] for name in over}, one) for own, one in zip(values, found, strict=True)),
        models_to_train=sum(one.models_to_train for one in found),
        tokens_to_train=sum(one.tokens_to_train for one in found),
        tokens_apart=sum(model.recipe.tokens_trained for model, wanted in made.items() if wanted),
        training_seconds=None if None in seconds else sum(one or 0.0 for one in seconds),
        disk_bytes=sum(one.disk_bytes for one in found),
    )


def overview(
    plan: Plan, root: Path, made: dict[TrainedModel, bool] | None = None, baselines: Sequence[Baseline] = ()
) -> Overview:
    """Describe a plan against the store at `root`, which need not exist. Nothing is written.

    baselines: attributors of the run; what their rungs of the ladder take is counted, too. made: models that plans
    before this one make, and whether a variant has each itself, or others only begin with it; those of this plan
    are added. training_seconds: of all models still to train, one after another, at the median rate of finished
    trainings of the same shape. Raises UserError for a corpus that cannot be read.
    """
    differs, resolved = differing(plan.variants), resolve(plan)
    strangers, twins, without_labels = _for_the_ladder(plan, resolved, baselines, root)
    writer = rewriter(plan)
    writing = [*resolved, *resolve_strangers(plan)]
    every = [*writing, *strangers, *twins, *([writer] if writer else [])]
    trained = {model for of in every for model in parents(of.model)}
    tuned = {of.model for of in resolved if isinstance(of.model, TunedModel)}
    trunks = {of.name: trunk for of in resolved if isinstance(of.model, TrainedModel) and (trunk := of.model.trunk)}
    models = {model for of in every for model in trained_for(of.model)}
    untuned = [model for model in tuned if not _there(root, model)]
    before = {*made} if made else set()
    missing = [model for model in models if not _there(root, model) and model not in before]
    at_hand = {*models, *before}
    work = []
    for model in sorted(missing, key=lambda model: model.key):
        # What a model goes on from has read its share already.
        start = model.base or model.trunk or stopped_before(model, models, plan)
        read = start.recipe.tokens_trained if start and (start in at_hand or _there(root, start)) else 0
        work.append((_size(model.recipe), model.recipe.tokens_trained - read))
    rows = []
    for of in resolved:
        settings, here = of.variant.settings, plan.source.trained
        released = plan.source.facts.released
        flat = values_of(settings)
        row = VariantOverview(
            name=of.name,
            differs={path: flat[path] for path in differs},
            parameters=_size(settings) if here and not released else None,
            tokens=settings.tokens_trained if here else None,
            trained=here and _there(root, of.model),
            sampled=all(_there(root, stage) for stage in of.samples),
            hub=checkpoint_files.hub_place(settings.source) if settings.source.kind in ON_HUB else None,
        )
        rows.append(row)
    first = plan.variants[0].settings
    levels, held_out = len(plan.task.factor.levels), plan.holds_out_replicates and plan.task.control is None
    # Blocks of four-byte tokens once, weights in four bytes, and about twelve bytes a sampled token.
    texts = len(writing) * plan.texts + without_labels
    sampled = texts * first.sampling.max_tokens
    disk = (rows[0].tokens or 0) * 4 + sum(_size(model.recipe) * 4 for model in models - before) + sampled * 12
    # What a later training goes on from: the weights once more, and about two moments of each.
    disk += sum(_size(model.recipe) * 12 for model in models - before if model.recipe.budget.stop < 1)
    if made is not None:
        made |= {model: model in trained or made.get(model, False) for model in models}
    return Overview(
        task=plan.task.name,
        summary=plan.task.summary,
        notes=tuple(note.strip() for note in (plan.task.notes, *plan.notes) if note.strip()),
        preset=plan.preset,
        corpus=plan.given.name if plan.given else first.corpus.name,
        factor=plan.task.factor.name,
        fields=plan.task.factor.fields,
        levels=levels,
        replicates=plan.replicates,
        targets=plan.targets,
        texts=plan.texts,
        variants=tuple(rows),
        models_to_train=len(missing) + len(untuned),
        tokens_to_train=sum(tokens for _, tokens in work) + sum(model.recipe.tokens_trained for model in untuned),
        disk_bytes=disk,
        training_seconds=None if untuned else _seconds(work, root),
        least_p=smallest_p(levels, plan.replicates, plan.analysis.permutations) if held_out else None,
        permutations=plan.analysis.permutations,
        protocol={k: v for k, v in flatten(first.model_dump(mode="json")) if k not in differs},
        beginnings=tuple(
            SharedBeginning(
                key=trunk.key,
                step=trunk.recipe.stop_step,
                steps=trunk.recipe.steps,
                variants=tuple(name for name, own in trunks.items() if own == trunk),
            )
            for trunk in dict.fromkeys(trunks.values())
        ),
        strangers=len(strangers),
        twins=len(twins),
        texts_without_labels=without_labels,
    )


def _for_the_ladder(
    plan: Plan, resolved: Sequence[VariantStages], baselines: Sequence[Baseline], root: Path
) -> tuple[list[VariantStages], list[VariantStages], int]:
    """Strangers, twins, and how many texts without labels are still to be drawn."""
    able = ladder.able(plan, baselines)[0] if baselines else []
    strangers = ladder.strangers(plan, resolved) if ladder.wants(able, "recipe") else []
    twins = {of.model: of for of in ladder.twins(plan, resolved).values()} if ladder.wants(able, "origin") else {}
    further = (
        {one.stage for one in ladder.further(plan, resolved)} if ladder.wants(able, "unlabelled") else set[Stage]()
    )
    lacking = sum(not _there(root, block) for block in further)
    return strangers, [*twins.values()], lacking * plan.variants[0].settings.sampling.block


def _there(root: Path, stage: Stage) -> bool:
    return stores.entry_folder(root, stage.kind, stage.key).is_dir()


def _size(recipe: Recipe) -> int:
    return parameters(recipe.model, recipe.tokenizer.vocabulary)


def _seconds(work: list[tuple[int, int]], root: Path) -> float | None:
    """Seconds of trainings, each (parameters, tokens), at the rates that this store has measured."""
    rates: dict[int, list[float]] = {}
    for entry in stores.entries(root, ("model",)):
        # Models that were not trained here lie there, too.
        with suppress(ValueError):
            meta = TrainMeta.model_validate(entry.meta)
            if meta.status == "ok" and meta.tokens_trained and entry.made.seconds > 0:
                rates.setdefault(meta.parameters, []).append(meta.tokens_trained / entry.made.seconds)
    if any(size not in rates for size, _ in work):
        return None
    return sum(tokens / median(rates[size]) for size, tokens in work)
