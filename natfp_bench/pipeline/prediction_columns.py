"""The columns of `predictions.parquet`, which stands beside `result.json` and is as public."""

from __future__ import annotations

import pyarrow as pa

PREDICTIONS = pa.schema(
    {
        "variant": pa.string(),
        "row": pa.int64(),
        "prompt": pa.int64(),
        "fold": pa.int32(),
        "split": pa.string(),
        "target": pa.string(),
        "attributor": pa.string(),
        "label": pa.string(),
        "proba": pa.list_(pa.float64()),
    }
)
"""Columns of `predictions.parquet`: `label` is the true class; `proba` has one probability per class of the score."""
