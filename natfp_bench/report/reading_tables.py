"""Tables of what attributors read of the evidence: by type of token, by position, and with many texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from natfp_bench.base.rungs import height
from natfp_bench.pipeline.result import Result
from natfp_bench.statistics.reading import PartRead, Reading

from .table import ReportTable, interval

ABOUT = (
    "Bits that an attributor finds for each bit of evidence that the models' own likelihoods find in the same "
    "tokens, with 95% intervals: 1 would be everything, 0 nothing. Beside each part stands its share of all the "
    "evidence. Texts are of models that the attributors have learnt from."
)

NEEDED = "texts for 99%"
"""Title of the column with the number of texts."""


def reading_tables(result: Result) -> Iterator[ReportTable]:
    """Make two tables, by type and by position; none if nothing is known of single tokens."""
    found = result.study.readings if result.study else ()
    if not found:
        return
    knows = {score.attributor.name: score.attributor.knowledge for score in result.scores}
    ordered = sorted(found, key=lambda one: (height(knows[one.attributor]), -one.whole.share.value))
    named = [(one, _named(one.attributor, knows[one.attributor])) for one in ordered]
    needed = {one.attributor: _needed(one) for one in ordered}
    first = ordered[0]
    rows = [[name, interval(one.whole.share, 2), *_cells(one.by_type), needed[one.attributor]] for one, name in named]
    columns = ("attributor", "all tokens", *_titles(first.by_type), NEEDED)
    about = (
        f"{ABOUT} The last column says how many texts of one model must be judged together until 99% of the guesses "
        "are right."
    )
    yield ReportTable("bits read for each bit of evidence, by type of token", columns, rows, caption=about)
    rows = [[name, *_cells(one.by_position)] for one, name in named]
    columns = ("attributor", *_titles(first.by_position))
    yield ReportTable("bits read for each bit of evidence, by position of the token", columns, rows, caption=ABOUT)


def _named(name: str, rung: str) -> str:
    return name if rung == "texts" else f"{name} (knows: {rung})"


def _titles(parts: Sequence[PartRead]) -> list[str]:
    return [f"{one.part} ({one.bits_share:.0%})" for one in parts]


def _cells(parts: Sequence[PartRead]) -> list[str]:
    return [interval(one.share, 2) for one in parts]


def _needed(of: Reading) -> str:
    """Texts to 99%, or the most that were tried."""
    return f"> {of.most_texts}" if of.texts_to_99 is None else f"{of.texts_to_99:.1f}"
