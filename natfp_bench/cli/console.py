"""Plans, results and leaderboards as people see them on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from natfp_bench.pipeline.overview import Overview
from natfp_bench.pipeline.result import FactorStudy, Result
from natfp_bench.report.cells import printable
from natfp_bench.report.sheets import (
    attributor_sheet,
    board_sheet,
    factor_sheet,
    findings,
    interval,
    number,
    setting_title,
    sheets,
    spread,
    value,
    variants_sheet,
)
from natfp_bench.results.leaderboard import Leaderboards
from natfp_bench.results.protocols import Board
from natfp_bench.statistics.fingerprint import TellingWord

from .terminal import print_sheet, table

TELLING = 10
"""Words of a level that are shown; the result has more."""


def print_leaderboards(out: Console, found: Leaderboards, *, boards: bool = False) -> None:
    """Print the leaderboards of factors and of attributors, setting by setting; `boards`: each protocol's as well."""
    for standing in found.standings:
        out.print(escape(printable(setting_title(standing.setting))), style="bold underline")
        out.print()
        for sheet in sheets(standing):
            print_sheet(out, sheet)
    for board in found.boards if boards else ():
        print_sheet(out, board_sheet(board))


def print_summary(out: Console, found: Leaderboards) -> None:
    """Print the two leaderboards of each setting alone, without how to read them."""
    for standing in found.standings:
        out.print(escape(printable(setting_title(standing.setting))), style="bold underline")
        out.print()
        for sheet in (factor_sheet(standing), *([attributor_sheet(standing)] if standing.attributors else [])):
            print_sheet(out, replace(sheet, caption=""))


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def print_overview(out: Console, found: Overview) -> None:
    """Print what a plan amounts to."""
    replicates = f"{found.replicates} replicate{'s' if found.replicates > 1 else ''}"
    out.print(f"{found.task} at {found.preset}: {found.summary}", markup=False)
    out.print(f"varies {found.factor} ({', '.join(found.fields)}), {replicates}", markup=False)
    out.print(f"corpus {found.corpus}, {found.texts:,} texts a variant", markup=False)
    paths = sorted({path for variant in found.variants for path in variant.differs})
    rows = []
    for variant in found.variants:
        state = "sampled" if variant.sampled else "trained" if variant.trained else "to do"
        values = [str(variant.differs[path]) for path in paths]
        rows.append((variant.name, *values, _count(variant.parameters), _count(variant.tokens), state))
    columns = ("variant", *paths, "parameters", "tokens", "store")
    out.print(table("", columns, rows, right=(*paths, "parameters", "tokens")))
    if found.models_to_train:
        seconds = found.training_seconds
        time_left = "no rate measured yet" if seconds is None else f"about {seconds:,.0f} s of one worker"
        out.print(f"to train: {found.models_to_train} models, {found.tokens_to_train:,} tokens ({time_left})")
    out.print(f"disk: about {found.disk_bytes / 1e6:,.0f} MB in all")
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


def print_result(out: Console, result: Result, boards: Sequence[Board], folder: Path) -> None:
    """Print what a run found: the models' quality, the leaderboards, what the likelihoods say, and of the factor."""
    out.print()
    if any(variant.heldout_bits_per_byte for variant in result.variants):
        print_sheet(out, variants_sheet(result))
    for board in boards:
        print_sheet(out, board_sheet(board))
    for found in result.likelihood:
        out.print(f"text and {found.target} share {interval(found.mutual_information)} bits, by the likelihoods")
    rows = result.mean_kl.divergence if result.mean_kl else ()
    pairs = [one.value for i, row in enumerate(rows) for j, one in enumerate(row) if i != j and one.value is not None]
    if result.mean_kl and pairs:
        unit = result.mean_kl.unit
        out.print(f"one model differs from another by {median(pairs):.3f} bits a {unit} (mean KL, median of pairs)")
    if result.study:
        out.print()
        for part in _factor_parts(result, result.study):
            out.print(part)
            out.print()
    stages = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in result.run.seconds.items() if stage != "total")
    out.print(f"took {result.run.seconds['total']:.1f} s" + (f" (summed over workers: {stages})" if stages else ""))
    out.print(f"written to {folder}", markup=False, soft_wrap=True)


def _factor_parts(result: Result, study: FactorStudy) -> Iterator[RenderableType]:
    """All that a result says of its factor."""
    facts = table(f"the factor: {result.factor.name}", ("", ""), [*findings(study)])
    facts.show_header = False
    yield facts
    beside = Table.grid(padding=(0, 3))
    if found := [*_length_table(study), *_type_table(study)]:
        beside.add_row(*found)
        yield beside
    yield from _robustness_table(study)
    yield from _words_table(study)


def _length_table(study: FactorStudy) -> Iterator[Table]:
    if study.length:
        rows = [
            (str(at.at), value(at.accuracy), *("" if of is None else f"{of:.3f}" for of in (at.ceiling, at.predicted)))
            for at in study.length.points
        ]
        columns = (study.length.unit, "accuracy", "ceiling", "predicted")
        yield table(f"{study.reference} against length", columns, rows, right=columns)


def _type_table(study: FactorStudy) -> Iterator[Table]:
    rows = [
        (of.type, *("" if share is None else number(share) for share in (of.bits, of.token_share, of.bits_share)))
        for of in study.by_type
    ]
    if rows:
        columns = ("type", "a token", "of tokens", "of bits")
        yield table("bits by type of token", columns, rows, right=columns[1:])


def _robustness_table(study: FactorStudy) -> Iterator[Table]:
    found: dict[str, dict[str, str]] = {}
    for of in study.robustness:
        found.setdefault(of.condition, {})[of.trained_on] = spread(of.accuracy, 3)
    if found:
        ways = ("plain", "transformed")
        rows = [(condition, *(by.get(way, "") for way in ways)) for condition, by in found.items()]
        columns = ("test texts", "trained on plain texts", "on transformed ones")
        yield table(f"accuracy of {study.reference} on other texts", columns, rows, right=columns[1:])


def _words_table(study: FactorStudy) -> Iterator[Table]:
    """The words that tell most, where training and test texts, and all replicates, agree on them."""
    levels: dict[str, list[TellingWord]] = {}
    for word in study.wording.telling_words if study.wording else ():
        if word.confirmed and word.agrees is not False:
            levels.setdefault(word.label, []).append(word)
    if levels:
        rows = [
            (
                label,
                *(" ".join(of.word for of in words[:TELLING] if (of.log_odds > 0) is more) for more in (True, False)),
            )
            for label, words in levels.items()
        ]
        yield table("words that tell a level", ("level", "says more often", "says less often"), rows)
