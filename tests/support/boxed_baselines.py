"""Classifiers that say what they saw from inside their box, with a sandbox of the system around it and without."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from written_baselines import write

from natfp_bench.attributors import registry, sandbox
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.planted import planted
from natfp_bench.base.errors import AttributorError

WHY = sandbox.missing()
NEEDED = (pytest.mark.slow, pytest.mark.skipif(WHY is not None, reason=f"no sandbox: {WHY}"))
SANDBOX = pytest.param(True, id="sandbox", marks=NEEDED)
BOTH = pytest.mark.parametrize("sandboxed", [pytest.param(False, id="process"), SANDBOX])
INSIDE = pytest.mark.parametrize("sandboxed", [SANDBOX])

SMALL = "limits: {seconds: 60, memory_mb: 400}\n"

CODE = """
import numpy as np
class Mine:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        {fit}
        return self
    def predict_proba(self, texts):
        {ask}
        return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))
def build(seed):
    return Mine()
"""


def baseline(parent: Path, *, fit: str = "pass", ask: str = "pass", card: str = "") -> registry.Baseline:
    def indented(code: str) -> str:
        return textwrap.indent(textwrap.dedent(code).strip(), " " * 8).strip()

    code = CODE.format(fit=indented(fit), ask=indented(ask))
    return registry.read(write(parent, code, card=card))


def answered(one: registry.Baseline, sandboxed: bool, hidden: tuple[Path, ...] = ()) -> Any:
    (texts, labels), (test, _) = planted(12, "train"), planted(12, "test")
    with Box(one, sandboxed, hidden) as box:
        return attribute(box.build, 0, texts, labels, list(range(12)), test)


def outcome(one: registry.Baseline, sandboxed: bool, hidden: tuple[Path, ...] = ()) -> str:
    """What a classifier saw, which it says by raising it."""
    with pytest.raises(AttributorError) as caught:
        answered(one, sandboxed, hidden)
    return str(caught.value)
