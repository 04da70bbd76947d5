"""What a plan amounts to before it runs: variants, sizes, and what the store already holds."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from natfp_bench.base.records import Record, flatten
from natfp_bench.plan.plan import Plan, differing, parameters
from natfp_bench.plan.settings import Settings

from . import store as stores
from .resolve import resolve_keys


class VariantOverview(Record):
    """One variant: its values of what differs, its size, and whether model and texts are there already."""

    name: str
    differs: dict[str, str | int | float | bool]
    parameters: int | None
    tokens: int | None
    trained: bool
    sampled: bool


class Overview(Record):
    """A plan in figures; seconds only where this store has measured models of the same shape."""

    task: str
    summary: str
    notes: tuple[str, ...]
    preset: str
    corpus: str
    factor: str
    fields: tuple[str, ...]
    replicates: int
    targets: tuple[str, ...]
    texts: int
    variants: tuple[VariantOverview, ...]
    models_to_train: int
    tokens_to_train: int
    disk_bytes: int
    training_seconds: float | None
    protocol: dict[str, str | int | float | bool]


def overview(plan: Plan, root: Path) -> Overview:
    """Describe a plan against the store at `root`, which need not exist. Nothing is written.

    training_seconds: of all models still to train, one after another, at the median rate of finished trainings of the
    same shape. Raises UserError for a corpus that cannot be read.
    """
    differs = differing(plan.variants)
    resolved = resolve_keys(plan)
    bases = {of.base.model: of.base.settings for of in resolved if of.base}
    trained = plan.source.kind == "train"
    models = {**bases, **{of.model: of.variant.settings for of in resolved if trained}}
    missing = {key for key in models if not stores.entry_folder(root, "model", key).is_dir()}
    # What a model goes on from was read for it already.
    starts = {of.model: models[of.start].tokens_trained for of in resolved if of.start}
    work = [(_size(models[key]), models[key].tokens_trained - starts.get(key, 0)) for key in sorted(missing)]
    rows = []
    for of in resolved:
        settings = of.variant.settings
        flat = dict(flatten(settings.model_dump(mode="json")))
        row = VariantOverview(
            name=of.variant.name,
            differs={path: flat[path] for path in differs},
            parameters=_size(settings) if trained else None,
            tokens=settings.tokens_trained if trained else None,
            trained=trained and of.model not in missing,
            sampled=all(stores.entry_folder(root, "sample", key).is_dir() for key in of.samples),
        )
        rows.append(row)
    first = plan.variants[0].settings
    # Blocks of four-byte tokens once, weights in four bytes, and about twelve bytes a sampled token.
    sampled = len(plan.variants) * plan.texts * first.sampling.max_tokens
    disk = (rows[0].tokens or 0) * 4 + sum(_size(settings) * 4 for settings in models.values()) + sampled * 12
    return Overview(
        task=plan.task.name,
        summary=plan.task.summary,
        notes=tuple(note.strip() for note in (plan.task.notes, plan.preset_notes) if note.strip()),
        preset=plan.preset,
        corpus=plan.given.name if plan.given else first.corpus.name,
        factor=plan.task.factor.name,
        fields=plan.task.factor.fields,
        replicates=plan.replicates,
        targets=plan.targets,
        texts=plan.texts,
        variants=tuple(rows),
        models_to_train=len(missing),
        tokens_to_train=sum(tokens for _, tokens in work),
        disk_bytes=disk,
        training_seconds=_seconds(work, root),
        protocol={k: v for k, v in flatten(first.model_dump(mode="json")) if k not in differs},
    )


def _size(settings: Settings) -> int:
    return parameters(settings.model, settings.tokenizer.vocabulary)


def _seconds(work: list[tuple[int, int]], root: Path) -> float | None:
    """Seconds of trainings, each (parameters, tokens), at the rates that this store has measured."""
    rates: dict[int, list[float]] = {}
    for entry in stores.entries(root, ("model",)):
        if entry.meta["status"] == "ok" and entry.made["seconds"] > 0:
            rate = entry.meta["tokens_trained"] / entry.made["seconds"]
            rates.setdefault(entry.meta["parameters"], []).append(rate)
    if any(size not in rates for size, _ in work):
        return None
    return sum(tokens / median(rates[size]) for size, tokens in work)
