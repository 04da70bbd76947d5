"""HTML for notebooks: sentences, tables, and figures as images. Everything that a result names is escaped.

A figure is an SVG image inside its page: it needs no network and no JavaScript, and an image runs no script.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from natfp_bench.base.text import one_line
from natfp_bench.report.table import Heading, ReportTable

CELL = "padding:2px 10px 2px 0;vertical-align:top;text-align:"


def text(content: str) -> str:
    """Escape a text, and spell out its control characters."""
    return html.escape(one_line(content))


def paragraph(content: str, *, small: bool = False, strong: bool = False) -> str:
    """Make a paragraph of a text."""
    style = "font-size:85%;opacity:0.75;" if small else "font-weight:600;" if strong else ""
    return f'<p style="margin:0.3em 0;max-width:60em;{style}">{text(content)}</p>'


def table(made: ReportTable, *, caption: bool = True) -> str:
    """Make a table of the columns that a terminal shows, with its title above it and its caption below."""
    shown = made.plain()
    rows = []
    for row, texts in zip(shown.rows, shown.texts, strict=True):
        if isinstance(row, Heading):
            cells = f'<th colspan="{len(shown.columns)}" style="{CELL}left">{text(row.title)}</th>'
        else:
            cells = "".join(
                f'<td style="{CELL}{_side(column, shown.right)}">{text(cell)}</td>'
                for column, cell in zip(shown.columns, texts, strict=True)
            )
        rows.append(f"<tr>{cells}</tr>")
    head = "".join(
        f'<th style="{CELL}{_side(column, shown.right)}">{"<br>".join(map(text, column.split(chr(10))))}</th>'
        for column in shown.columns
    )
    below = paragraph(shown.caption, small=True) if caption and shown.caption else ""
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{paragraph(shown.title, strong=True) if shown.title else ''}{body}{below}"


def _side(column: str, right: Sequence[str]) -> str:
    return "right" if column in right else "left"


def image(spec: Mapping[str, Any], title: str) -> str:
    """Draw a Vega-Lite specification."""
    import vl_convert

    drawn = b64encode(vl_convert.vegalite_to_svg(dict(spec)).encode()).decode()
    return f'<img alt="{text(title)}" style="max-width:100%" src="data:image/svg+xml;base64,{drawn}">'


def block(*parts: str) -> str:
    """Put parts together."""
    return f"<div>{''.join(parts)}</div>"
