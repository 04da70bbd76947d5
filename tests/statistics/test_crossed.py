"""Parts of the variance in a crossing: against mean squares, planted parts, and texts that prefer their own model."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from natfp_bench.base.records import canonical_json
from natfp_bench.statistics import crossed

FOUR = np.array([*itertools.product(range(4), repeat=2)])


def planted(
    cells: np.ndarray, shares: tuple[float, ...], texts: int, length: int, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Nats of each token under each model, whose log2-probabilities have these parts of seeds and of single models."""
    rng = np.random.default_rng(seed)
    shape, values = (len(cells) * texts, length), [np.unique(column, return_inverse=True)[1] for column in cells.T]
    x = [math.sqrt(shares[-1]) * rng.normal(size=shape) for _ in cells]
    for column, share in zip(values, shares, strict=False):
        effects = math.sqrt(share) * rng.normal(size=(column.max() + 1, *shape))
        x = [own + effects[value] for own, value in zip(x, column.tolist(), strict=True)]
    common = rng.normal(size=shape) - 8
    scores = [(own + common) * math.log(2) for own in x]
    return scores, np.repeat(np.arange(len(cells)), texts), np.full(shape[0], length)


def divided(scores: list[np.ndarray], source: np.ndarray, lengths: np.ndarray, cells: np.ndarray) -> crossed.Variance:
    names = ("init", "order", "dropout")[: cells.shape[1]]
    types = [[("name", "content")[place % 2] for place in range(length)] for length in lengths.tolist()]
    found = crossed.variance(scores, source, lengths, types, cells, names)
    assert found is not None
    json.loads(canonical_json(found))
    return found


def mean_square(x: np.ndarray, kept: tuple[int, ...]) -> float:
    """Mean square of an interaction (or main effect) of an array with one axis per factor, by textbook formulas."""
    effect = np.zeros_like(x)
    for n in range(len(kept) + 1):
        for some in itertools.combinations(kept, n):
            others = tuple(axis for axis in range(x.ndim) if axis not in some)
            effect = effect + (-1) ** (len(kept) - n) * x.mean(axis=others, keepdims=True)
    freedom = math.prod(x.shape[axis] - 1 for axis in kept)
    return float((effect**2).sum()) / freedom


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (3, 3, 3), (4, 3, 3)])
def test_parts_are_those_of_the_mean_squares(shape: tuple[int, ...]) -> None:
    """For one writer and one token, they are the classical estimators on the grid of the models that judge it."""
    cells = np.array([*itertools.product(*map(range, shape))])
    x = np.random.default_rng(1).normal(size=len(cells))
    scores = [np.array([[value * math.log(2)]]) for value in x]
    one = np.zeros((1, 1), dtype=int)
    (of,) = crossed.products(scores, np.array([0]), np.array([1]), one, cells).values()
    components = crossed._components(of, cells, np.ones(len(cells), dtype=bool))
    grid = x.reshape(shape)[tuple(slice(1, None) for _ in shape)]
    axes, sizes = range(grid.ndim), grid.shape
    assert components is not None
    for axis in axes:
        rest = [other for other in axes if other != axis]
        expected = sum(
            (-1) ** n * mean_square(grid, tuple(sorted((axis, *some))))
            for n in range(len(rest) + 1)
            for some in itertools.combinations(rest, n)
        ) / math.prod(sizes[other] for other in rest)
        assert components[axis] == pytest.approx(expected)
    if len(shape) == 2:
        assert components[2] == pytest.approx(mean_square(grid, (0, 1)))


@pytest.mark.parametrize(
    ("cells", "shares"),
    [
        (FOUR, (0.3, 0.2, 0.5)),
        (np.array([*itertools.product([7, 0, 3], [0, 1, 2], [5, 6, 9])]), (0.3, 0.0, 0.2, 0.5)),
    ],
)
def test_planted_parts_are_found(cells: np.ndarray, shares: tuple[float, ...]) -> None:
    found = divided(*planted(cells, shares, 20, 40), cells)
    assert [part.part for part in found.whole.parts][-1] == "interaction"
    assert found.whole.whole == pytest.approx(sum(shares), rel=0.05)
    assert [part.share.value for part in found.whole.parts] == pytest.approx(shares, abs=0.03)
    assert sum(part.share.value for part in found.whole.parts) == pytest.approx(1.0)
    # In so many directions the models are known well; three values of a seed still say nothing of others.
    bounds = [(part.share.low, part.share.high) for part in found.whole.parts]
    if len(np.unique(cells[:, 0])) == 3:
        assert bounds == [(None, None)] * 4
    else:
        assert all(low is not None and high is not None and 0 <= low < high <= 1 for low, high in bounds)
        assert all(low < share < high < low + 0.2 for (low, high), share in zip(bounds, shares, strict=True))


def test_what_a_text_owes_to_its_writer_is_in_no_part() -> None:
    """A text is likelier under its own model, and under those that share a seed with it: these are no judges of it."""
    scores, source, lengths = planted(FOUR, (0.3, 0.2, 0.5), 5, 30)
    preferring = [own.copy() for own in scores]
    for model, writer in itertools.product(range(16), repeat=2):
        alike = int((FOUR[model] == FOUR[writer]).sum())
        preferring[model][source == writer] += (0.0, 1.5, 4.0)[alike]
    assert divided(preferring, source, lengths, FOUR) == divided(scores, source, lengths, FOUR)


def test_groups_of_tokens_make_up_the_whole() -> None:
    scores, source, _ = planted(FOUR, (0.3, 0.2, 0.5), 8, 21)
    lengths = np.random.default_rng(3).integers(1, 22, size=len(source))
    # Position 3 differs twice as much, whatever the seed.
    scores = [np.concatenate([own[:, :2], 2 * own[:, 2:3], own[:, 3:]], axis=1) for own in scores]
    found = divided(scores, source, lengths, FOUR)
    assert [one.which for one in found.by_position] == ["1", "2", "3-4", "5-8", "9-16", "17-21"]
    assert [one.which for one in found.by_type] == ["content", "name"]
    for groups in (found.by_type, found.by_position):
        assert sum(one.tokens for one in groups) == found.whole.tokens == lengths.sum()
        for place in range(3):
            total = sum(one.parts[place].variance * one.tokens for one in groups) / lengths.sum()
            assert total == pytest.approx(found.whole.parts[place].variance)
    assert found.by_position[2].whole > 2 * found.by_position[1].whole


def test_a_token_that_a_judge_cannot_write_is_left_out_and_counted() -> None:
    scores, source, lengths = planted(FOUR, (0.3, 0.2, 0.5), 5, 30)
    mine, other = np.flatnonzero(source == 0)[0], np.flatnonzero(source == 5)[0]
    scores[0][mine, 0] = -np.inf  # its own model, which is no judge
    scores[0][other, :2] = -np.inf
    found = divided(scores, source, lengths, FOUR)
    assert (found.whole.tokens, found.whole.impossible) == (lengths.sum() - 2, 2)
    assert [one.impossible for one in found.by_position] == [1, 1, 0, 0, 0, 0]
    assert all(math.isfinite(part.variance) for part in found.whole.parts)


def test_models_that_do_not_differ_have_no_parts() -> None:
    scores, source, lengths = planted(FOUR, (0.0, 0.0, 0.0), 2, 5)
    types = [["name"] * 5] * len(source)
    assert crossed.variance(scores, source, lengths, types, FOUR, ("a", "b")) is None
    with pytest.raises(ValueError, match="every combination"):
        crossed.variance(scores[1:], source, lengths, types, FOUR[1:], ("a", "b"))
    with pytest.raises(ValueError, match="every token needs a type"):
        crossed.variance(scores, source, lengths - 1, types, FOUR, ("a", "b"))


def test_a_grid_has_every_combination_once() -> None:
    assert crossed.is_grid(FOUR)
    assert crossed.is_grid(FOUR[::-1] * 7)
    assert not crossed.is_grid(FOUR[:-1])
    assert not crossed.is_grid(np.concatenate([FOUR[:-1], FOUR[:1]]))
    assert not crossed.is_grid(np.arange(4)[:, None])


def test_seen_from_one_seed_a_crossing_has_blocks_of_the_others() -> None:
    cells = np.array([*itertools.product([5, 2, 9], [0, 1, 2, 3])])
    assert crossed.held_fixed(cells, 0).tolist() == cells[:, 1].tolist()
    assert crossed.held_fixed(cells, 1).tolist() == [1] * 4 + [0] * 4 + [2] * 4
    cells = np.array([*itertools.product([5, 2, 9], [0, 1, 2, 3], [4, 7, 8])])
    for seed in range(3):
        block, others = crossed.held_fixed(cells, seed), [place for place in range(3) if place != seed]
        for number in range(3):
            inside = cells[block == number]
            assert sorted(inside[:, seed].tolist()) == sorted(set(cells[:, seed].tolist()))
            assert all(len(set(inside[:, other].tolist())) == 1 for other in others)
        for other in others:
            first = [cells[block == number][0, other] for number in range(3)]
            assert len(set(first)) == 3, "blocks share no value of any other seed"
