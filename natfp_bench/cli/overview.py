"""What a plan amounts to, as people see it on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console

from .terminal import say, show, table

if TYPE_CHECKING:
    from natfp_bench.pipeline.curve import CurveOverview
    from natfp_bench.pipeline.overview import Overview, SweepOverview


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def print_overview(out: Console, found: Overview, factors: int = 1, *, given: bool = False) -> None:
    """Print what a plan amounts to: its variants, its sizes, what is still to do, and what it can show.

    factors: how many factors are run together, so that their p-values are corrected for this number. given: the texts
    were given with their labels, so that there is nothing to train.
    """
    if given:
        labels = ", ".join(variant.name.rpartition("/r")[0] for variant in found.variants)
        say(out, f"{found.corpus}: which {found.factor} does a text have?")
        say(out, f"{len(found.variants)} labels, {found.texts:,} texts of each: {labels}")
        for note in found.notes:
            say(out, f"note: {note}")
        return
    replicates = f"{found.replicates} replicate{'s' if found.replicates > 1 else ''}"
    say(out, f"{found.task} at preset {found.preset}: {found.summary}")
    say(out, f"factor: {found.factor} ({', '.join(found.fields)}), {replicates}")
    say(out, f"corpus: {found.corpus}; {found.texts:,} texts per variant")
    fetched = any(variant.hub for variant in found.variants)
    differing = {path for variant in found.variants for path in variant.differs}
    # What is fetched says all that its settings say.
    paths = sorted(path for path in differing if not (fetched and path.startswith("source.")))
    rows = []
    for variant in found.variants:
        state = "sampled" if variant.sampled else "trained" if variant.trained else "to do"
        values = [str(variant.differs[path]) for path in paths]
        values += [variant.hub or ""] if fetched else [_count(variant.parameters), _count(variant.tokens)]
        rows.append((variant.name, *values, state))
    columns = ("variant", *paths, *(("model of the Hub",) if fetched else ("parameters", "tokens")), "state")
    show(out, table("", columns, rows, right=(*paths, "parameters", "tokens")))
    if found.models_to_train:
        seconds = found.training_seconds
        unknown = "time unknown: this store has no trained model of this size yet"
        time_left = unknown if seconds is None else f"about {seconds:,.0f} s on one worker"
        say(out, f"to train: {found.models_to_train} models, {found.tokens_to_train:,} tokens ({time_left})")
    if more := _for_who_knows_more(found):
        say(out, f"for attributors that know more: {more}")
    # How large a released model is, is known once it is read.
    unsized = len(found.variants) if any(one.tokens and one.parameters is None for one in found.variants) else 0
    models = f", and {unsized} models of the base's size, four bytes a weight" if unsized else " in total"
    say(out, f"disk: about {found.disk_bytes / 1e6:,.0f} MB{models}")
    if found.least_p is not None:
        say(out, *_testable(found, found.least_p, factors))
    for one in found.beginnings:
        copies = f"{len(one.variants)} variants are one run until step {one.step} of {one.steps}"
        say(out, f"shared beginning: {copies} (model {one.key[:12]})")
    for note in found.notes:
        say(out, f"note: {note}")


def _for_who_knows_more(found: Overview) -> str:
    """What attributors above the lowest rung of the ladder take; empty if there are none."""
    models = [(found.strangers, "stranger"), (found.twins, "twin")]
    said = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in models if count]
    if found.texts_without_labels:
        said.append(f"{found.texts_without_labels:,} texts without labels to sample")
    return ", ".join(said)


def print_sweep(out: Console, found: SweepOverview) -> None:
    """Print what a sweep amounts to, cell by cell and in total."""
    first = found.plans[0][1]
    say(out, f"{first.task} at preset {first.preset}, {len(found.plans)} times: {first.summary}")
    say(out, f"swept over: {', '.join(found.over)}; corpus: {first.corpus}; {first.texts:,} texts per variant")
    rows = []
    for values, one in found.plans:
        done = "done" if all(variant.sampled for variant in one.variants) else "to do"
        sizes = [_count(one.variants[0].parameters), _count(one.variants[0].tokens)]
        work = [_count(one.models_to_train), _count(one.tokens_to_train), _hours(one.training_seconds)]
        rows.append((*(str(values[name]) for name in found.over), *sizes, *work, _megabytes(one.disk_bytes), done))
    total = [_count(found.models_to_train), _count(found.tokens_to_train), _hours(found.training_seconds)]
    rows.append(("total", *([""] * (len(found.over) + 1)), *total, _megabytes(found.disk_bytes), ""))
    numbers = ("parameters", "tokens", "models to train", "tokens to train", "hours", "MB")
    columns = (*found.over, *numbers, "texts")
    show(out, table("", columns, rows, right=(*found.over, *numbers)))
    if found.training_seconds is None:
        say(out, "hours are unknown (?) where this store has no trained model of that size yet; one worker is counted")
    else:
        say(out, "hours are those of one worker, at the rates that this store has measured")
    if (saved := found.tokens_apart - found.tokens_to_train) > 0 and found.tokens_to_train:
        share = saved / found.tokens_apart
        say(out, f"saved: {saved:,} tokens ({share:.0%}), because trainings go on from others or are there already")


def print_curve(out: Console, found: CurveOverview) -> None:
    """Print what a curve amounts to: the plan of its task, and what the curve adds."""
    print_overview(out, found.plan)
    points = ", ".join(f"{texts:,}" for texts in found.texts)
    say(out, f"curve: {points} training texts per model; attributors: {', '.join(found.attributors)}")
    all_of = len(found.plan.variants) * found.rows
    what = f"{found.rows:,} texts of each model, {all_of:,} in all, with test texts and those that share their prompts"
    say(out, f"to sample: {found.texts_to_sample:,} texts that the store lacks ({what})")
    say(out, f"fits: {found.fits:,}, the largest to {found.texts[-1]:,} texts per model; the store keeps those done")
    say(out, f"disk with the curve: about {found.disk_bytes / 1e6:,.0f} MB in total")


def _hours(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds / 3600:,.2f}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"


def _testable(found: Overview, least_p: float, factors: int) -> list[str]:
    """Say in some lines whether the factor can be found with so few replicates, alone and among others."""
    from natfp_bench.statistics.replication import SIGNIFICANT, replicates_needed

    least = f"{least_p:.2g}"
    together = "" if factors == 1 else f", corrected for {factors} factors that are tested together"
    if least_p * factors <= SIGNIFICANT:
        most = int(SIGNIFICANT / least_p)
        enough = f"enough for {most} factors in one table" if most > 1 else "enough for this factor alone"
        return [f"evidence: p can be as low as {least}: {enough}"]
    advice = []
    if (needed := replicates_needed(found.levels, factors)) > found.replicates:
        advice.append(f"--replicates {needed}")
    if (most := math.ceil(factors / SIGNIFICANT)) > found.permutations:
        advice.append(f"--set analysis.permutations={most}")
    what = f"not testable: p cannot be below {least}, and must be below {SIGNIFICANT}{together}"
    return [what, f"  take {' and '.join(advice)}"]
