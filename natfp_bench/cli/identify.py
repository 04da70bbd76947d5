"""The command `identify`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

from .descent import print_descent
from .options import Include, Json, StoreRoot, Workers, one_of

if TYPE_CHECKING:
    from natfp_bench.attributors.registry import Baseline
    from natfp_bench.report.table import ReportTable
    from natfp_bench.results.identification import Identification, Verdict

SHOWN = 20
"""At most this many texts are shown one by one; --json has all."""


def identify(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="plain text, .jsonl, .csv, .tsv, .json or .parquet files, or - for stdin"
        ),
    ],
    result: Annotated[Path, typer.Option(help="a result.json, or its folder")],
    baseline: Annotated[
        str | None, typer.Option(help="name or folder of a baseline (default: the best one of the result)")
    ] = None,
    target: Annotated[str, typer.Option(help="what is guessed: instance (which variant) or level")] = "instance",
    descent: Annotated[
        bool, typer.Option("--descent", help="ask from which ancestor the writer descends, if the levels are ancestors")
    ] = False,
    text_column: Annotated[str, typer.Option(help="column of the texts in .jsonl, .csv and .parquet files")] = "text",
    include: Include = None,
    workers: Workers = None,
    store: StoreRoot = None,
    as_json: Json = False,
) -> None:
    """Say which variant most likely wrote some texts.

    The answer also says whether a source that is none of the variants may have written them. With --descent the
    question is from which ancestor the one model that wrote all texts descends, or from none of them.
    """
    from natfp_bench import api
    from natfp_bench.pipeline.store import default_root
    from natfp_bench.results import descent as stage_of_descent
    from natfp_bench.results import identify as stage
    from natfp_bench.results import unlabelled_texts
    from natfp_bench.results.identification import Descent

    from . import terminal
    from .progress import Watcher

    one_of("target", target, ("instance", "level"))
    given = unlabelled_texts.read_all(files, text_column)
    named = _one_baseline(baseline) if baseline else None
    errors = terminal.stderr()
    source = stage.open_source(
        result,
        "level" if descent or target == "level" else "instance",
        store or default_root(),
        include=include or (),
        warn=terminal.warner(errors),
    )
    chosen = named or stage.choose(source)
    found: Identification | Descent
    with closing(api.local_engine(workers)) as engine, Watcher(errors) as watch:
        if descent:
            found = stage_of_descent.descent(source, chosen, given, engine, watch)
        else:
            found = stage.identify(source, chosen, given, engine, watch)
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
    elif isinstance(found, Descent):
        print_descent(found)
    else:
        _print(found)


def _one_baseline(given: str) -> Baseline:
    from natfp_bench.attributors import registry

    if len(found := registry.find(given)) > 1:
        raise UserError(f"--baseline {given} names {len(found)} baselines\n  name one of them")
    return found[0]


def _print(found: Identification) -> None:
    from . import terminal

    out = terminal.stdout()
    terminal.print_table(out, _texts_table(found))
    if found.power:
        terminal.print_table(out, _power_table(found))
    else:
        terminal.say(out, "it takes three classes or more to measure how often an unknown source would be noticed", "")
    for note in found.notes:
        terminal.say(out, f"note: {note}")
    one = found.pooled or found.texts[0]
    terminal.say(out, *_conclusion(found, one), wrap=False)


def _texts_table(found: Identification) -> ReportTable:
    from natfp_bench.report.table import ReportTable, number

    rows = [
        (
            text.file if text.row is None else f"{text.file}:{text.row}",
            f"{text.characters:,}",
            text.most_likely,
            number(max(text.posterior)),
            p_value(text.p),
        )
        for text in found.texts[:SHOWN]
    ]
    single = found.held_out[0]
    caption = (
        f"On single held-out texts the attributor is right for {single.accuracy:.1%} (chance "
        f"{1 / len(found.classes):.1%}); the posteriors are calibrated on these texts. p: p-value of 'one of these "
        "models wrote the text'. If one of them did, p is below 0.05 for at most one text in twenty. This holds for "
        "texts like the held-out ones: of the same length, sampling and kind of prompt."
    )
    if len(found.texts) > SHOWN:
        caption += f" The first {SHOWN} of {len(found.texts):,} are shown; --json has all."
    return ReportTable(
        f"{found.task} ({found.preset}): each text, by {found.attributor.name}",
        ("text", "characters", "most likely", "posterior", "p"),
        rows,
        right=("characters", "posterior", "p"),
        loose=("text",),
        caption=caption,
    )


def _power_table(found: Identification) -> ReportTable:
    from natfp_bench.report.table import ReportTable, number

    sizes = sorted({one.size for one in found.power})
    by = {(one.left_out, one.size): one for one in found.power}

    def cells(name: str) -> list[str]:
        several = [by[name, size] for size in sizes]
        return [number(value, 2) for one in several for value in (one.auroc, one.detected, one.false_alarms)]

    rows = [(name, *cells(name)) for name in found.classes]
    means = [
        number(fmean(getattr(by[name, size], of) for name in found.classes), 2)
        for size in sizes
        for of in ("auroc", "detected", "false_alarms")
    ]
    columns = ["left out"]
    for size in sizes:
        columns += [f"AUROC ({size})", "noticed", "false alarms"]
    texts = " and for ".join("single texts" if size == 1 else f"bundles of {size} texts" for size in sizes)
    caption = (
        "Each class in turn is left out, so that its texts come from a source that the attributor does not know. For "
        f"{texts}: AUROC, how well the p-value separates these texts from held-out texts of the known classes; "
        "noticed, the share of these texts whose p-value is below 0.05; false alarms, the same share of the known "
        "classes' texts. A source as similar as these is hard to notice; another corpus or kind of text is easier."
    )
    return ReportTable(
        "would an unknown source be noticed?",
        columns,
        [*rows, ("mean", *means)],
        right=columns[1:],
        caption=caption,
    )


def _conclusion(found: Identification, verdict: Verdict) -> list[str]:
    """Say which source most likely wrote the texts together, and whether it may be an unknown one."""
    from natfp_bench.statistics.open_set import ALPHA

    n, together = len(found.texts), found.held_out[-1]
    ranked = sorted(zip(found.classes, verdict.posterior, strict=True), key=lambda pair: -pair[1])
    subject = "the text" if n == 1 else f"all {n:,} texts together, if one source wrote them all"
    others = ", ".join(f"{name} {value:.3f}" for name, value in ranked[1:4])
    more = f" and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    right = f"; the attributor is right for {together.accuracy:.1%} of held-out bundles of {together.size} texts"
    likely = (
        f"{subject}: if one of these wrote it, most likely {verdict.most_likely} (posterior {ranked[0][1]:.3f}); then "
        f"{others}{more}{right if n > 1 else ''}"
    )
    if verdict.p < ALPHA:
        doubt = (
            f"p = {p_value(verdict.p)}, below {ALPHA}: perhaps none of these wrote it. If one of them had, a p-value "
            "as small as this would be seen at most one time in twenty"
        )
    else:
        doubt = f"p = {p_value(verdict.p)}: no sign that another source wrote it"
    return [likely, doubt]


def p_value(p: float) -> str:
    """Print a p-value."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"
