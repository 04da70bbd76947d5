"""Which of a user's own models wrote some texts, from Python."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natfp_bench import api

from .ask import given_texts
from .progress import plain_errors, watching

if TYPE_CHECKING:
    from natfp_bench.results.trace import Trace


@plain_errors
def trace(
    models: str | Path | Sequence[str | Path],
    texts: str | Sequence[str] = (),
    *,
    files: Sequence[Path | str] = (),
    preset: str = "quick",
    settings: Mapping[str, Any] | None = None,
    baselines: str = "fast",
    text_column: str = "text",
    seed: int = 0,
    limit: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    store: Path | str | None = None,
    output: Path | str = "results",
    progress: bool = True,
) -> Trace:
    """Say which of some models wrote some texts, or none of them, as `natfp-bench trace` does.

    Args:
        models: checkpoints, each a folder or a Hub id.
        texts: the texts themselves, by one source.
        files: files with more texts: plain text, or tables with a column of texts.
        preset: how many texts are sampled from each model, and of which length.
        settings: settings to change, by dotted path: `{"sampling.texts": 500}`.
        baselines: names and folders of classifiers separated by commas; the best one is asked.
        text_column: column of the texts in tables.
        seed: seed of the whole experiment.
        limit: use at most this many texts of each model.
        device: what models run on: auto, cpu or cuda.
        workers: number of worker processes; the default is one per core.
        store: folder of the store; the default is $NATFP_STORE, else the user cache folder.
        output: folder for the result of the run on the models.
        progress: show what happens, on standard error or in the notebook.

    Raises:
        UserError: no text or model is given, a model cannot be had or is given twice, or models cannot be compared.
    """
    listed = [models] if isinstance(models, str | Path) else models
    overrides = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in (settings or {}).items()
    }
    plan = api.plan_trace([str(one) for one in listed], preset, overrides=overrides, seed=seed, limit=limit)
    given = given_texts([texts] if isinstance(texts, str) else texts, files, text_column)
    with watching(shown=progress) as (_, watch):
        return api.trace(
            plan,
            given,
            baselines=baselines,
            store=store,
            output=output,
            device=device,
            workers=workers,
            watch=watch,
            warn=lambda message: warnings.warn(message, stacklevel=4),
        )
