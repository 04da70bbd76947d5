"""Scores as rows of a table, and pandas, which is imported only when a table is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.result import METRICS, Result

if TYPE_CHECKING:
    import pandas as pd

ESTIMATES = tuple(f"{metric}{part}" for metric in METRICS for part in ("", "_low", "_high"))

COLUMNS = (
    *("task", "factor", "preset", "corpus", "levels", "replicates", "run", "protocol"),
    *("attributor", "version", "access", "knowledge", "floor", "target", "split", "status", "error", "rank"),
    *("chance", "n_train", "n_test", "log10_p", "p_test", "extraction", *ESTIMATES, "interval_over", "n_units"),
)
"""Columns of a table of scores.

Each metric has its value, and its 95% interval as `_low` and `_high`, which are missing if there are too few units.
interval_over, n_units: what the interval of the accuracy is over. Scores compare only if `protocol` is the same.
"""


def score_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Make one row of `COLUMNS` for each score."""
    about = {
        "task": result.task.name,
        "factor": result.factor.name,
        "preset": result.preset,
        "corpus": result.corpus.name,
        "levels": len(result.factor.levels),
        "replicates": len({variant.replicate for variant in result.variants}),
        "run": result.run.id,
        "protocol": result.protocol_digest,
    }
    for score in result.scores:
        who = score.attributor
        row = {**about, **{name: getattr(score, name) for name in COLUMNS if name in type(score).model_fields}}
        row |= {
            "attributor": who.name,
            **{name: getattr(who, name) for name in ("version", "access", "knowledge", "floor")},
        }
        for metric, found in score.metrics.items():
            row |= {metric: found.value, f"{metric}_low": found.low, f"{metric}_high": found.high}
        if accuracy := score.metrics.get("accuracy"):
            row |= {"interval_over": accuracy.units, "n_units": accuracy.n_units}
        yield row


def frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Make a table; raises UserError if pandas is missing."""
    return pandas().DataFrame.from_records([*rows], columns=[*columns])


def pandas() -> Any:
    """The library pandas; raises UserError if it is missing."""
    try:
        import pandas
    except ImportError as error:
        raise UserError(f"tables need pandas ({error})\n  pip install pandas") from None
    return pandas
