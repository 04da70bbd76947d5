"""Folders of baselines that tests write, sound ones and ones with a fault."""

from __future__ import annotations

import textwrap
from pathlib import Path

CARD = 'name: {name}\nversion: "1"\nauthors: [A. Nonymous]\nsummary: A test.\nlicence: MIT\ncost: fast\n'


def write(parent: Path, code: str, *, name: str = "mine", card: str = "") -> Path:
    """Write the folder of a baseline; card: lines to add to its card."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "baseline.py").write_text(textwrap.dedent(code))
    (folder / "card.yaml").write_text(CARD.format(name=name) + card)
    return folder


FATAL = """
    import os, time
    class Fatal:
        def fit(self, texts, labels):
            {act}
        def predict_proba(self, texts):
            raise RuntimeError("not fitted")
    def build(seed):
        return Fatal()
"""


BASELINE = """
import os
import numpy as np
class Odd:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        return self
    def predict_proba(self, texts):
        return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))
    {fault}
def build(seed):
    return Odd()
"""


def plant(folder: Path, name: str, code: str) -> str:
    """Write the folder of a baseline; returns its path as `--baseline` takes it."""
    return str(write(folder, code, name=name))
