"""Text and tables as GitHub Markdown, escaped so that no text is read as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .text import printable

MARKUP = re.compile(r"[\\`*\[\]<|~&$#]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that GitHub may read as markup, mathematics or an entity; an underscore within a word is safe."""


def escape(text: str) -> str:
    """Escape text for prose or a table cell, and put it on one line."""
    return MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))


def code(text: str) -> str:
    """Escape text and show it as code. Within a table, backticks cannot hold every text; a tag can."""
    return f"<code>{escape(text)}</code>" if text else ""


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Lay out a table. Cells are Markdown already; column names are escaped; `right` names right-aligned columns."""
    rule = ["---:" if column in right else "---" for column in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ([*map(escape, columns)], rule, *rows))
