"""Notebooks without Jupyter: their cells, and a program that runs these in order and shows what a cell ends with."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

SHOW = """
def _show(value):
    print(">>>", type(value).__name__, len(value._repr_html_()) if hasattr(value, "_repr_html_") else repr(value))
"""
"""Shows a value as a notebook would: as HTML if it has any."""


def cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def program(path: Path) -> str:
    """A Python program that runs the code cells in their order.

    Each cell that ends with an expression shows its value, unless a semicolon follows, as in Jupyter.
    """
    parts = [SHOW]
    for place, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            tree = ast.parse(source, f"cell {place}")
            last = tree.body[-1]
            if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
                show = ast.Call(ast.Name("_show", ast.Load()), [last.value], [])
                tree.body[-1] = ast.copy_location(ast.Expr(show), last)
            parts.append(ast.unparse(ast.fix_missing_locations(tree)))
    return "\n\n".join(parts) + "\n"
