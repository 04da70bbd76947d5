"""Canaries: a fit that learns some texts with a wrong label, and is asked about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from natfp_bench.base.records import Record

from .prediction import Answered, LabelledTexts, PredictionMeta
from .stage import Workplace


class Canary(Record):
    """A text that others may know; shown: the label that is learnt; public: the label that others may know."""

    text: str
    shown: str
    public: str


@dataclass(frozen=True, eq=False)
class Canaries(Answered):
    """A fit to all sample sets and to canaries, and what it says of the canaries."""

    name = "canaries"

    canaries: tuple[Canary, ...] = field(kw_only=True)

    def run(self, at: Workplace) -> PredictionMeta:
        """Fit, and answer for the canaries."""
        parts = [*self.read_texts(at.store)]
        for number, one in enumerate(self.canaries):
            parts.append(LabelledTexts(one.shown, [one.text], np.array([-1 - number]), np.array([False])))
        return self.keep(at, parts, [one.text for one in self.canaries])
