"""Plans of curves: which numbers of texts make one, and how many rows they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.errors import UserError
from natfp_bench.plan.curve import plan_curve
from natfp_bench.plan.split import is_test, rows_for


@given(train=st.integers(1, 3000), every=st.integers(2, 9), prompts=st.integers(1, 400))
def test_rows_are_enough_for_any_number_of_prompts(train: int, every: int, prompts: int) -> None:
    rows = np.arange(rows_for(train, every))
    # With one (empty) prompt, each row counts as its own.
    asked = rows if prompts == 1 else rows % prompts
    assert (~is_test(asked, every)).sum() >= train


def test_rows_are_no_more_than_unprompted_texts_need() -> None:
    for train in range(1, 200):
        rows = np.arange(rows_for(train, 4) - 1)
        assert (~is_test(rows, 4)).sum() <= train


def test_texts_may_be_written_as_python_writes_numbers() -> None:
    assert plan_curve("seed_id", "smoke", ["20", 40, "1_000"]).texts == (20, 40, 1000)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["20"], "--texts 20: a curve needs two numbers"),
        ([], "a curve needs two numbers"),
        ([20, 20], "--texts 20,20: each number must be larger than the one before it"),
        ([40, 20], "must be larger"),
        (["20", "x2"], "'x2' is no number of texts"),
        (["20", "-40"], "'-40' is no number of texts"),
        (["20", "40.5"], "'40.5' is no number of texts"),
        ([True, 20], "'True' is no number of texts"),
        ([2, 20], "2 training texts per model are too few\n  take at least 8"),
        (list(range(8, 60)), "52 points are too many, 30 are allowed"),
        ([20, 10_000_000], "blocks of 100 texts for each variant, 1,000 are allowed\n  take at most 75,000"),
    ],
)
def test_what_makes_no_curve_is_refused(texts: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_curve("seed_id", "smoke", texts)
    assert said in str(caught.value)


def test_the_most_that_is_advised_is_allowed() -> None:
    assert plan_curve("seed_id", "smoke", [20, 75_000]).rows(75_000) == 100_000
