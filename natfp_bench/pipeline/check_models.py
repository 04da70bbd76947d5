"""What the checkpoints of a task turn out to be, before anything is sampled from them."""

from __future__ import annotations

import pyarrow.parquet as pq

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.plan.plan import Plan

from . import wanted
from .schedule import Schedule
from .sources.kind import source_kind
from .stages.variant import VariantStages
from .variants import resolve


class ModelFacts(Record):
    """One checkpoint. commit: the one that the Hub served. weights, tokenizer: digests.

    bits_per_byte: of held-out documents of the plan's corpus.
    """

    variant: str
    level: str
    model: str
    commit: str | None
    parameters: int
    weights: str
    tokenizer: str
    context: int | None
    bits_per_byte: float


class CheckedModels(Record):
    """All checkpoints of a task; faults: why they cannot be compared; warnings: what to know."""

    task: str
    models: tuple[ModelFacts, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def check_models(plan: Plan, schedule: Schedule) -> CheckedModels:
    """Fetch and measure the checkpoints of a plan.

    Raises UserError if its models are no checkpoints, or if the Hub lacks some of them.
    """
    if plan.source.kind != "checkpoint":
        raise UserError(
            f"the models of {plan.task.name} are no checkpoints, so there is nothing to check\n"
            "  natfp-bench list tasks   shows the tag hub of those that are"
        )
    source, variants = source_kind(plan.source.kind), resolve(plan)
    source.require([of.variant.settings for of in variants])
    found, faults, warnings = list[ModelFacts](), list[str](), list[str]()
    for of in variants:
        try:
            schedule.drive(wanted.models(plan, [of]))
        except UserError as error:
            faults.append(str(error))
        else:
            found.append(_facts(of, schedule))
    if not faults:
        try:
            warnings += source.review(plan, variants, schedule.metas)
        except UserError as error:
            faults.append(str(error))
    return CheckedModels(task=plan.task.name, models=tuple(found), faults=tuple(faults), warnings=tuple(warnings))


def _facts(of: VariantStages, schedule: Schedule) -> ModelFacts:
    meta = schedule.metas[of.model]
    table = pq.read_table(of.model.folder(schedule.store) / "heldout.parquet", columns=["bits", "bytes"])
    bits, size = (float(table[name].to_numpy().sum()) for name in ("bits", "bytes"))
    return ModelFacts(
        variant=of.name,
        level=of.variant.level,
        model=of.model.title,
        commit=meta.commit,
        parameters=meta.parameters,
        weights=meta.weights,
        tokenizer=meta.tokenizer,
        context=meta.context,
        bits_per_byte=bits / size,
    )
