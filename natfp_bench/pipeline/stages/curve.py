"""A point of a curve: an attributor learns from so many texts of each variant, and answers for the usual test texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError
from natfp_bench.base.limits import Limits
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline.store import Store
from natfp_bench.plan import split

from .prediction import Answered, LabelledTexts, PredictionMeta
from .sample import SampleStage
from .stage import Workplace


@dataclass(frozen=True, eq=False)
class CurvePrediction(Answered):
    """One fit to the first `learnt` training texts of each variant.

    samples, texts: the sample sets whose test texts are asked about, as of every prediction. further: sample sets that
    are long enough for the training texts, one of each variant; they begin as `samples` do. known: which variants the
    fit learns from.
    """

    name = "curve"

    known: tuple[bool, ...]
    further: tuple[tuple[SampleStage, ...], ...]
    learnt: int

    @property
    def limits(self) -> Limits | None:
        """What the card allows for the usual texts, and as much more as there are more texts."""
        return self.stretched(self.learnt / self.texts)

    def run(self, at: Workplace) -> PredictionMeta:
        """Fit, and answer for the test texts of all sample sets, one set after another."""
        asked = [text for part in self.read_texts(at.store) for text in part.side(test=True)]
        shown = [
            self.training_texts(at.store, label, stages)
            for label, stages, known in zip(self.labels, self.further, self.known, strict=True)
            if known
        ]
        return self.keep(at, shown, asked)

    def training_texts(self, store: Store, label: str, stages: Sequence[SampleStage]) -> LabelledTexts:
        """The first training texts of a variant; only texts and prompts are read, and no more blocks than needed."""
        texts, prompts = list[str](), list[NDArray[np.int64]]()
        for stage in stages:
            table = pq.read_table(stage.folder(store) / "samples.parquet", columns=["text", "prompt"])
            numbers = table["prompt"].to_numpy().astype(np.int64)
            train = np.flatnonzero(~split.is_test(numbers, self.split.test_every))[: self.learnt - len(texts)]
            found = table["text"].take(train).to_pylist()
            texts += found if self.cut is None else [first_bytes(text, self.cut) for text in found]
            prompts.append(numbers[train])
            if len(texts) == self.learnt:
                break
        if len(texts) < self.learnt:
            raise UserError(f"{label}: {len(texts):,} training texts are all there are, and {self.learnt:,} are wanted")
        return LabelledTexts(label, texts, np.concatenate(prompts), np.zeros(len(texts), dtype=np.bool_))
