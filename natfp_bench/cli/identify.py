"""The command `identify`: thin, as all of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

if TYPE_CHECKING:
    from natfp_bench.attributors.registry import Baseline
    from natfp_bench.report.cells import Sheet
    from natfp_bench.results.identify import Identification, Verdict

SHOWN = 20
"""Texts whose verdicts are shown one by one; --json has all."""


def identify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=".txt, .jsonl, .csv, .parquet, or - for stdin")],
    result: Annotated[Path, typer.Option(help="a result.json, or its folder")],
    baseline: Annotated[str | None, typer.Option(help="name or folder (default: the result's best)")] = None,
    target: Annotated[str, typer.Option(help="instance (which variant) or level")] = "instance",
    text_column: Annotated[str, typer.Option(help="where the texts are in .jsonl, .csv and .parquet")] = "text",
    include: Annotated[list[Path] | None, typer.Option("--include-path", help="folder with further task files")] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes (default: one a core)")] = None,
    store: Annotated[
        Path | None, typer.Option(help="the run's (default: $NATFP_STORE, else in the user's cache)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Say which variant of a result most likely wrote texts, or that it may be none of them."""
    from natfp_bench import api
    from natfp_bench.pipeline.store import default_root
    from natfp_bench.results import identify as stage
    from natfp_bench.results import unlabelled_texts as given_texts

    from . import terminal
    from .progress import Watcher

    if target not in ("instance", "level"):
        raise unknown("target", target, ["instance", "level"])
    given = given_texts.read_all(files, text_column)
    named = _one_baseline(baseline) if baseline else None
    errors = terminal.stderr()
    source = stage.open_source(
        result,
        "level" if target == "level" else "instance",
        store or default_root(),
        include=include or (),
        warn=lambda text: errors.print(f"warning: {text}", markup=False),
    )
    chosen = named or stage.choose(source)
    engine = api.local_engine(workers)
    try:
        with Watcher(errors) as watch:
            found = stage.identify(source, chosen, given, engine, watch)
    finally:
        engine.close()
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        _print(found)


def _one_baseline(given: str) -> Baseline:
    from natfp_bench.attributors import registry

    if len(found := registry.find(given)) > 1:
        raise UserError(f"--baseline {given} names {len(found)} baselines, and this takes one")
    return found[0]


def _print(found: Identification) -> None:
    from natfp_bench.report.cells import printable

    from . import terminal

    out = terminal.stdout()
    terminal.print_sheet(out, _texts_sheet(found))
    if found.power:
        terminal.print_sheet(out, _power_sheet(found))
    else:
        out.print("whether a model that is none of these would be noticed cannot be measured with two of them\n")
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    one = found.pooled or found.texts[0]
    for line in _conclusion(found, one):
        out.print(printable(line), markup=False, soft_wrap=True)


def _texts_sheet(found: Identification) -> Sheet:
    from natfp_bench.report.cells import Sheet
    from natfp_bench.report.sheets import number

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
        f"Of single held-out texts of these models, {single.accuracy:.1%} are told right (chance "
        f"{1 / len(found.classes):.1%}), and posteriors are calibrated on them. p: of a text that one of the models "
        "wrote, it is below 0.05 one time in twenty at most; it holds for texts drawn like the held-out ones, of the "
        "same length, sampling and kind of prompt."
    )
    if len(found.texts) > SHOWN:
        caption += f" The first {SHOWN} of {len(found.texts):,} are shown; --json has all."
    return Sheet(
        f"{found.task} ({found.preset}): text by text, by {found.attributor.name}",
        ("text", "characters", "most likely", "posterior", "p of these"),
        rows,
        right=("characters", "posterior", "p of these"),
        loose=("text",),
        caption=caption,
    )


def _power_sheet(found: Identification) -> Sheet:
    from natfp_bench.report.cells import Sheet
    from natfp_bench.report.sheets import number

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
    texts = " and of ".join("single texts" if size == 1 else f"bundles of {size} texts" for size in sizes)
    caption = (
        f"Each in turn is left out and is a stranger to the others: of {texts}, the AUROC of the p-value against "
        "held-out texts of the known ones, and how often it is below 0.05, of the stranger's and of theirs. Strangers "
        "as near as these are hard to notice; those of another corpus or another kind of text are easier."
    )
    return Sheet(
        "would one that is none of these be noticed?",
        columns,
        [*rows, ("mean", *means)],
        right=columns[1:],
        caption=caption,
    )


def _conclusion(found: Identification, verdict: Verdict) -> list[str]:
    """Say what the texts together, or the only one, are taken to be."""
    from natfp_bench.statistics.open_set import ALPHA

    n, together = len(found.texts), found.held_out[-1]
    ranked = sorted(zip(found.classes, verdict.posterior, strict=True), key=lambda pair: -pair[1])
    subject = "the text" if n == 1 else f"all {n:,} texts together, if one source wrote them all"
    others = ", ".join(f"{name} {value:.3f}" for name, value in ranked[1:4])
    more = f" and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    told = f"; of held-out bundles of {together.size} texts, {together.accuracy:.1%} are told right" if n > 1 else ""
    likely = f"{subject}: most likely of these, if one of these: {verdict.most_likely} (posterior {ranked[0][1]:.3f})"
    if verdict.p < ALPHA:
        doubt = (
            f"p = {p_value(verdict.p)}, below {ALPHA}: unlike the texts of every one of these, as texts by one of them "
            "are one time in twenty at most; it may well be none of them"
        )
    else:
        doubt = f"p = {p_value(verdict.p)}: like the texts of one of these at least; no sign that it is none of them"
    return [f"{likely}; then {others}{more}{told}", doubt]


def p_value(p: float) -> str:
    """Print a p-value."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"
