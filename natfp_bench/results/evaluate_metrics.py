"""The metrics of natfp_bench as a module for the library evaluate, which copies this file and imports the copy.

    evaluate.load(natfp_bench.evaluate_module()).compute(predictions=proba, references=truth, prompts=prompts)

Nothing in the package imports it. evaluate reads the imports of this file line by line, so each import has a line of
its own. Those of natfp_bench are absolute because the copy is elsewhere.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

from natfp_bench.statistics import metrics

NAMES = ("accuracy", "identifiability", "bits", "macro_f1")

DESCRIPTION = """
How well texts are attributed to their sources: accuracy (ties are shared), identifiability (chance 0, certainty 1),
bits per text above chance (probabilities are mixed with 0.001 of uniform ones) and macro F1, each with its 95%
interval: bootstrapped over prompts, or Wilson's near 0 and 1. Chance is 1/k, so classes must be balanced.
"""

INPUTS = """
predictions: probabilities of the k classes for each text; rows sum to one.
references: the true class of each text, from 0 to k - 1.
prompts (optional): the prompt that each text continues; texts of one prompt are not independent evidence. Without it,
all texts count as independent.
seed (optional): seed of the bootstrap.
"""


class IdentifiabilityMetrics(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """Accuracy, identifiability, bits and macro F1, each with `_low` and `_high`."""

    def _info(self) -> evaluate.MetricInfo:
        features = {
            "predictions": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Value("int64"),
        }
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Suzuki, Ri and Takase, Natural Fingerprints of Large Language Models, arXiv:2504.14871",
            inputs_description=INPUTS,
            features=datasets.Features(features),
        )

    def _compute(
        self, predictions: Any, references: Any, prompts: Any = None, seed: int = 0
    ) -> dict[str, float | None]:
        proba = np.asarray(predictions, dtype=np.float64)
        truth = np.asarray(references, dtype=np.int64)
        if proba.ndim != 2 or (proba < 0).any() or not np.allclose(proba.sum(axis=1), 1, atol=1e-6):
            raise ValueError(
                "predictions must be probabilities of all classes, one row per text, and rows must sum to one"
            )
        if len(truth) and not 0 <= truth.min() <= truth.max() < proba.shape[1]:
            raise ValueError(
                f"references must be classes from 0 to {proba.shape[1] - 1}, one for each column of predictions"
            )
        cluster = np.arange(len(truth)) if prompts is None else np.unique(np.asarray(prompts), return_inverse=True)[1]
        found = metrics.score(proba, truth, cluster, seed)
        values: dict[str, float | None] = {}
        for name in NAMES:
            interval = found[name]
            values |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return values
