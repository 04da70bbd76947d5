"""What tests of plans share: a task, the faults of others like it, and settings as a flat mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import flatten
from natfp_bench.plan.make_plan import plan_file
from natfp_bench.plan.plan import Variant
from natfp_bench.plan.settings import Settings
from natfp_bench.plan.task_files import leaves

TASK = """\
task: t
version: 1
summary: A task of the tests.
factor:
  name: peak learning rate
  fields: [optimizer.lr]
  levels:
    low: 1e-3
    high: 1e-2
"""

TRAINED = [path for path in leaves(Settings) if not path.startswith("source.")]
"""Settings of models that are trained here."""


def task_faults(text: str) -> list[str]:
    """Write a task to `t.yaml` in the working folder, and return its faults at the preset `smoke`."""
    path = Path("t.yaml")
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        plan_file(path, "smoke")
    return list(caught.value.faults)


def flat(variant: Variant) -> dict[str, Any]:
    """Settings of a variant by dotted path."""
    return dict(flatten(variant.settings.model_dump()))
