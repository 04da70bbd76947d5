"""A test against chance for texts in groups, such as authors or threads, which are no independent trials.

Texts of one group share more than their label. What a fit learnt from other groups says nothing about these groups, so
if labels mean nothing, they could as well have been given to the groups in another way.
"""

from __future__ import annotations

import math

import numpy as np

from natfp_bench.base import streams

from .intervals import BLOCK, Floats, Ints
from .per_text import guess_shares
from .replication import SIGNIFICANT

PERMUTATIONS = 9_999

OVER_GROUPS = "labels permuted over groups"
WITHIN_GROUPS = "labels permuted within groups"


def group_log10_p(proba: Floats, truth: Ints, groups: Ints, seed: int) -> tuple[float | None, str]:
    """One-sided p-value of the accuracy, as log10, and the test that gave it; or None, and why there is none.

    proba (n, k), truth (n,), groups (n,). If each group has one label, labels are permuted over groups. If each group
    has several, the texts of a group and a label are one cell, and labels are permuted over the cells of each group.
    The statistic is the mean recall of the labels: labels with few large groups and labels with many small ones
    exchange groups, and a classifier that merely prefers one label must gain nothing by it. p = (1 + #{permuted >=
    observed}) / (1 + permutations) (Phipson and Smyth 2010).
    """
    cells, cell = np.unique(np.column_stack([groups, truth]), axis=0, return_inverse=True)
    group, label = cells.T
    hits = np.zeros((len(cells), proba.shape[1]))
    np.add.at(hits, cell.ravel(), guess_shares(proba))
    size = np.unique(group, return_counts=True)[1]
    if (size == 1).all():
        # One block: a label may go to any group.
        block, test, orders = np.zeros_like(group), OVER_GROUPS, _orders(label)
    elif (size > 1).all():
        block, test = np.repeat(np.arange(len(size)), size), WITHIN_GROUPS
        orders = sum(math.lgamma(n + 1) for n in size.tolist())
    else:
        return None, "no test: some groups have one label, others have several"
    if math.exp(-orders) > SIGNIFICANT:
        return None, "no test: too few groups for any p-value below 0.05"
    texts = np.bincount(cell.ravel()).astype(np.float64)

    def recall(labels: Ints) -> Floats:
        """Mean over labels of the share of their texts that are named; labels (labellings, cells)."""
        shares = []
        for k in range(proba.shape[1]):
            named = (labels == k).astype(np.float64)
            shares.append((named @ hits[:, k]) / np.maximum(named @ texts, 1.0))
        return np.asarray(np.mean(shares, axis=0))

    observed = float(recall(label))
    reached = 0
    for number in range(-(-PERMUTATIONS // BLOCK)):
        rows = min(BLOCK, PERMUTATIONS - number * BLOCK)
        luck = streams.uniforms([number], rows * len(cells), "group test", seed).reshape(rows, -1)
        # Cells are sorted by group, so sorting by block and luck exchanges labels within blocks.
        order = np.argsort(block + luck, axis=1)
        reached += int(np.count_nonzero(recall(label[order]) >= observed - 1e-9))
    return math.log10((1 + reached) / (1 + PERMUTATIONS)), test


def _orders(label: Ints) -> float:
    """Log of the number of distinct ways to give the labels to the groups."""
    return math.lgamma(len(label) + 1) - sum(math.lgamma(n + 1) for n in np.bincount(label).tolist())
