"""Results and leaderboards as people see them on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console, RenderableType

from natfp_bench.pipeline.curve_result import CurveResult
from natfp_bench.pipeline.result import FactorStudy, Result
from natfp_bench.report.crossed_words import crossed_table
from natfp_bench.report.curve_tables import ABOUT as CURVES
from natfp_bench.report.curve_tables import curve_scope, curve_sentences, curve_table
from natfp_bench.report.dilution_words import dilution_table
from natfp_bench.report.finding import finding, given_texts, scope
from natfp_bench.report.leaderboard_tables import board_table, setting_title, standing_tables
from natfp_bench.report.many_tables import many_sentences, many_table, many_title
from natfp_bench.report.reading_tables import reading_tables
from natfp_bench.report.result_tables import board_notes, findings, main_board, variants_table
from natfp_bench.report.table import ReportTable, interval, number, spread, value
from natfp_bench.report.trend_tables import answers, trend_tables, trend_title
from natfp_bench.report.trend_tables import scope as trend_scope
from natfp_bench.report.verification_words import verification_table
from natfp_bench.results import protocols
from natfp_bench.results.leaderboard import Leaderboards, Standing
from natfp_bench.results.many import ManyCandidates
from natfp_bench.results.protocols import Board
from natfp_bench.results.trends import Trend
from natfp_bench.statistics.wording import TellingWord

from .terminal import print_table, say, show, table

TELLING = 10
"""At most this many words are shown per level; the result has more."""


def print_leaderboards(out: Console, found: Leaderboards, *, boards: bool = False) -> None:
    """Print the leaderboards of factors and of attributors for each setting; `boards`: and those of each protocol."""
    for standing in found.standings:
        _print_standing(out, standing, standing_tables(standing))
    for board in found.boards if boards else ():
        print_table(out, board_table(board))


def print_trends(out: Console, trends: Sequence[Trend], many: Sequence[ManyCandidates]) -> None:
    """Print trends, and results with many candidates."""
    for trend in trends:
        print_trend(out, trend)
    for one in many:
        say(out, many_title(one), style="bold underline")
        for sentence in many_sentences(one):
            say(out, sentence, indent=2)
        say(out, "")
        print_table(out, many_table(one))


def print_trend(out: Console, trend: Trend) -> None:
    """Print what a trend shows, sentence by sentence, and its tables."""
    say(out, f"trend of {trend_title(trend)}", style="bold underline")
    say(out, trend_scope(trend), "")
    for sentence in answers(trend):
        say(out, sentence, indent=2)
    say(out, "")
    for made in trend_tables(trend):
        print_table(out, made)


def print_curve(out: Console, found: CurveResult, folder: Path) -> None:
    """Print a curve: what each attributor needs, its scope, and all its points."""
    say(out, "")
    for answer, rest in curve_sentences(found):
        say(out, answer, style="bold")
        say(out, rest, indent=2)
    say(out, curve_scope(found), "")
    print_table(out, curve_table(found))
    say(out, CURVES)
    say(out, f"took {found.run.seconds['total']:.1f} s", f"written to {folder}", wrap=False)
    quoted = shlex.quote(str(folder))
    say(out, f"figures: natfp-bench report {quoted} --figures {quoted}", wrap=False)


def print_summary(out: Console, found: Leaderboards) -> None:
    """Print the two leaderboards of each setting, without their captions."""
    for standing in found.standings:
        tables = [replace(made, caption="") for made in standing_tables(standing, evidence=False)]
        _print_standing(out, standing, tables)


def _print_standing(out: Console, standing: Standing, tables: Sequence[ReportTable]) -> None:
    say(out, setting_title(standing.setting), style="bold underline")
    say(out, "")
    for made in tables:
        print_table(out, made)


def print_result(out: Console, result: Result, folder: Path, *, details: bool = False) -> None:
    """Print a result: its finding in a sentence, its scope, the board that the task asks for, and what columns mean.

    folder: where it is. details: everything else, too.
    """
    say(out, "")
    say(out, finding(result), style="bold")
    say(out, scope(result), "")
    if (board := main_board(result)).rows:
        print_table(out, board)
        show(out, table("", ("", ""), board_notes(result), loose=("",), header=False))
        say(out, "")
    if details:
        print_details(out, result, protocols.boards([folder / "result.json"])[0])
    stages = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in result.run.seconds.items() if stage != "total")
    say(out, f"took {result.run.seconds['total']:.1f} s" + (f" (summed over workers: {stages})" if stages else ""))
    say(out, f"written to {folder}", wrap=False)
    if not details:
        say(out, f"everything else: natfp-bench show {shlex.quote(str(folder))} --details", wrap=False)


def print_details(out: Console, result: Result, boards: Sequence[Board]) -> None:
    """Print the rest of a result: quality of the models, every board, the information in a text, and the factor."""
    for file in result.corpus.files:
        known = [f"{file.bytes:,} bytes" if file.bytes else "", f"SHA-256 {file.digest}" if file.digest else ""]
        say(out, f"corpus file {file.name}: {', '.join(filter(None, known)) or 'size and digest unknown'}")
    if result.corpus.revision:
        say(out, f"corpus revision {result.corpus.revision}")
    if any(variant.heldout_bits_per_byte for variant in result.variants):
        print_table(out, variants_table(result))
    for board in boards:
        print_table(out, board_table(board))
    for found in result.likelihood:
        bits, _, within = interval(found.mutual_information).partition(" ")
        note = f" (95%: {within})" if within else ""
        say(out, f"by the models' likelihoods, a text carries {bits} bits{note} about its {found.target}")
    rows = result.mean_kl.divergence if result.mean_kl else ()
    pairs = [one.value for i, row in enumerate(rows) for j, one in enumerate(row) if i != j and one.value is not None]
    if result.mean_kl and pairs:
        unit = result.mean_kl.unit
        say(out, f"two models differ by {median(pairs):.3f} bits per {unit} (mean KL divergence, median over pairs)")
    if result.study:
        say(out, "")
        for part in _factor_parts(result, result.study):
            show(out, part)
            say(out, "")
        if verified := verification_table(result.study):
            print_table(out, verified)
        if mixed := dilution_table(result.study):
            print_table(out, mixed)


def _factor_parts(result: Result, study: FactorStudy) -> Iterator[RenderableType]:
    """Tables of everything that a result says about its factor."""
    given = given_texts(result)
    title = f"the {'labels' if given else 'factor'}: {result.factor.name}"
    yield table(title, ("", ""), [*findings(result, given=given)], header=False)
    if parts := crossed_table(study):
        yield table(parts.title, parts.columns, parts.texts, right=parts.right)
    yield from _length_table(study)
    yield from _type_table(study)
    for found in reading_tables(result):
        yield table(found.title, found.columns, found.texts)
    yield from _robustness_table(study)
    yield from _words_table(study)


def _length_table(study: FactorStudy) -> Iterator[RenderableType]:
    if study.length:
        rows = [
            (str(at.at), value(at.accuracy), *("" if of is None else f"{of:.3f}" for of in (at.ceiling,)))
            for at in study.length.points
        ]
        columns = (study.length.unit, "accuracy", "ceiling")
        yield table(f"accuracy of {study.reference} by length of the text", columns, rows, right=columns)


def _type_table(study: FactorStudy) -> Iterator[RenderableType]:
    rows = [
        (of.type, *("" if share is None else number(share) for share in (of.bits, of.token_share, of.bits_share)))
        for of in study.by_type
    ]
    if rows:
        columns = ("type of token", "bits per token", "share of tokens", "share of bits")
        yield table("where the evidence lies", columns, rows, right=columns[1:])


def _robustness_table(study: FactorStudy) -> Iterator[RenderableType]:
    found: dict[str, dict[str, str]] = {}
    for of in study.robustness:
        found.setdefault(of.condition, {})[of.trained_on] = spread(of.accuracy, 3)
    if found:
        ways = ("plain", "transformed")
        rows = [(condition, *(by.get(way, "") for way in ways)) for condition, by in found.items()]
        columns = ("test texts", "trained on plain texts", "trained on such texts")
        learnt = f"{study.reference} learns from {study.robustness[0].train_texts:,} texts per variant"
        yield table(f"accuracy after each transform; {learnt}", columns, rows, right=columns[1:])


def _words_table(study: FactorStudy) -> Iterator[RenderableType]:
    """The most telling words, if training texts, test texts and all replicates agree on them."""
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
        yield table("most telling words", ("level", "used more often", "used less often"), rows)
