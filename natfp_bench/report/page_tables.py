"""Tables of a page: cells that link, sort and carry a bar; every one is whole before any script runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from natfp_bench.pipeline.result import Length
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.results.leaderboard import AttributorRow, FactorRow, Section, Standing
from natfp_bench.results.protocols import Board, Row
from natfp_bench.statistics.metrics import Interval

from .cells import Sheet
from .sheets import interval, number, p_value, significance, spread, told_at, value

BAR = 120
"""Width of a bar's scale, in its own units."""

ABOUT: dict[Section, str] = {
    "held-out runs": "Told on runs that no attributor has seen: these are about the factor.",
    "seen runs only": "No run is held out: these are about the models at hand, and do not compare with those above.",
    "positive control": "Must come out far above chance.",
    "negative control": "Must come out at chance.",
    "older protocol": "The task or its settings have changed since: shown, not counted, and not to be compared.",
}


@dataclass(frozen=True)
class Bar:
    """An estimate on a scale from 0 to 1, in units of BAR: from low to high, a dot at the value, a tick at the mark."""

    at: float
    low: float | None
    high: float | None
    mark: float | None
    label: str


@dataclass(frozen=True)
class Cell:
    """One cell; sort: what it is sorted by, its text where that is None."""

    text: str = ""
    href: str = ""
    sort: float | None = None
    bar: Bar | None = None
    badge: bool = False


@dataclass(frozen=True)
class TableRow:
    """A row; tags: what a filter looks for."""

    cells: Sequence[Cell]
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Group:
    """Rows that compare with each other, and what they have in common; sorted within themselves."""

    rows: Sequence[TableRow]
    title: str = ""


@dataclass(frozen=True)
class Column:
    """A column; right: numbers."""

    title: str
    right: bool = False


@dataclass(frozen=True)
class Grid:
    """A table with its title and how to read it."""

    title: str
    columns: Sequence[Column]
    groups: Sequence[Group]
    caption: str = ""
    sortable: bool = True


Link = Callable[[str], str]
"""Where something's page is; empty where it has none."""


def of_sheet(sheet: Sheet, link: Link = lambda _: "", *, sortable: bool = True) -> Grid:
    """Make a plain table; `link`: where a first cell leads."""
    columns = [Column(title, title in sheet.right) for title in sheet.columns]
    rows = [
        TableRow([Cell(text, link(text) if place == 0 else "") for place, text in enumerate(row)]) for row in sheet.rows
    ]
    return Grid(sheet.title, columns, [Group(rows)], sheet.caption, sortable)


def bar(found: Interval | None, mark: float | None = None) -> Bar | None:
    """Draw an estimate on a scale from 0 to 1; what lies outside is drawn at its end."""
    if found is None:
        return None
    low, high, tick = (None if at is None else _within(at) for at in (found.low, found.high, mark))
    return Bar(_within(found.value), low, high, tick, interval(found, 2))


def _within(at: float) -> float:
    return round(BAR * min(max(at, 0.0), 1.0), 1)


def _number(found: Interval | None, text: str) -> Cell:
    return Cell(text, sort=None if found is None else found.value)


def factor_grid(standing: Standing, tags: dict[str, Sequence[str]], link: Link) -> Grid:
    """Make the leaderboard of factors: sections apart, for only rows of one section compare.

    tags and link go by protocol digest.
    """
    columns = [
        Column("task"),
        Column("factor"),
        Column("identifiability, 95%"),
        Column("reference", right=True),
        Column("best"),
        Column("ceiling", right=True),
        Column("bits", right=True),
        Column("p", right=True),
        Column("95% told at", right=True),
    ]
    groups: dict[Section, list[TableRow]] = {}
    for row in standing.factors:
        made = TableRow(_factor_cells(row, link), tags.get(row.protocol_digest, ()))
        groups.setdefault(row.section, []).append(made)
    references = sorted({row.reference for row in standing.factors if row.reference}) or ["none"]
    made_groups = [Group(rows, f"{section.capitalize()}. {ABOUT[section]}") for section, rows in groups.items()]
    caption = (
        f"The bar is the identifiability of the reference attributor ({', '.join(references)}), the tick on it that of "
        "the best one: for each part of the texts the one that is best on the others, so that no text is judged by an "
        "attributor that it helped to choose; where parts choose several, it may lie below each. "
        "The ceiling is what the models' own likelihoods reach on seen runs; bits are "
        "what the reference reads off a text there, of those that the ceiling reads. p is of the factor, by permuting "
        "levels within replicates, or, where no runs are held out, of these runs alone. The last column is the "
        "length at which accuracy reaches 0.95: reference, ceiling, predicted."
    )
    return Grid("Factors: how identifiable?", columns, made_groups, caption)


def _factor_cells(row: FactorRow, link: Link) -> list[Cell]:
    main, seen = row.unseen or row.seen, row.seen
    reference, best = (main.reference, main.best) if main else (None, None)
    ceiling = seen.ceiling if seen else None
    bits = " of ".join(filter(None, [value(seen.bits, 2), value(seen.ceiling_bits, 2)])) if seen else ""
    p = math.log10(row.permutation.p) if row.permutation else row.log10_p
    return [
        Cell(row.task, link(row.protocol_digest)),
        Cell(row.factor),
        Cell(sort=reference.value if reference else None, bar=bar(reference, best.value if best else None)),
        _number(reference, spread(reference)),
        _number(best, f"{value(best, 2)}\u00a0{', '.join(main.best_attributors) if main else ''}"),
        _number(ceiling, value(ceiling, 2)),
        _number(seen.bits if seen else None, bits),
        Cell(significance(row), sort=p),
        Cell(told_at(row.length), sort=_told_order(row.length)),
    ]


def _told_order(length: Length | None) -> float | None:
    """A number that sorts lengths by the reference attributor's, then the ceiling's, then the prediction."""
    if length is None:
        return None
    beyond = 10.0 * length.points[-1].at
    reached = (length.to_95, length.ceiling_to_95, length.predicted_to_95)
    return sum((beyond if at is None else at) * beyond**-place for place, at in enumerate(reached))


def attributor_grid(standing: Standing, link: Link) -> Grid:
    """Make the leaderboard of attributors; link goes by name."""
    columns = [Column("rank", right=True), Column("attributor"), Column("identifiability, 95%")]
    columns += [Column(name, right=True) for name in ("mean", "tasks", "failed", "fit, s", "predict, s")]
    rows = [TableRow(_attributor_cells(row, standing.tasks, link)) for row in standing.attributors]
    caption = (
        "Mean identifiability over tasks, on unseen runs where a task holds some out, else on seen ones, controls left "
        "out, with Student's 95% interval over tasks. Rank: 1 + the "
        "attributors that are significantly better, paired over tasks; none for who did not do every task in one "
        "version, nor where the tasks are too few for any difference to be significant. Seconds are of all fits and "
        "answers."
    )
    return Grid("Attributors: who tells best?", columns, [Group(rows)] if rows else [], caption)


def _attributor_cells(row: AttributorRow, tasks: int, link: Link) -> list[Cell]:
    name = row.attributor if len(row.digests) == 1 else f"{row.attributor} ({len(row.digests)} versions)"
    return [
        Cell(str(row.rank or ""), sort=row.rank, badge=row.rank == 1),
        Cell(name + (" (floor)" if row.floor else ""), link(row.attributor)),
        Cell(sort=row.identifiability.value if row.identifiability else None, bar=bar(row.identifiability)),
        _number(row.identifiability, spread(row.identifiability, 3)),
        Cell(f"{row.tasks} of {tasks}", sort=row.tasks),
        Cell(str(len(row.failed) or ""), sort=len(row.failed)),
        Cell(f"{row.fit_seconds:,.1f}", sort=row.fit_seconds),
        Cell(f"{row.predict_seconds:,.1f}", sort=row.predict_seconds),
    ]


SPLITS = {
    UNSEEN_REPLICATE: "on unseen runs",
    SEEN_REPLICATE: "on runs that the fit has seen",
    UNSEEN_PROMPT: "on unseen prompts of seen runs",
}


def board_grid(board: Board, link: Link) -> Grid:
    """Make the table of one protocol's attributors, for one target on one split."""
    columns = [Column("rank", right=True), Column("attributor"), Column("accuracy, 95%")]
    columns += [Column(name, right=True) for name in ("accuracy", "identifiability", "bits", "F1", "p")]
    rows = [TableRow(_board_cells(row, board.chance, link)) for row in board.rows]
    title = f"Which {board.target} of {board.classes}, {SPLITS.get(board.split, board.split)}?"
    caption = f"{board.n_test or 0:,} test texts; the tick on each bar is chance, {number(board.chance)}."
    if any(row.attributor == "likelihood_reference" for row in board.rows):
        caption += (
            " likelihood_reference knows the likelihoods of the models on the other runs, and not of those that wrote "
            "the test: no ceiling, so that others may be above it."
        )
    return Grid(title, columns, [Group(rows)], caption)


def _board_cells(row: Row, chance: float, link: Link) -> list[Cell]:
    if row.error:
        return [Cell(), Cell(row.attributor, link(row.attributor)), Cell(f"failed: {row.error}"), *[Cell()] * 5]
    return [
        Cell(str(row.rank or ""), sort=row.rank, badge=row.rank == 1),
        Cell(row.attributor, link(row.attributor)),
        Cell(sort=row.accuracy.value if row.accuracy else None, bar=bar(row.accuracy, chance)),
        _number(row.accuracy, interval(row.accuracy)),
        _number(row.identifiability, value(row.identifiability)),
        _number(row.bits, interval(row.bits)),
        _number(row.macro_f1, value(row.macro_f1)),
        Cell(p_value(row.log10_p), sort=row.log10_p),
    ]
