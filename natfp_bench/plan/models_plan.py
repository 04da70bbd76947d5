"""From models that a user names to a plan: a task without a file, whose levels are these models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.yaml_source import YamlSource

from .fields import MAX_LEVELS
from .make_plan import make_plan
from .plan import Plan

TRACE = "trace"
"""Name of the task, and its tag."""

NOBODY = "nobody"
"""The level that stands beside a single model, since a factor has two levels or more; no variant has it."""


def models_plan(
    models: Sequence[str],
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Plan:
    """Plan to sample texts from checkpoints, each a folder or a Hub id, and to tell them apart.

    Texts are not drawn in other ways, and none is transformed: the plan is about whose texts some are. A single model
    has a plan, too, with nothing to tell apart. The other arguments are those of `make_plan`, and so are the errors;
    UserError too if no model is named, one is named twice, or there are too many.
    """
    if not models:
        raise UserError(
            "no model is named\n  --model FOLDER, or --model OWNER/NAME of the Hub; several to compare them"
        )
    if twice := next((model for model in models if models.count(model) > 1), None):
        raise UserError(f"--model {twice} is given twice\n  name each model once")
    if len(models) > MAX_LEVELS:
        raise UserError(f"{len(models)} models are too many: at most {MAX_LEVELS} are allowed")
    named = _named(models)
    levels = named if len(named) > 1 else {**named, NOBODY: NOBODY}
    data: dict[str, Any] = {
        "task": TRACE,
        "version": 1,
        "summary": "Which of these models wrote a text?",
        "tags": [TRACE],
        "factor": {"name": "model", "fields": ["source.model"], "levels": levels},
        "settings": {"source": {"kind": "checkpoint"}, "sampling": {"block": 100}},
    }
    where: dict[tuple[str | int, ...], str] = {("factor", "levels", at): f"--model {of}" for at, of in named.items()}
    plan = make_plan(YamlSource(data, {(): "--model", **where}), preset, overrides=overrides, seed=seed, limit=limit)
    analysis = plan.analysis.model_copy(update={"transfer": False, "transforms": ()})
    return plan.model_copy(update={"analysis": analysis, "variants": plan.variants[: len(models)]})


def _named(models: Sequence[str]) -> dict[str, str]:
    """Give each model a short name: the last part of its own, with a number where two would have the same."""
    found: dict[str, str] = {}
    for model in models:
        last = model.rstrip("/").rpartition("/")[2]
        word = re.sub(r"[^A-Za-z0-9_.-]+", "_", last).strip("_.-")[:50] or "model"
        tries = (word, *(f"{word}-{number}" for number in range(2, len(models) + 2)))
        found[next(name for name in tries if name not in found and name != NOBODY)] = model
    return found
