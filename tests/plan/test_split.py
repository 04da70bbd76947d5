"""The split: no prompt is on both sides, a prefix keeps the proportions, and too few prompts are an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.errors import UserError
from natfp_bench.plan.split import folds
from natfp_bench.plan.split import test_rows as rows_to_test
from natfp_bench.plan.task_files import SplitSpec


@given(st.integers(2, 12), st.integers(1, 40), st.integers(1, 300))
def test_a_prompt_is_never_on_both_sides(every: int, prompts: int, texts: int) -> None:
    of = np.arange(texts) % prompts
    spec = SplitSpec(test_every=every)
    if min(texts, prompts) < every:
        with pytest.raises(UserError, match="too few to keep one in"):
            rows_to_test(of, spec)
        return
    mask = rows_to_test(of, spec)
    assert mask.dtype == np.bool_
    assert not set(of[mask]) & set(of[~mask])
    assert len(set(of[mask])) == min(texts, prompts) // every


@given(st.integers(2, 9), st.integers(20, 200), st.integers(10, 199))
def test_a_prefix_is_split_as_in_the_whole(every: int, texts: int, limit: int) -> None:
    spec = SplitSpec(test_every=every)
    prompts = np.arange(texts)
    limit = min(limit, texts)
    whole = rows_to_test(prompts, spec)
    assert np.array_equal(rows_to_test(prompts[:limit], spec), whole[:limit])
    assert whole[:limit].sum() == limit // every


def test_one_prompt_cannot_be_split() -> None:
    for prompt in (0, 3):
        with pytest.raises(UserError, match="1 prompts are too few to keep one in 4"):
            rows_to_test(np.full(50, prompt), SplitSpec(test_every=4))


REPLICATES = np.array([0, 0, 1, 1, 3, 3])
"""Two levels in each of three replicates; replicate 2 was left out."""


def test_unseen_prompt_is_one_fit_of_all_variants() -> None:
    [fold] = folds("unseen_prompt", REPLICATES)
    assert fold.number == 0
    assert fold.known.all()
    assert fold.tested.all()


def test_each_replicate_is_held_out_once_at_every_level() -> None:
    found = folds("unseen_replicate", REPLICATES)
    assert [fold.number for fold in found] == [0, 1, 3], "a fold has the number of its replicate"
    for fold in found:
        assert fold.tested.tolist() == (fold.number == REPLICATES).tolist()
        assert fold.known.tolist() == (fold.number != REPLICATES).tolist()
    assert np.sum([fold.tested for fold in found], axis=0).tolist() == [1] * 6


def test_seen_replicates_are_tested_by_the_same_fits() -> None:
    unseen, seen = (folds(f"{which}_replicate", REPLICATES) for which in ("unseen", "seen"))
    for one, other in zip(unseen, seen, strict=True):
        assert one.number == other.number
        assert np.array_equal(one.known, other.known), "the same fit"
        assert np.array_equal(other.tested, other.known)
        assert not (one.tested & other.tested).any()


def test_no_other_split_is_known() -> None:
    with pytest.raises(ValueError, match="no split 'unseen_level'"):
        folds("unseen_level", REPLICATES)
