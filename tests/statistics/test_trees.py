"""Neighbour joining on distances of known trees, quartets against a count by hand, and the test of a history."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from natfp_bench.statistics import trees
from natfp_bench.statistics.trees import UNRESOLVED, Tree, neighbour_joining


def random_tree(leaves: int, seed: int) -> tuple[Tree, list[float]]:
    """A binary tree whose nodes are joined at random, with lengths from 0.1 to 1.1."""
    rng = np.random.default_rng(seed)
    nodes = 2 * leaves - 2
    parent: list[int | None] = [None] * nodes
    active = list(range(leaves))
    for joined in range(leaves, nodes - 1):
        for _ in range(2):
            parent[active.pop(rng.integers(len(active)))] = joined
        active.append(joined)
    for one in active:
        parent[one] = nodes - 1
    lengths = [*(0.1 + rng.random(nodes - 1)).tolist(), 0.0]
    return Tree(parent=tuple(parent), length=tuple(lengths), leaves=leaves), lengths


@pytest.mark.parametrize("leaves", [2, 3, 4, 5, 9, 16])
@pytest.mark.parametrize("seed", range(3))
def test_neighbour_joining_finds_every_additive_tree_with_its_lengths(leaves: int, seed: int) -> None:
    if leaves == 2:
        given = np.array([[0.0, 3.0], [3.0, 0.0]])
    else:
        true, lengths = random_tree(leaves, seed)
        given = true.between(lengths)
    found = neighbour_joining(given)
    assert found.between(found.length) == pytest.approx(given, abs=1e-9)
    if leaves >= 4:
        among = trees.quartets(leaves)
        assert (trees.of_tree(found, among) == trees.of_tree(true, among)).all()
        assert (trees.of_tree(found, among) != UNRESOLVED).all()


def test_a_worked_example_of_five_taxa() -> None:
    """A textbook example: branches a 2, b 3, c 4, d 2, e 1, and between them 3 and 2."""
    given = [[0, 5, 9, 9, 8], [5, 0, 10, 10, 9], [9, 10, 0, 8, 7], [9, 10, 8, 0, 3], [8, 9, 7, 3, 0]]
    found = neighbour_joining(np.array(given, dtype=float))
    assert found.length[:5] == pytest.approx((2, 3, 4, 2, 1))
    assert sorted(found.length[5:]) == pytest.approx([0, 2, 3])
    assert found.parent[0] == found.parent[1]
    assert found.parent[0] != found.parent[2]


def test_a_tree_is_written_in_newick() -> None:
    found = neighbour_joining(np.array([[0, 2, 4, 4], [2, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]], dtype=float))
    assert found.newick(["a", "b/r0", "it's", "d"]) == "('it''s':1,'d':1,('a':1,'b/r0':1):2);"


@pytest.mark.parametrize(
    "given",
    [np.zeros((1, 1)), np.array([[0, 1], [2, 0]]), np.array([[0, np.inf], [np.inf, 0]]), np.zeros((2, 3))],
)
def test_what_are_no_distances_is_refused(given: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"make no tree|finite and symmetric"):
        neighbour_joining(given)


def test_a_branch_has_never_less_than_no_length() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        given = rng.random((7, 7))
        assert min(neighbour_joining(given + given.T - np.diag(2 * np.diag(given))).length) >= 0


def test_equal_distances_resolve_nothing() -> None:
    found = neighbour_joining(1 - np.eye(6))
    assert (trees.of_tree(found, trees.quartets(6)) == UNRESOLVED).all()
    history = np.kron(np.eye(3, dtype=np.int64), np.ones((2, 2), dtype=np.int64))
    known = trees.agreement(1 - np.eye(6), history, np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3))
    assert known is not None
    assert known.share.value == pytest.approx(1 / 3), "what a tree leaves open counts as a guess"
    assert known.test.p == 1


def grid(ancestors: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, blocks = np.tile(np.arange(ancestors), each), np.repeat(np.arange(each), ancestors)
    return labels, blocks, (labels[:, None] == labels).astype(np.int64)


def drifted(labels: np.ndarray, own: float, seed: int, size: int = 40) -> np.ndarray:
    """Squared distances of models that went their own way from that of their ancestor."""
    rng = np.random.default_rng(seed)
    at = rng.normal(size=(labels.max() + 1, size))[labels] + own * rng.normal(size=(len(labels), size))
    return np.asarray(((at[:, None] - at) ** 2).mean(axis=2))


def test_quartets_of_a_history_are_those_with_two_of_one_ancestor_and_two_of_others() -> None:
    labels, _, shared = grid(3, 3)
    among = trees.quartets(9)
    true = trees.topologies(shared, among)
    for four, found in zip(among.tolist(), true.tolist(), strict=True):
        own = [int(labels[one]) for one in four]
        pairs = [(own[0] == own[1]) + (own[2] == own[3]), (own[0] == own[2]) + (own[1] == own[3])]
        pairs.append((own[0] == own[3]) + (own[1] == own[2]))
        best = [place for place in range(3) if pairs[place] == max(pairs)]
        assert found == (best[0] if len(best) == 1 else UNRESOLVED)
    assert (true != UNRESOLVED).sum() == 27 + 81, "two and two of two ancestors, and two of one with one of each other"


def test_a_clear_history_is_found_with_the_smallest_p() -> None:
    labels, blocks, shared = grid(4, 2)
    found = trees.agreement(drifted(labels, 0.3, 0), shared, labels, blocks)
    assert found is not None
    assert found.share.value == 1
    assert (found.share.method, found.share.units, found.share.n_units) == ("wilson", "models", 8)
    assert found.test.exhaustive
    assert found.test.permutations == 23
    assert found.test.p == found.test.smallest == pytest.approx(1 / 24)


def test_two_ancestors_give_no_interval() -> None:
    labels, blocks, shared = grid(2, 4)
    found = trees.agreement(drifted(labels, 0.3, 0), shared, labels, blocks)
    assert found is not None
    assert (found.share.low, found.share.units, found.share.n_units) == (None, "ancestors", 2)


def test_without_any_trace_p_is_uniform_and_agreement_one_third() -> None:
    labels, blocks, shared = grid(4, 2)
    p, shares = [], []
    for seed in range(150):
        found = trees.agreement(drifted(np.arange(8), 0.0, seed), shared, labels, blocks)
        assert found is not None
        p.append(found.test.p)
        shares.append(found.share.value)
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.05)
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.15)


@pytest.mark.slow
def test_the_interval_covers_the_mean_over_other_models() -> None:
    labels, blocks, shared = grid(5, 3)
    found = [trees.agreement(drifted(labels, 1.2, seed, 8), shared, labels, blocks) for seed in range(60)]
    shares = [one.share for one in found if one is not None]
    mean = np.mean([one.value for one in shares])
    covered = [one.low is not None and one.high is not None and one.low <= mean <= one.high for one in shares]
    assert 0.4 < mean < 0.9
    assert np.mean(covered) >= 0.85


def test_a_history_of_several_generations_is_permuted_as_a_whole() -> None:
    shared = np.kron(np.eye(2, dtype=np.int64), np.ones((4, 4), dtype=np.int64))
    shared += np.kron(np.eye(4, dtype=np.int64), np.ones((2, 2), dtype=np.int64))
    labels, blocks = np.repeat([0, 1], 4), np.tile(np.arange(4), 2)
    found = trees.agreement((2 - shared) * 1.0 + 0.1 * (1 - np.eye(8)), shared, labels, blocks)
    assert found is not None
    assert found.share.value == 1
    assert (found.test.permutations, found.test.exhaustive) == (trees.PERMUTATIONS, False)
    assert found.test.p < 0.02


def test_many_leaves_have_a_sample_of_quartets() -> None:
    among = trees.quartets(40)
    assert among.shape == (trees.MOST_QUARTETS, 4)
    assert (np.diff(among, axis=1) > 0).all()
    assert (np.bincount(among.ravel(), minlength=40) > trees.MOST_QUARTETS / 15).all()
    assert len(trees.quartets(20)) == len([*itertools.combinations(range(20), 4)])


def test_fewer_than_four_models_say_nothing() -> None:
    labels, blocks, shared = np.array([0, 0, 1]), np.array([0, 1, 0]), np.eye(3, dtype=np.int64)
    assert trees.agreement(1 - np.eye(3), shared, labels, blocks) is None
