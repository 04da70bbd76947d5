"""The notebooks of the documentation: valid, stored without outputs, and every cell runs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from fresh_python import ROOT, python
from notebook_cells import cells, program

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))

VALUES = {
    "first_tour": [
        *("Result", "PosixPath", "DataFrame", "DataFrame", "Series", "LayerChart", "int", "Identification"),
        *("Results", "DataFrame", "PosixPath"),
    ],
    "your_classifier": ["ndarray", "Result", "DataFrame", "DataFrame", "Leaderboard"],
}
"""Types of the values that the cells of each notebook show."""


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(VALUES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_has_no_outputs(path: Path) -> None:
    """The rules of nbformat 4.5 that a notebook without outputs can break."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert set(found) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert set(found["metadata"]["kernelspec"]) >= {"name", "display_name"}
    assert found["metadata"]["language_info"] == {"name": "python"}
    names = [cell["id"] for cell in found["cells"]]
    assert len(set(names)) == len(names)
    for cell in found["cells"]:
        code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert cell["cell_type"] in ("code", "markdown")
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | code
        assert (cell.get("outputs", []), cell.get("execution_count"), cell["metadata"]) == ([], None, {})
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert "".join(cell["source"]).strip()
    assert found["cells"][0]["source"][0].startswith("# ")


def test_the_values_of_cells_are_shown(tmp_path: Path) -> None:
    source = [["import math\n", "x = 3\n", "x + 1"], ["x = 4\n", "str(x);"], ["def f(): return x"], ["f()"]]
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": one} for one in source]}))
    assert python("-c", program(path), folder=tmp_path) == ">>> int 4\n>>> int 4\n"
    assert all(isinstance(cell["source"], list) for cell in cells(path))
    ast.parse(program(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(program(path), encoding="utf-8")
    out = python("notebook.py", folder=tmp_path, NATFP_STORE=str(tmp_path / "store"))
    shown = [line.split()[1] for line in out.splitlines() if line.startswith(">>>")]
    assert shown == VALUES[path.stem]
