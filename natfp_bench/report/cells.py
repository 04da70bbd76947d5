"""A table as plain cells with a caption, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sheet:
    """A table and how to read it, for a terminal and for a page alike.

    right: columns of numbers. loose: columns that break their lines first where space is short. wide: columns that a
    narrow terminal leaves out.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    loose: Sequence[str] = ()
    wide: Sequence[str] = ()
    caption: str = ""

    def narrow(self) -> Sheet:
        """Leave out the wide columns."""
        kept = [index for index, column in enumerate(self.columns) if column not in self.wide]
        columns, rows = [self.columns[index] for index in kept], [[row[index] for index in kept] for row in self.rows]
        return replace(self, columns=columns, rows=rows)


def printable(text: str) -> str:
    """Spell out what a terminal might obey: names, errors and words may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
