"""Canaries: a fit that learns some texts with a wrong label, and is asked about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.base.records import Record
from natfp_bench.pipeline.store import Store

from .prediction import Labelled, LabelledTexts, PredictionMeta
from .stage import Workplace


class Canary(Record):
    """A text that others may know; shown: the label that is learnt; public: the label that others may know."""

    text: str
    shown: str
    public: str


@dataclass(frozen=True, eq=False)
class Canaries(Labelled):
    """A fit to all sample sets and to canaries, and what it says of the canaries."""

    kind, version, doing, name = "prediction", 3, "attribute", "canaries"
    meta_type = PredictionMeta

    canaries: tuple[Canary, ...] = field(kw_only=True)

    def run(self, at: Workplace) -> PredictionMeta:
        """Fit, and answer for the canaries."""
        parts = [*self.read_texts(at.store)]
        for number, one in enumerate(self.canaries):
            parts.append(LabelledTexts(one.shown, [one.text], np.array([-1 - number]), np.array([False])))
        asked = [one.text for one in self.canaries]
        with self.box(at.store, at.context) as box:
            found = self.answers(box, parts, asked)
        proba = pa.array(found.proba.tolist(), pa.list_(pa.float64()))
        pq.write_table(pa.table({"proba": proba}), at.folder / "proba.parquet")
        return PredictionMeta(
            classes=found.classes,
            n_train=sum(int((~part.test).sum()) for part in parts),
            n_test=len(asked),
            fit_seconds=round(found.fit_seconds, 3),
            predict_seconds=round(found.predict_seconds, 3),
            peak_mb=found.peak_mb,
        )

    def read(self, store: Store) -> NDArray[np.float64]:
        """Read the answers: (canaries, classes) float64."""
        table = pq.read_table(self.folder(store) / "proba.parquet")
        flat = table["proba"].combine_chunks().flatten().to_numpy()
        return np.asarray(flat.reshape(-1, len(set(self.labels))), dtype=np.float64)
