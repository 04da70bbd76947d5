"""Trees drawn from distances by neighbour joining, and their agreement with a known history.

Shapes, for V leaves: `distance` (V, V) float, symmetric with a zero diagonal; `shared` (V, V) int, how many ancestors
two leaves have in common, counted from the oldest one; `labels` (V,) int, the ancestor of each leaf; `blocks` (V,) int,
what else the leaves differ in.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.records import Record

from .intervals import FEWEST_UNITS, Floats, Interval, Ints, exact_mean, student_quantile, wilson_interval
from .replication import PermutationTest, permutation_test, relabelings

UNRESOLVED = 3
"""The number of a quartet without a topology; 0, 1 and 2 are ab|cd, ac|bd and ad|bc."""

MOST_QUARTETS = 20_000
"""If there are more quartets, so many are drawn."""

PERMUTATIONS = 999
"""Most relabelings of a test: none needs a fit."""


class Tree(Record):
    """An unrooted tree. Its leaves are the first nodes, in the order of the distances; inner nodes follow.

    parent: of each node, None for the last one, where the lines were joined last; this node is no common ancestor.
    length: of the branch above each node, 0 for the last one.
    """

    parent: tuple[int | None, ...]
    length: tuple[float, ...]
    leaves: int

    def path(self, node: int) -> list[int]:
        """A node and all nodes above it, the last one of the tree at the end."""
        found = [node]
        while (above := self.parent[found[-1]]) is not None:
            found.append(above)
        return found

    def between(self, lengths: Sequence[float]) -> Floats:
        """Sum of some lengths of branches, one per node, on the way from each leaf to each other: (V, V)."""
        on = np.zeros((self.leaves, len(self.parent)))
        for leaf in range(self.leaves):
            on[leaf, self.path(leaf)] = 1.0
        to_last = on @ np.asarray(lengths, dtype=np.float64)
        return np.asarray(to_last[:, None] + to_last - 2 * (on * lengths) @ on.T)

    def newick(self, names: Sequence[str]) -> str:
        """Write the tree in the Newick format, each name in quotation marks."""
        below: dict[int, list[int]] = {}
        for node, above in enumerate(self.parent):
            if above is not None:
                below.setdefault(above, []).append(node)

        def written(node: int) -> str:
            inside = ",".join(f"{written(one)}:{self.length[one]:.6g}" for one in below.get(node, ()))
            return f"({inside})" if inside else "'" + names[node].replace("'", "''") + "'"

        return f"{written(len(self.parent) - 1)};"


class Agreement(Record):
    """How much of a true history a tree shows: the share of its quartets that the tree resolves likewise.

    A quartet is four leaves of which the history says which two pairs belong together (Estabrook, McMorris and Meacham
    1985). A tree at random has a third of them right, and a quartet that the tree leaves open counts one third.
    share: with an interval over models; quartets: how many there are; drawn: whether these are a sample. test: the same
    share with the ancestors permuted among their descendants.
    """

    share: Interval
    quartets: int
    drawn: bool
    test: PermutationTest


def neighbour_joining(distance: Floats) -> Tree:
    """Join the two nodes that are neighbours, again and again (Saitou and Nei 1987; Studier and Keppler 1988).

    It finds the true tree, with its lengths, if the distances are sums of lengths along one. Of pairs that are
    equally near the first one is joined. A branch that noise makes negative has length 0, and the difference goes to
    the branch beside it (Kuhner and Felsenstein 1994). Raises ValueError for fewer than two leaves, and unless the
    distances are finite and symmetric.
    """
    given = np.asarray(distance, dtype=np.float64)
    n = len(given)
    if n < 2:
        raise ValueError(f"{n} leaves make no tree")
    if given.shape != (n, n) or not np.isfinite(given).all() or not np.allclose(given, given.T, atol=1e-12):
        raise ValueError("distances must be finite and symmetric")
    nodes = max(3, 2 * n - 2)
    d = np.zeros((nodes, nodes))
    d[:n, :n] = given
    parent: list[int | None] = [None] * nodes
    length, active = [0.0] * nodes, list(range(n))
    for joined in range(n, nodes - 1):
        now = d[np.ix_(active, active)]
        away = now.sum(axis=1)
        # Rounded, so that ties do not depend on the order of a sum.
        near = np.round((len(active) - 2) * now - away[:, None] - away[None], 12)
        np.fill_diagonal(near, np.inf)
        i, j = divmod(int(near.argmin()), len(active))
        a, b = active[i], active[j]
        to_a = (d[a, b] + (away[i] - away[j]) / (len(active) - 2)) / 2
        length[a], length[b] = _not_negative(to_a, d[a, b] - to_a)
        parent[a] = parent[b] = joined
        for other in active:
            d[joined, other] = d[other, joined] = (d[a, other] + d[b, other] - d[a, b]) / 2
        d[joined, joined] = 0.0
        active = [one for one in active if one not in (a, b)] + [joined]
    for one in active:
        others = [other for other in active if other != one]
        if len(others) == 1:  # a tree of two leaves
            length[one] = max(0.0, d[one, others[0]] / 2)
        else:
            length[one] = max(0.0, (d[one, others[0]] + d[one, others[1]] - d[others[0], others[1]]) / 2)
        parent[one] = nodes - 1
    return Tree(parent=tuple(parent), length=tuple(map(float, length)), leaves=n)


def _not_negative(a: float, b: float) -> tuple[float, float]:
    if a < 0:
        return 0.0, max(0.0, b + a)
    return (max(0.0, a + b), 0.0) if b < 0 else (a, b)


def quartets(leaves: int, seed: int = 0) -> Ints:
    """All sets of four leaves (n, 4), or MOST_QUARTETS of them, drawn with replacement from a named stream."""
    if math.comb(leaves, 4) <= MOST_QUARTETS:
        return np.array([*itertools.combinations(range(leaves), 4)], dtype=np.int64).reshape(-1, 4)
    drawn = streams.uniforms([0], MOST_QUARTETS * leaves, "quartets", leaves, seed).reshape(MOST_QUARTETS, leaves)
    return np.sort(np.argsort(drawn, axis=1, kind="stable")[:, :4], axis=1)


def topologies(alike: Floats | Ints, among: Ints) -> Ints:
    """Which two pairs of each quartet belong together, (n,): 0, 1 or 2, or UNRESOLVED.

    alike: (V, V), the larger the longer two leaves share their way from the root; by the four-point condition (Buneman
    1971) the sum of the two pairs that belong together is larger than both other sums, which are equal on a tree.
    """
    a, b, c, d = among.T
    sums = np.column_stack([alike[a, b] + alike[c, d], alike[a, c] + alike[b, d], alike[a, d] + alike[b, c]])
    ordered = np.sort(sums, axis=1)
    return np.where(ordered[:, 2] > ordered[:, 1] + 1e-9, sums.argmax(axis=1), UNRESOLVED)


def of_tree(tree: Tree, among: Ints) -> Ints:
    """Topologies of quartets in a tree; a branch inside it that has no length resolves nothing."""
    longest = max(tree.length)
    steps = [float(one > 1e-9 * longest and one > 0) for one in tree.length]
    return topologies(-tree.between(steps), among)


def credits(found: Ints, true: Ints) -> Floats:
    """Credit of each quartet with a true topology, (m,): 1 if it is the same, and 1/3 if the tree leaves it open."""
    known = true != UNRESOLVED
    return np.asarray(np.where(found == UNRESOLVED, 1 / 3, found == true)[known], dtype=np.float64)


def agreement(distance: Floats, shared: Ints, labels: Ints, blocks: Ints, seed: int = 0) -> Agreement | None:
    """Agreement of the tree that neighbour joining makes of distances with the true history.

    The share is a U-statistic over models, so its error is 4 s / sqrt(V), s the spread over models of the agreement of
    a model's own quartets (Hoeffding 1948), with Student's t; simulated trees of four or five ancestors were covered in
    89% to 97% of cases. It is Wilson's over models if all quartets agree. With two ancestors there is none: two
    others would give another tree. Labels are permuted within blocks, if these have each label once, in all ways or in
    PERMUTATIONS of them; otherwise the leaves change places at random. None if the history says nothing of any quartet.
    """
    n = len(distance)
    among = quartets(n, seed)
    found, true = of_tree(neighbour_joining(distance), among), topologies(shared, among)
    credit = credits(found, true)
    if not len(credit):
        return None
    observed = exact_mean(credit)
    moved, total = _relabelled(shared, labels, blocks, seed)
    permuted = [exact_mean(credits(found, topologies(alike, among))) for alike in moved]
    return Agreement(
        share=_share(credit, among[true != UNRESOLVED], n, len(np.unique(labels))),
        quartets=len(credit),
        drawn=len(among) < math.comb(n, 4),
        test=permutation_test(observed, np.array(permuted), total),
    )


def _share(credit: Floats, among: Ints, models: int, ancestors: int) -> Interval:
    """Mean credit of quartets (m, 4) with its interval over models."""
    value = exact_mean(credit)
    own = [credit[(among == model).any(axis=1)] for model in range(models)]
    if ancestors < FEWEST_UNITS or min(map(len, own)) == 0:
        return Interval(value=value, low=None, high=None, method="none", units="ancestors", n_units=ancestors)
    if credit.min() == credit.max():
        return wilson_interval(value, "models", models)
    spread = statistics.stdev(exact_mean(one) for one in own)
    half = student_quantile(models - 1) * 4 * spread / math.sqrt(models)
    ends = {"low": max(0.0, value - half), "high": min(1.0, value + half)}
    return Interval(value=value, method="U-statistic t", units="models", n_units=models, **ends)


def _relabelled(shared: Ints, labels: Ints, blocks: Ints, seed: int) -> tuple[list[NDArray[np.int64]], int]:
    """The history with its leaves in other places, and how many distinct ones there are with the observed one."""
    n = len(labels)
    if len(np.unique(shared[~np.eye(n, dtype=bool)])) == 2 and _each_once(labels, blocks):
        rows, total = relabelings(labels, blocks, PERMUTATIONS, seed)
        return [(row[:, None] == row).astype(np.int64) for row in rows], total
    orders = [streams.permutation(n, "history", seed, number) for number in range(PERMUTATIONS)]
    return [shared[np.ix_(order, order)] for order in orders], math.factorial(n)


def _each_once(labels: Ints, blocks: Ints) -> bool:
    """Whether each block has each label exactly once."""
    cells = {*zip(labels.tolist(), blocks.tolist(), strict=True)}
    return len(cells) == len(labels) == len(set(labels.tolist())) * len(set(blocks.tolist()))
