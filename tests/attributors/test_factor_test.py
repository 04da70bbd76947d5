"""The permutation test of a factor, on planted texts for which the answers are known, and against plain refits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from known_attributors import Bag, experiment
from sklearn.naive_bayes import MultinomialNB

from natfp_bench.attributors.factor_test import Counted, crossed_side, permutation_test
from natfp_bench.attributors.study import Experiment
from natfp_bench.base.progress import no_progress
from natfp_bench.statistics import replication

LEVELS = ("p", "q", "r")


def named_levels(replicates: int, *, n: int = 8, useless: int = 0) -> Experiment:
    """Each text is the name of its level, except the first `useless` ones of each variant, which are all the same."""
    texts = [["?"] * useless + [level] * n for _ in range(replicates) for level in LEVELS]
    return experiment(Bag, LEVELS * replicates, texts, texts, "unseen_replicate")


def test_an_effective_factor_has_the_smallest_p() -> None:
    found = permutation_test(named_levels(3), 1999, 100)
    # Three levels and three replicates have (3!)^2 labellings; only the true one is right everywhere.
    assert found.observed == 1.0
    assert (found.test.permutations, found.test.exhaustive, found.test.testable) == (35, True, True)
    assert found.test.p == found.test.smallest == pytest.approx(1 / 36)
    five = permutation_test(named_levels(5), 1999, 100).test
    assert (five.permutations, five.exhaustive, five.p) == (1295, True, pytest.approx(1 / 1296))


def test_a_sample_of_the_permutations_has_a_larger_p() -> None:
    found = permutation_test(named_levels(3), 9, 100)
    assert (found.test.permutations, found.test.exhaustive, found.test.testable) == (9, False, False)
    assert found.test.p == pytest.approx(1 / 10)


def test_two_replicates_may_be_too_few_for_any_p() -> None:
    found = permutation_test(named_levels(2), 99, 100)
    assert (found.test.permutations, found.test.p) == (5, pytest.approx(1 / 6))
    assert not found.test.testable


@pytest.mark.parametrize("text", ["the same", ""])
def test_a_factor_without_effect_has_a_p_of_one(text: str) -> None:
    texts = [[text] * 8] * 9
    found = permutation_test(experiment(Bag, LEVELS * 3, texts, texts, "unseen_replicate"), 99, 100)
    assert (found.observed, found.spread) == (pytest.approx(1 / 3), pytest.approx(0.0))
    assert found.test.p == 1.0


def test_permutations_exchange_labels_within_replicates() -> None:
    """The names differ between replicates, so nothing that a fit learns helps in the replicate that is held out."""
    texts = [[f"{level}{r}"] * 8 for r in range(3) for level in LEVELS]
    found = permutation_test(experiment(Bag, LEVELS * 3, texts, texts, "unseen_replicate"), 99, 100)
    assert found.observed == pytest.approx(1 / 3)
    assert found.test.p == 1.0


@pytest.mark.parametrize(("texts", "observed", "p"), [(6, 1 / 3, 1.0), (8, 0.5, 1 / 36), (14, 5 / 7, 1 / 36)])
def test_refits_use_at_most_the_given_number_of_texts_per_variant(texts: int, observed: float, p: float) -> None:
    found = permutation_test(named_levels(3, useless=6), 99, texts)
    assert found.observed == pytest.approx(observed)
    assert found.test.p == pytest.approx(p)


def test_progress_counts_the_replicates() -> None:
    seen: list[tuple[int, int, str]] = []
    permutation_test(named_levels(2), 99, 100, lambda *of: seen.append(of))
    assert seen == [(1, 2, "replicates"), (2, 2, "replicates")]


def grid(shape: tuple[int, ...], seed: int) -> tuple[Experiment, dict[str, list[int]]]:
    """A crossing in which each text is the name of the value of one seed, and the value itself of each cell."""
    cells = list(itertools.product(*(range(n) for n in shape)))
    texts = [[LEVELS[cell[seed]]] * 8 for cell in cells]
    names = tuple(f"cell{place:02}" for place in range(len(cells)))
    made = replace(experiment(Bag, names, texts, texts, "unseen_prompt"), replicates=np.zeros(len(cells), dtype=int))
    return made, {f"seed{place}": [10 * cell[place] for cell in cells] for place in range(len(shape))}


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (3, 3, 3), (3, 5, 4)])
def test_a_seed_of_a_crossing_is_found_on_other_values_of_the_others(shape: tuple[int, ...]) -> None:
    made, cells = grid(shape, 0)
    found = crossed_side(made, "seed0", cells, 1999, 100, no_progress)
    # Of two other seeds, only as many blocks have values of their own as there are of the one with fewer.
    blocks = min(shape[1:])
    assert (found.held_out, found.values) == (tuple(f"seed{place}" for place in range(1, len(shape))), 3)
    assert found.by_value == (1.0,) * blocks
    assert (found.accuracy.value, found.accuracy.n_units, found.accuracy.units) == (1.0, blocks, "values of a seed")
    test = found.permuted.test
    assert test.p == test.smallest == pytest.approx(1 / min(6 ** (blocks - 1), 2000))


def test_a_seed_of_a_crossing_that_does_nothing_is_guessed_at_chance() -> None:
    made, cells = grid((3, 4), 0)
    found = crossed_side(made, "seed1", cells, 199, 100, no_progress)
    assert (found.held_out, found.values, found.by_value) == (("seed0",), 4, (0.25,) * 3)
    assert found.permuted.test.p == 1.0
    assert found.permuted.test.smallest == pytest.approx(1 / 200)


def drawn(seed: int, replicates: int = 4) -> Experiment:
    """Texts of five words; each variant has frequencies of its own."""
    draw, words = np.random.default_rng(seed), np.array(["tea", "sea", "pea", "bee", "fee", "key"])
    rows = draw.dirichlet(np.full(6, 3.0), size=3 * replicates)
    parts = [[[" ".join(draw.choice(words, 5, p=p)) for _ in range(20)] for p in rows] for _ in range(2)]
    return experiment(Bag, LEVELS * replicates, *parts, "unseen_replicate")


def test_refits_from_counts_are_refits() -> None:
    """Every accuracy is that of naive Bayes, fitted anew on the counts of each text with the labels of each labelling.

    scikit-learn adds the same number to each count; a prior that is the pooled frequency is added here as one more
    text of each class.
    """
    made = drawn(0)
    counted = Counted.of(made.train, made.test, 12)
    levels = np.tile(np.arange(3), 4)
    relabelled, _ = replication.relabelings(levels, made.replicates, 20, seed=1)
    labellings = np.vstack([levels, relabelled])
    sparse = Counted.of(made.test, made.train, 12).asked, counted.asked
    used = np.unique(np.concatenate([one.indices for one in sparse]))
    learnt, asked = (one[:, used].toarray() for one in sparse)
    for fold in made.folds:
        known, tested = fold.known[made.train.source], fold.tested[made.test.source]
        met = learnt[known].sum(axis=0) > 0
        pooled = learnt[known][:, met].sum(axis=0) / learnt[known].sum()
        for labels, found in zip(labellings, counted.accuracies(fold, labellings), strict=True):
            truth = labels[made.train.source][known]
            extra = [pooled * 0.1 * learnt[known][truth == c].sum() for c in range(3)]
            model = MultinomialNB(alpha=1e-12, force_alpha=True, fit_prior=False)
            model.fit(np.vstack([learnt[known][:, met], extra]), [*truth, 0, 1, 2])
            right = model.predict(asked[tested][:, met]) == labels[made.test.source][tested]
            assert found == pytest.approx(right.mean(), abs=0.03)  # ties are shared here


def test_the_spread_is_that_of_experiments_without_a_factor() -> None:
    found = [permutation_test(drawn(seed, 3), 99, 100) for seed in range(150)]
    true = np.std([one.observed for one in found])
    assert np.sqrt(np.mean([one.spread**2 for one in found])) == pytest.approx(true, rel=0.2)
    assert np.mean([one.test.p <= 0.05 for one in found]) <= 0.1
