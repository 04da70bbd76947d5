"""A curve: one task, and several numbers of training texts per variant, all tested on the task's own test texts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record

from .make_plan import make_plan
from .plan import Plan
from .split import rows_for
from .text_settings import MAX_BLOCKS

FEWEST_TEXTS = 8
"""Fewest training texts of a variant: most classifiers choose a penalty inside training, on parts of these texts."""

MOST_POINTS = 30
"""Most points of a curve: each is a fit of every attributor."""

NUMBER = re.compile(r"[0-9]+(?:_[0-9]+)*")


class CurvePlan(Record):
    """A plan, and the numbers of training texts per variant that attributors learn from, in increasing order."""

    plan: Plan
    texts: tuple[int, ...]

    @property
    def test_every(self) -> int:
        """One prompt in so many is for testing."""
        return self.plan.split.test_every

    def rows(self, texts: int) -> int:
        """How many rows of a sample set are enough for so many training texts."""
        return rows_for(texts, self.test_every)


def plan_curve(task: str, preset: str, texts: Sequence[int | str], **options: Any) -> CurvePlan:
    """Plan a curve; the options are those of `make_plan`.

    Raises UserError if the numbers of texts are no such numbers, do not increase, are too few for a fit or too many for
    a sample set, and whatever `make_plan` raises.
    """
    numbers = _numbers(texts)
    plan = make_plan(task, preset, **options)
    made = CurvePlan(plan=plan, texts=numbers)
    block = plan.variants[0].settings.sampling.block
    if (blocks := -(-made.rows(numbers[-1]) // block)) > MAX_BLOCKS:
        most = MAX_BLOCKS * block * (made.test_every - 1) // made.test_every
        raise UserError(
            f"--texts {numbers[-1]}: {blocks:,} blocks of {block} texts for each variant, {MAX_BLOCKS:,} are allowed\n"
            f"  take at most {most:,}, or larger blocks (--set sampling.block=..., which gives other texts)"
        )
    return made


def _numbers(given: Sequence[int | str]) -> tuple[int, ...]:
    """Read the numbers of texts; raises UserError for the first fault."""
    shown = f"--texts {','.join(map(str, given))}"
    example = "\n  for example --texts 250,1000,4000"
    for one in given:
        if isinstance(one, bool) or not NUMBER.fullmatch(str(one).strip()):
            raise UserError(f"{shown}: {str(one)!r} is no number of texts{example}")
    found = tuple(int(one) for one in given)
    if len(found) < 2:
        raise UserError(f"{shown}: a curve needs two numbers of texts or more{example}")
    if len(found) > MOST_POINTS:
        raise UserError(f"{shown}: {len(found)} points are too many, {MOST_POINTS} are allowed")
    if any(later <= earlier for earlier, later in itertools.pairwise(found)):
        raise UserError(f"{shown}: each number must be larger than the one before it{example}")
    if found[0] < FEWEST_TEXTS:
        raise UserError(f"{shown}: {found[0]} training texts per model are too few\n  take at least {FEWEST_TEXTS}")
    return found
