"""A table with its caption, as plain data: the terminal, Markdown and the pages of a site render the same one.

Pages show more of a cell than its text: a link, a bar, a badge, and the number that it is sorted by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natfp_bench.statistics.intervals import Interval

BAR = 120
"""Width of the scale of a bar from 0 to 1, in its own units."""

BELOW = -0.25
"""Where the scale of a bar begins: estimates may be below 0, which is chance."""

LEAST_P = 0.0001
"""A smaller p is printed as smaller than this: its digits would say nothing."""


@dataclass(frozen=True)
class Bar:
    """An estimate on a scale from BELOW to 1: an interval from low to high, a dot `at`, a tick `mark`.

    All are in units of BAR from 0 to 1, so they are negative below 0.
    """

    at: float
    low: float | None
    high: float | None
    mark: float | None
    label: str


@dataclass(frozen=True)
class Cell:
    """One cell.

    about: the protocol digest or the attributor whose page it links to. sort: number to sort by, its text if None.
    """

    text: str = ""
    about: str = ""
    sort: float | None = None
    bar: Bar | None = None
    badge: bool = False


@dataclass(frozen=True)
class Heading:
    """Stands between rows: a section's title and, for pages, what its rows have in common. Rows sort within it."""

    title: str
    about: str = ""


TableRow = Sequence[str | Cell] | Heading


@dataclass(frozen=True)
class ReportTable:
    """A table and how to read it.

    right: columns of numbers. loose: columns that break their lines first if space is short. wide: columns that a
    narrow terminal leaves out. bars: columns that only pages show; bar_caption: how to read these.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    right: Sequence[str] = ()
    loose: Sequence[str] = ()
    wide: Sequence[str] = ()
    caption: str = ""
    bars: Sequence[str] = ()
    bar_caption: str = ""

    def plain(self, *, narrow: bool = False) -> ReportTable:
        """Leave out the columns of bars and, for a narrow terminal, the wide ones."""
        hidden = {*self.bars, *(self.wide if narrow else ())}
        kept = [place for place, column in enumerate(self.columns) if column not in hidden]
        rows = [row if isinstance(row, Heading) else [row[place] for place in kept] for row in self.rows]
        return replace(self, columns=[self.columns[place] for place in kept], rows=rows, bars=())

    @property
    def texts(self) -> list[list[str]]:
        """All rows as texts; a heading is a row with its title in the first column."""
        empty = [""] * (len(self.columns) - 1)
        return [
            [f"{row.title}:", *empty] if isinstance(row, Heading) else [cell.text for cell in _cells(row)]
            for row in self.rows
        ]

    @property
    def sections(self) -> list[tuple[Heading | None, list[list[Cell]]]]:
        """Rows of cells, heading by heading."""
        found: list[tuple[Heading | None, list[list[Cell]]]] = []
        for row in self.rows:
            if isinstance(row, Heading):
                found.append((row, []))
            else:
                if not found:
                    found.append((None, []))
                found[-1][1].append(_cells(row))
        return found


def _cells(row: Sequence[str | Cell]) -> list[Cell]:
    return [Cell(cell) if isinstance(cell, str) else cell for cell in row]


def number(value: float, digits: int = 3) -> str:
    """Print a number; a value that rounds to zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def interval(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate with its 95% interval, if it has one: `0.512 0.497–0.527`."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return number(found.value, digits)
    dash = "–" if found.low >= 0 else " to "
    return f"{number(found.value, digits)} {number(found.low, digits)}{dash}{number(found.high, digits)}"


def in_words(found: Interval, digits: int = 2, *, label: bool = True) -> str:
    """`0.68 (95% interval 0.67 to 0.69)`, or the reason why there is no interval."""
    if found.low is None or found.high is None:
        return f"{number(found.value, digits)} ({found.n_units} {found.units}: no interval)"
    ends = f"{number(found.low, digits)} to {number(found.high, digits)}"
    return f"{number(found.value, digits)} ({'95% interval ' * label}{ends})"


def spread(found: Interval | None, digits: int = 2) -> str:
    """Print an estimate, with half the width of its interval if that is symmetric: `0.51 ± 0.02`."""
    if found is None:
        return ""
    half = (
        f" ± {number(found.high - found.value, digits)}"
        if found.method.endswith("t") and found.high is not None
        else ""
    )
    return number(found.value, digits) + half


def value(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate without its interval."""
    return "" if found is None else number(found.value, digits)


def log_p(log10_p: float | None) -> str:
    """Print a p-value from its logarithm to base 10."""
    if log10_p is None:
        return ""
    return "< 1e-16" if log10_p < -16 else f"1e{log10_p:.0f}" if log10_p <= -3 else f"{10**log10_p:.3f}"


def plain_p(p: float | None) -> str:
    """Print a p-value; one that is tiny only as that."""
    return "" if p is None else "<0.0001" if p < LEAST_P else f"{p:.3f}" if p >= 0.001 else f"{p:.4f}"


def p_words(p: float | None, *, at_most: bool = False) -> str:
    """Print a p-value in a sentence: `p = 0.012`, `p below 0.0001`; at_most: it is the largest of several."""
    printed = plain_p(p)
    if printed.startswith("<"):
        return f"p below {printed[1:]}"
    return f"p at most {printed}" if at_most else f"p = {printed}"


def test_verdict(*, agrees: bool, sound: bool) -> str:
    """Say what became of the prediction of a point that was held out."""
    if not agrees:
        return "did not hold"
    return "held" if sound else "held, within an interval too wide to build on"


def estimate_cell(found: Interval | None, text: str) -> Cell:
    """Show an estimate as text, sorted by its value."""
    return Cell(text, sort=None if found is None else found.value)


def number_cell(value: float | None, form: str) -> Cell:
    """Show a number in a format, sorted by its value; an empty cell for None."""
    return Cell("" if value is None else format(value, form), sort=value)


def bar_cell(found: Interval | None, mark: float | None = None) -> Cell:
    """Draw an estimate on a scale from BELOW to 1; what does not fit is printed in numbers, not cut off."""
    if found is None:
        return Cell()
    ends = (found.value, found.low, found.high, mark)
    if not all(BELOW <= at <= 1.0 for at in ends if at is not None):
        return Cell(interval(found, 2), sort=found.value)
    at, low, high, tick = (None if end is None else round(BAR * end, 1) for end in ends)
    return Cell(sort=found.value, bar=Bar(at or 0.0, low, high, tick, interval(found, 2)))
