"""Verification of descent, on planted models: ancestors differ, and so do the descendants of each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from natfp_bench.statistics.intervals import Floats, Ints
from natfp_bench.statistics.verification import Bundles, descent_p, support, verified

Fold = tuple[Floats, Ints, Ints]


class World(NamedTuple):
    """A planted world of k known ancestors.

    effect: support that an ancestor gives its descendants. family: spread between ancestors of what their descendants'
    texts support by accident. own: spread between descendants of one ancestor. text: spread between texts.
    """

    k: int
    effect: float
    family: float
    own: float
    text: float

    def logits(self, draw: np.random.Generator, truth: int, texts: int, models: int) -> Floats:
        """Log-probabilities of the ancestors for the texts of descendants of one ancestor: (models, texts, k)."""
        family = draw.normal(0, self.family, (1, 1, self.k))
        own = draw.normal(0, self.own, (models, 1, self.k))
        found = family + own + draw.normal(0, self.text, (models, texts, self.k))
        found[:, :, truth] += self.effect if truth >= 0 else 0.0
        return found

    def fold(self, draw: np.random.Generator, strangers: int, texts: int) -> Fold:
        """One descendant of each ancestor, and strangers: probabilities, models and truth of their texts."""
        truths = [*range(self.k), *([-1] * strangers)]
        logits = np.concatenate([self.logits(draw, truth, texts, 1)[0] for truth in truths])
        model = np.repeat(np.arange(len(truths)), texts)
        return proba(logits), model, np.repeat(truths, texts).astype(np.int64)


def proba(logits: Floats) -> Floats:
    likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=-1, keepdims=True))


def pooled(logits: Floats) -> Floats:
    """Support (models, k) by all texts of each model, from (models, texts, k)."""
    return np.stack([support(proba(one)).mean(axis=0) for one in logits])


HARD = World(k=4, effect=0.6, family=0.5, own=0.2, text=1.0)


def test_support_is_the_log_ratio_to_the_mean_of_the_others() -> None:
    assert support(np.full((3, 4), 0.25)).max() == pytest.approx(0)
    (row,) = support(np.array([[0.5, 0.3, 0.2]]))
    assert row == pytest.approx(np.log([0.5 / 0.25, 0.3 / 0.35, 0.2 / 0.4]), abs=0.01)
    assert np.isfinite(support(np.eye(3))).all(), "a certain answer is bounded"


def test_bundles_are_of_one_model_and_drop_what_is_left_over() -> None:
    given = np.random.default_rng(0).dirichlet(np.ones(3), 11)
    model = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 2, 2])
    truth = np.array([2, 0, 2, 0, 2, 0, 2, 0, -1, -1, -1])
    cut = Bundles.of(given, model, truth, 2)
    assert cut.model.tolist() == [0, 0, 1, 1, 2]
    assert cut.support[0] == pytest.approx(support(given)[[0, 2]].mean(axis=0))
    assert cut.known.true_pairs == pytest.approx(cut.support[np.arange(4), [2, 2, 0, 0]])
    assert cut.known.false_pairs.shape == (4, 2)
    assert cut.known.false_pairs[0] == pytest.approx(cut.support[0, :2])
    assert cut.strangers.false_pairs.shape == (1, 3)
    assert cut.firsts.model.tolist() == [0, 1, 2]


def test_p_is_the_rank_among_strangers() -> None:
    strangers = np.array([[0.0, 5.0], [1.0, 2.0], [3.0, 0.0]])
    p, adjusted = descent_p(np.array([[1.0, 9.0], [4.0, 2.0]]), strangers)
    assert p.tolist() == [[3 / 4, 1 / 4], [1 / 4, 3 / 4]]
    assert adjusted.tolist() == [[4 / 4, 1 / 4], [2 / 4, 4 / 4]], "against the largest of each: 5, 2 and 3"
    none = descent_p(np.ones((1, 2)), np.empty((0, 2)))
    assert all((one == 1).all() for one in none), "without strangers nothing is shown"


def size_of(world: World, calibrating: str, rounds: int, seed: int) -> tuple[float, float]:
    """Share of strangers with p, and with any adjusted p, of at most 0.05: where nothing is to be found.

    calibrating: `strangers` of 19 ancestors; `descendants` of four others, five of each, taken as strangers; or `known`
    descendants, whose own ancestor is one of the k.
    """
    draw, single, any_one = np.random.default_rng(seed), 0, 0
    for _ in range(rounds):
        if calibrating == "strangers":
            reference = np.concatenate([world.logits(draw, -1, 20, 1) for _ in range(19)])
        elif calibrating == "descendants":
            reference = np.concatenate([world.logits(draw, -1, 20, 5) for _ in range(4)])
        else:
            # The first ancestor is the one that is asked about, and none of these descend from it.
            reference = np.concatenate([world.logits(draw, 1 + n % (world.k - 1), 20, 1) for n in range(19)])
        p, adjusted = descent_p(pooled(world.logits(draw, -1, 20, 1)), pooled(reference))
        single += p[0, 0] <= 0.05
        any_one += adjusted[0].min() <= 0.05
    return single / rounds, any_one / rounds


def highest(rounds: int, share: float = 0.05) -> float:
    """Share that is not exceeded with a probability of 99.9 % if each round has this chance."""
    from scipy.stats import binom

    return float(binom.ppf(0.999, rounds, share)) / rounds


def test_p_holds_for_a_model_whose_ancestor_nobody_knows() -> None:
    single, any_one = size_of(HARD, "strangers", 400, 1)
    assert 0.02 < single <= highest(400)
    assert 0.02 < any_one <= highest(400)


def test_descendants_are_no_strangers() -> None:
    """What the docstring warns of: each of these would give far too many false alarms."""
    alike = HARD._replace(own=0.1)
    assert size_of(alike, "descendants", 600, 2)[0] > 1.3 * highest(600), "descendants of one ancestor are alike"
    assert size_of(HARD._replace(effect=2.0), "known", 300, 3)[0] > 2 * highest(300), "a known ancestor takes it all"


def test_a_descendant_of_another_known_ancestor_raises_fewer_alarms_than_a_stranger() -> None:
    draw, alarms, found = np.random.default_rng(4), [], []
    clear = HARD._replace(effect=1.5)
    for _ in range(400):
        strangers = pooled(np.concatenate([clear.logits(draw, -1, 20, 1) for _ in range(19)]))
        adjusted = descent_p(pooled(clear.logits(draw, 0, 20, 1)), strangers)[1][0]
        found.append(adjusted[0] <= 0.05)
        alarms.append((adjusted[1:] <= 0.05).any())
    assert np.mean(alarms) < 0.05
    assert np.mean(found) > 0.2


def test_figures_of_planted_pairs() -> None:
    draw = np.random.default_rng(5)
    strong = HARD._replace(effect=9.0)
    folds = [strong.fold(draw, 19, 40) for _ in range(5)]
    found = verified("who", folds, 10)
    assert (found.attributor, found.size) == ("who", 10)
    assert found.others.models == 20
    assert found.strangers
    assert found.strangers.models == 19
    for one in (found.others, found.strangers):
        assert one.auroc.value > 0.99
        assert one.tpr_at_5_percent_fpr
        assert one.tpr_at_5_percent_fpr.value > 0.9
        assert one.tpr_at_1_percent_fpr is None, "19 models fix no threshold at 1 %"
    assert found.recognised
    assert found.recognised.value > 0.9
    assert found.false_alarms
    assert found.false_alarms.value == 0
    assert found.false_alarms.high
    assert found.false_alarms.high > 0.05, "twenty models without an alarm do not show that there are none"


def test_too_few_models_fix_no_threshold_and_give_no_p() -> None:
    draw = np.random.default_rng(6)
    few = verified("who", [HARD.fold(draw, 18, 20) for _ in range(4)], 1)
    assert few.others.models == 16
    assert few.others.tpr_at_5_percent_fpr is None
    assert few.strangers
    assert few.strangers.tpr_at_5_percent_fpr is None
    assert few.recognised is few.false_alarms is None
    none = verified("who", [HARD.fold(draw, 0, 20) for _ in range(2)], 1)
    assert none.strangers is None
    assert none.others.auroc.low is None, "two replicates have no interval"
    many = verified("who", [HARD.fold(draw, 99, 5) for _ in range(2)], 5)
    assert many.strangers
    assert many.strangers.tpr_at_1_percent_fpr


def test_nothing_is_found_where_nothing_is_inherited() -> None:
    draw = np.random.default_rng(7)
    nothing = HARD._replace(effect=0.0)
    found = [verified("who", [nothing.fold(draw, 19, 20) for _ in range(5)], 20) for _ in range(40)]
    for kind in ("others", "strangers"):
        values = [getattr(one, kind).auroc.value for one in found]
        assert abs(np.mean(values) - 0.5) < 4 * np.std(values) / math.sqrt(len(values))


@pytest.mark.slow
def test_intervals_of_auroc_contain_the_truth() -> None:
    """Other descendants and other strangers of the same ancestors: each ancestor keeps what it gives by accident."""

    def folds(draw: np.random.Generator, known: NDArray[np.float64]) -> list[Fold]:
        strangers = [HARD.logits(draw, -1, 20, 1)[0] for _ in range(19)]
        made = []
        for _ in range(5):
            mine = [known[at] + HARD._replace(family=0).logits(draw, at, 20, 1)[0] for at in range(HARD.k)]
            truths = [*range(HARD.k), *([-1] * 19)]
            model = np.repeat(np.arange(len(truths)), 20)
            made.append((proba(np.concatenate([*mine, *strangers])), model, np.repeat(truths, 20).astype(np.int64)))
        return made

    draw = np.random.default_rng(8)
    known = draw.normal(0, HARD.family, (HARD.k, 1, HARD.k))
    found = [verified("who", folds(draw, known), 10) for _ in range(600)]
    for kind in ("others", "strangers"):
        intervals = [getattr(one, kind).auroc for one in found]
        truth = np.mean([one.value for one in intervals])
        covered = np.mean([one.low <= truth <= one.high for one in intervals])
        assert covered > 0.93, kind
