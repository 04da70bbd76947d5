"""What a plan amounts to before it runs: variants, sizes, and what the store already holds."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from . import store as stores
from .pipeline import resolve_keys
from .plan import Plan, differing, parameters
from .records import Record, flatten


class VariantOverview(Record):
    """One variant: its values of what differs, its size, and whether model and texts are there already."""

    name: str
    differs: dict[str, str | int | float | bool]
    parameters: int
    tokens: int
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
    rows, missing = [], {}
    for of in resolved:
        settings = of.variant.settings
        flat = dict(flatten(settings.model_dump(mode="json")))
        trained = stores.entry_folder(root, "model", of.model).is_dir()
        row = VariantOverview(
            name=of.variant.name,
            differs={path: flat[path] for path in differs},
            parameters=parameters(settings.model, settings.tokenizer.vocabulary),
            tokens=settings.tokens_trained,
            trained=trained,
            sampled=all(stores.entry_folder(root, "sample", key).is_dir() for key in of.samples),
        )
        rows.append(row)
        if not trained:
            missing[of.model] = row
    first = plan.variants[0].settings
    models = {of.model: row for of, row in zip(resolved, rows, strict=True)}
    # Blocks of four-byte tokens once, weights in four bytes, and about twelve bytes a sampled token.
    sampled = len(plan.variants) * plan.texts * first.sampling.max_tokens
    disk = rows[0].tokens * 4 + sum(row.parameters * 4 for row in models.values()) + sampled * 12
    return Overview(
        task=plan.task.name,
        summary=plan.task.summary,
        notes=tuple(note.strip() for note in (plan.task.notes, plan.preset_notes) if note.strip()),
        preset=plan.preset,
        corpus=first.corpus.name,
        factor=plan.task.factor.name,
        fields=plan.task.factor.fields,
        replicates=plan.replicates,
        targets=plan.targets,
        texts=plan.texts,
        variants=tuple(rows),
        models_to_train=len(missing),
        tokens_to_train=sum(row.tokens for row in missing.values()),
        disk_bytes=disk,
        training_seconds=_seconds(list(missing.values()), root),
        protocol={k: v for k, v in flatten(first.model_dump(mode="json")) if k not in differs},
    )


def _seconds(missing: list[VariantOverview], root: Path) -> float | None:
    rates: dict[int, list[float]] = {}
    for entry in stores.entries(root, ("model",)):
        if entry.meta["status"] == "ok" and entry.made["seconds"] > 0:
            rate = entry.meta["tokens_trained"] / entry.made["seconds"]
            rates.setdefault(entry.meta["parameters"], []).append(rate)
    if any(row.parameters not in rates for row in missing):
        return None
    return sum(row.tokens / median(rates[row.parameters]) for row in missing)
