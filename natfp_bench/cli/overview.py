"""What a plan amounts to, as people see it on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console

from natfp_bench.base.text import one_line, printable

from .terminal import table

if TYPE_CHECKING:
    from natfp_bench.pipeline.overview import Overview


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def print_overview(out: Console, found: Overview, factors: int = 1) -> None:
    """Print what a plan amounts to: its variants, its sizes, what is still to do, and what it can show.

    factors: how many factors are run together, so that their p-values are corrected for this number.
    """
    replicates = f"{found.replicates} replicate{'s' if found.replicates > 1 else ''}"
    out.print(one_line(f"{found.task} at preset {found.preset}: {found.summary}"), markup=False)
    out.print(one_line(f"factor: {found.factor} ({', '.join(found.fields)}), {replicates}"), markup=False)
    out.print(one_line(f"corpus: {found.corpus}; {found.texts:,} texts per variant"), markup=False)
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
    if found.least_p is not None:
        out.print(_testable(found, found.least_p, factors), markup=False)
    for note in found.notes:
        out.print(printable(f"note: {note}"), markup=False)


def _testable(found: Overview, least_p: float, factors: int) -> str:
    """Say whether the factor can be found with so few replicates, alone and among others."""
    from natfp_bench.statistics.replication import SIGNIFICANT, replicates_needed

    least = f"{least_p:.2g}"
    together = "" if factors == 1 else f", corrected for {factors} factors that are tested together"
    if least_p * factors <= SIGNIFICANT:
        most = int(SIGNIFICANT / least_p)
        return f"evidence: p can be as low as {least}: " + (
            f"enough for {most} factors in one table" if most > 1 else "enough for this factor alone"
        )
    advice = []
    if (needed := replicates_needed(found.levels, factors)) > found.replicates:
        advice.append(f"--replicates {needed}")
    if (most := math.ceil(factors / SIGNIFICANT)) > found.permutations:
        advice.append(f"--set analysis.permutations={most}")
    what = f"not testable: p cannot be below {least}, and must be below {SIGNIFICANT}{together}"
    return f"{what}\n  take {' and '.join(advice)}"
