"""Tables that fit a terminal: lines break between words, and columns without room continue below.

No column is left out, and no word is cut, unless a single word is wider than the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
"""Blanks between columns."""

LEAST = 4
"""Width that a column keeps on a terminal that is too narrow for its words."""


@dataclass(frozen=True)
class Column:
    """One column of plain text; breaks: its cells may break between words, as its header always may."""

    header: str
    cells: Sequence[str]
    right: bool
    breaks: bool

    @property
    def longest(self) -> int:
        """Width without any break."""
        return max(map(cell_len, [*self.header.split("\n"), *self.cells]), default=0)

    @property
    def least(self) -> int:
        """Width at which no word is cut, nor a cell that may not break."""
        cells = [word for cell in self.cells for word in cell.split()] if self.breaks else self.cells
        return max(map(cell_len, [*self.header.split(), *cells]), default=0)


@dataclass(frozen=True)
class TextTable:
    """A table as wide as its terminal allows.

    Columns that do not fit stand below the others, beside the first column of names again.
    """

    columns: Sequence[Column]
    header: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for place, part in enumerate(self.parts(options.max_width)):
            if place:
                yield ""
            yield self._drawn(part, options.max_width)

    def parts(self, width: int) -> Iterator[list[Column]]:
        """Columns that stand side by side, from the top down."""
        names = next((place for place, column in enumerate(self.columns) if not column.right), 0)
        part = list(self.columns[: names + 1])
        own = len(part)
        for column in self.columns[names + 1 :]:
            if len(part) > own and _width([one.least for one in (*part, column)]) > width:
                yield part
                part, own = [self.columns[names]], 1
            part.append(column)
        yield part

    def _drawn(self, part: Sequence[Column], width: int) -> Table:
        made = Table(box=None, pad_edge=False, show_header=self.header)
        for column, room in zip(part, widths(part, width), strict=True):
            justify: Literal["right", "left"] = "right" if column.right else "left"
            made.add_column(Text(column.header), justify=justify, overflow="fold", width=room)
        for cells in zip(*(column.cells for column in part), strict=True):
            made.add_row(*map(Text, cells))
        return made


def widths(part: Sequence[Column], width: int) -> list[int]:
    """Widths of columns side by side: the widest ones that can break give way first."""
    found, least = [column.longest for column in part], [column.least for column in part]
    for floor in (least, [min(LEAST, one) for one in least]):
        while _width(found) > width and (wider := [i for i, one in enumerate(found) if one > floor[i]]):
            found[max(wider, key=lambda i: found[i])] -= 1
    return found


def _width(columns: Sequence[int]) -> int:
    return sum(columns) + GAP * (len(columns) - 1)
