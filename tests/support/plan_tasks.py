"""What tests of plans share: a task, the faults of others like it, and settings as a flat mapping."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from natfp_bench.base.errors import SpecError
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Variant, values_of
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

ELSEWHERE = (
    "source.",
    "tuning.",
    "fork.",
    "derive.",
    "teacher.",
    "finetune.part",
    "finetune.topics",
    "finetune.file",
    "schedule.decay_at_stop",
    "budget.segments",
)
"""Settings that are shown only where they do not have their defaults."""

TRAINED = [path for path in leaves(Settings) if not path.startswith(ELSEWHERE)]
"""Settings of models that are trained here."""


def task_faults(text: str) -> list[str]:
    """Write a task to `t.yaml` in the working folder, and return its faults at the preset `smoke`."""
    path = Path("t.yaml")
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        make_plan(path, "smoke")
    return list(caught.value.faults)


def cases(text: str) -> list[tuple[str, str, list[str]]]:
    r"""Read a table of faults: a line `first | second`, then its faults as `line: what`.

    `\n` ends a line of a task, and a backslash at the end of a line of the table continues it.
    """
    found: list[tuple[str, str, list[str]]] = []
    for line in re.sub(r"\\\n +", "", text).splitlines():
        if " | " in line:
            first, second = line.replace(r"\n", "\n").split(" | ")
            found.append((first, second, []))
        elif line and not line.startswith("#"):
            found[-1][2].append(f"t.yaml:{line.strip()}")
    return found


def flat(variant: Variant) -> dict[str, Any]:
    """Settings of a variant by dotted path."""
    return values_of(variant.settings)
