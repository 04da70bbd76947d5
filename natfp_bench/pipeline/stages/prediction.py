"""Predictions: an attributor learns from some labelled sample sets and answers for the test texts of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.attributors.box import Box
from natfp_bench.attributors.registry import MOST, Baseline
from natfp_bench.base.errors import AttributorError, JobError, NatfpError
from natfp_bench.base.limits import Limits
from natfp_bench.base.records import Record
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline.engine import Context
from natfp_bench.pipeline.store import Store
from natfp_bench.plan import split
from natfp_bench.plan.task_files import SplitSpec

from .knowledge import knowledge_of
from .sample import SampleStage, read_table
from .stage import Stage, Workplace

if TYPE_CHECKING:
    from natfp_bench.attributors.attribute import Attribution


USUAL = 16
"""Classes that what cards allow is meant for: attributors with weights for each class take more for more of them."""


class LabelledTexts(NamedTuple):
    """Texts of one label with their prompts, (n,), and which of them are for testing, (n,) bool."""

    label: str
    texts: list[str]
    prompts: NDArray[np.int64]
    test: NDArray[np.bool_]

    def side(self, *, test: bool) -> list[str]:
        """The texts for testing, or those for training."""
        return [text for text, is_test in zip(self.texts, self.test.tolist(), strict=True) if is_test == test]


@dataclass(frozen=True, eq=False)
class Labelled(Stage):
    """A stage that shows labelled sample sets to an attributor.

    texts: of each sample set. cut: bytes that texts are cut to, None if they are whole. sandboxed: whether the
    attributor is in a sandbox; what was answered outside of one is never taken for what was answered inside.
    knowledge: what its rung of the ladder is given beside labelled texts, as stages whose entries it may read; twins:
    models among these that belong to a class, with its label.
    """

    survived: ClassVar[tuple[type[NatfpError], ...]] = (AttributorError, JobError)

    baseline: Baseline
    seed: int
    labels: tuple[str, ...]
    samples: tuple[tuple[SampleStage, ...], ...]
    texts: int
    split: SplitSpec
    cut: int | None
    sandboxed: bool = field(default=False, kw_only=True)
    knowledge: tuple[Stage, ...] = field(default=(), kw_only=True)
    twins: tuple[tuple[str, Stage], ...] = field(default=(), kw_only=True)

    def box(self, store: Store, context: Context) -> Box:
        """Where the attributor's code runs."""
        known = knowledge_of(self.baseline.card.knowledge, self.knowledge, store, self.twins)
        return Box(self.baseline, self.sandboxed, (store.root,), started=context.started, knowledge=known)

    @property
    def allowed(self) -> Limits:
        """What the baseline's card allows for one fit, and as much more as there are more classes than `USUAL`."""
        return self.stretched(len(set(self.labels)) / USUAL)

    def stretched(self, more: float) -> Limits:
        """What the card allows, times a factor above 1, up to what any card may allow."""
        card, more = self.baseline.card.limits, max(1.0, more)
        seconds, memory = min(card.seconds * more, MOST.seconds), min(card.memory_mb * more, MOST.memory_mb)
        return Limits(seconds=seconds, memory_mb=int(memory))

    @property
    def limits(self) -> Limits | None:
        """What one fit may take."""
        return self.allowed

    def read_texts(self, store: Store) -> Iterator[LabelledTexts]:
        """Read the texts of one sample set after another."""
        for label, stages in zip(self.labels, self.samples, strict=True):
            table = read_table(store, stages, self.texts)
            whole = table["text"].to_pylist()
            texts = whole if self.cut is None else [first_bytes(text, self.cut) for text in whole]
            prompts = table["prompt"].to_numpy().astype(np.int64)
            yield LabelledTexts(label, texts, prompts, split.test_rows(prompts, self.split))

    def answers(self, box: Box, shown: Sequence[LabelledTexts], asked: Sequence[str]) -> Attribution:
        """Fit a fresh attributor to the training texts of some sample sets, and ask it about texts."""
        from natfp_bench.attributors.attribute import attribute

        train = [(part.label, text) for part in shown for text in part.side(test=False)]
        return attribute(
            box.build,
            self.seed,
            [text for _, text in train],
            [label for label, _ in train],
            [prompt for part in shown for prompt in part.prompts[~part.test].tolist()],
            asked,
        )


class PredictionMeta(Record):
    """The classes in the order of the answers, texts learnt from and answered for, time and memory."""

    classes: tuple[str, ...]
    n_train: int
    n_test: int
    fit_seconds: float
    predict_seconds: float
    peak_mb: int


class Answered(Labelled):
    """A stage that leaves an attributor's answers."""

    kind, version, doing = "prediction", 3, "attribute"
    meta_type = PredictionMeta

    def keep(self, at: Workplace, shown: Sequence[LabelledTexts], asked: Sequence[str]) -> PredictionMeta:
        """Fit to the training texts of some sample sets, and write the answers for texts."""
        with self.box(at.store, at.context) as box:
            found = self.answers(box, shown, asked)
        proba = pa.array(found.proba.tolist(), pa.list_(pa.float64()))
        pq.write_table(pa.table({"proba": proba}), at.folder / "proba.parquet")
        return PredictionMeta(
            classes=found.classes,
            n_train=sum(int((~part.test).sum()) for part in shown),
            n_test=len(asked),
            fit_seconds=round(found.fit_seconds, 3),
            predict_seconds=round(found.predict_seconds, 3),
            peak_mb=found.peak_mb,
        )

    def read(self, store: Store) -> NDArray[np.float64]:
        """Read the answers: (texts, classes) float64."""
        table = pq.read_table(self.folder(store) / "proba.parquet")
        flat = table["proba"].combine_chunks().flatten().to_numpy()
        return np.asarray(flat.reshape(-1, len(set(self.labels))), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Prediction(Answered):
    """One fit; known: which sample sets it learns from."""

    known: tuple[bool, ...]

    def run(self, at: Workplace) -> PredictionMeta:
        """Fit, and answer for the test texts of all sample sets, one set after another."""
        parts = [*self.read_texts(at.store)]
        shown = [part for part, known in zip(parts, self.known, strict=True) if known]
        return self.keep(at, shown, [text for part in parts for text in part.side(test=True)])
