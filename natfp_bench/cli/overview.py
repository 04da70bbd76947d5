"""What a plan amounts to, as people see it on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from .terminal import table

if TYPE_CHECKING:
    from natfp_bench.pipeline.overview import Overview


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def print_overview(out: Console, found: Overview) -> None:
    """Print what a plan amounts to: its variants, its sizes, and what is still to do."""
    replicates = f"{found.replicates} replicate{'s' if found.replicates > 1 else ''}"
    out.print(f"{found.task} at preset {found.preset}: {found.summary}", markup=False)
    out.print(f"factor: {found.factor} ({', '.join(found.fields)}), {replicates}", markup=False)
    out.print(f"corpus: {found.corpus}; {found.texts:,} texts per variant", markup=False)
    paths = sorted({path for variant in found.variants for path in variant.differs})
    rows = []
    for variant in found.variants:
        state = "sampled" if variant.sampled else "trained" if variant.trained else "to do"
        values = [str(variant.differs[path]) for path in paths]
        rows.append((variant.name, *values, _count(variant.parameters), _count(variant.tokens), state))
    columns = ("variant", *paths, "parameters", "tokens", "state")
    out.print(table("", columns, rows, right=(*paths, "parameters", "tokens")))
    if found.models_to_train:
        seconds = found.training_seconds
        unknown = "time unknown: this store has no trained model of this size yet"
        time_left = unknown if seconds is None else f"about {seconds:,.0f} s on one worker"
        out.print(f"to train: {found.models_to_train} models, {found.tokens_to_train:,} tokens ({time_left})")
    out.print(f"disk: about {found.disk_bytes / 1e6:,.0f} MB in total")
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
