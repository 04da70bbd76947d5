"""The test of grouped texts: by enumeration, its size where labels mean nothing, and where there is no test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from natfp_bench.statistics.group_test import OVER_GROUPS, WITHIN_GROUPS, group_log10_p


def guesses(right: list[int], k: int = 2) -> np.ndarray:
    """Certain answers."""
    return np.eye(k)[right]


def test_labels_over_groups_by_enumeration() -> None:
    """Eight groups of three texts: the p-value is the share of the 70 ways to give four groups each label."""
    guess = [0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1]
    groups, truth = np.repeat(np.arange(8), 3), np.repeat([0, 1], 12)
    found, test = group_log10_p(guesses(guess), truth, groups, 0)
    by_group = np.array(guess).reshape(8, 3).sum(axis=1)
    hits = [
        by_group[[*ones]].sum() + 12 - np.delete(by_group, ones).sum() - 0
        for ones in itertools.combinations(range(8), 4)
    ]
    observed = by_group[4:].sum() + 12 - by_group[:4].sum()
    assert test == OVER_GROUPS
    assert 10**found == pytest.approx(np.mean(np.array(hits) >= observed), abs=0.01)


def test_labels_within_groups_by_enumeration() -> None:
    """Six groups with both labels, two texts each: every group may be flipped."""
    rng = np.random.default_rng(0)
    groups, truth = np.repeat(np.arange(6), 4), np.tile([0, 0, 1, 1], 6)
    guess = np.where(rng.random(24) < 0.75, truth, 1 - truth)
    found, test = group_log10_p(guesses(guess.tolist()), truth, groups, 0)
    right = (guess == truth).reshape(6, 4).sum(axis=1)
    hits = [
        sum(4 - r if flip else r for r, flip in zip(right, flips, strict=True))
        for flips in itertools.product([0, 1], repeat=6)
    ]
    assert test == WITHIN_GROUPS
    assert 10**found == pytest.approx(np.mean(np.array(hits) >= right.sum()), abs=0.015)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("nested", [True, False])
def test_noise_of_groups_is_no_evidence(k: int, nested: bool) -> None:
    """What is guessed depends on the group, and not on the label."""
    p, groups = [], np.repeat(np.arange(6 * k), 8 * k)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = groups % k if nested else np.tile(np.repeat(np.arange(k), 8), 6 * k)
        cells = groups if nested else groups * k + truth
        leaning = rng.dirichlet(np.full(k, 0.5), size=cells.max() + 1).cumsum(axis=1)[cells]
        guess = (rng.random((len(groups), 1)) > leaning).sum(axis=1).clip(max=k - 1)
        found, test = group_log10_p(guesses(guess.tolist(), k), truth, groups, seed)
        assert test == (OVER_GROUPS if nested else WITHIN_GROUPS)
        p.append(10**found)
    assert np.mean(np.array(p) <= 0.05) <= scipy.stats.binom.isf(1e-3, 200, 0.05) / 200


def test_there_is_no_test_of_few_or_mixed_groups() -> None:
    truth = np.array([0, 0, 1, 1])
    assert group_log10_p(guesses([0, 0, 1, 1]), truth, truth, 0) == (
        None,
        "no test: too few groups for any p-value below 0.05",
    )
    mixed = np.array([0, 0, 1, 0])
    found, why = group_log10_p(guesses([0, 0, 1, 1]), truth, mixed, 0)
    assert (found, why) == (None, "no test: some groups have one label, others have several")


def test_shared_guesses_count_in_parts() -> None:
    even = np.full((12, 2), 0.5)
    found, _ = group_log10_p(even, np.tile([0, 1], 6), np.repeat(np.arange(6), 2), 0)
    assert found == pytest.approx(0.0)
