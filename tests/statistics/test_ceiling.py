"""The ceiling on planted sources, whose accuracy, information and divergences are known by enumeration."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from natfp_bench.base.records import canonical_json
from natfp_bench.statistics import ceiling, paired, per_text


@dataclass(frozen=True)
class Planted:
    """V sources of independent tokens: `tokens` (V, alphabet) probabilities, texts of `length` tokens."""

    tokens: np.ndarray
    classes: np.ndarray
    length: int

    def sample(self, per_variant: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Token counts (n, alphabet), the sufficient statistic of a text, and its source (n,)."""
        rng = np.random.default_rng(seed)
        counts = [rng.multinomial(self.length, row, size=per_variant) for row in self.tokens]
        return np.concatenate(counts), np.repeat(np.arange(len(self.tokens)), per_variant)

    def log_likelihood(self, counts: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log(self.tokens)
        return np.where(counts[:, None, :] > 0, counts[:, None, :] * np.where(counts[:, None, :] > 0, logs, 0), 0).sum(
            2
        )

    def truth(self) -> tuple[float, float]:
        """Bayes accuracy and mutual information in bits, by enumeration over count vectors."""
        accuracy = information = 0.0
        k = int(self.classes.max()) + 1
        for counts in itertools.product(range(self.length + 1), repeat=self.tokens.shape[1]):
            if sum(counts) != self.length:
                continue
            ways = math.factorial(self.length) / math.prod(math.factorial(c) for c in counts)
            variant = ways * np.prod(self.tokens ** np.array(counts), axis=1)
            by_class = np.array([variant[self.classes == c].mean() for c in range(k)])
            accuracy += by_class.max() / k
            possible = by_class[by_class > 0]
            information += float(np.sum(possible / k * np.log2(k * possible / by_class.sum())))
        return accuracy, information

    def kl(self, i: int, j: int) -> float:
        return float(np.sum(self.tokens[i] * np.log2(self.tokens[i] / self.tokens[j])))


THREE = Planted(np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [0.3, 0.5, 0.2]]), np.arange(3), 8)
FOUR_IN_TWO = Planted(
    np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.45, 0.1, 0.45]]),
    np.array([0, 0, 1, 1]),
    8,
)
PLANTED = pytest.mark.parametrize("planted", [THREE, FOUR_IN_TWO], ids=["instance", "level"])


@PLANTED
def test_accuracy_and_information_are_those_of_enumeration(planted: Planted) -> None:
    counts, source = planted.sample(4000)
    truth = planted.classes[source]
    posterior = ceiling.posterior(planted.log_likelihood(counts), planted.classes)
    assert posterior.sum(1) == pytest.approx(np.ones(len(truth)))
    accuracy, information = planted.truth()
    credit = per_text.credits(posterior, truth)
    assert abs(credit.mean() - accuracy) < 4 * credit.std() / math.sqrt(len(truth))
    estimate = ceiling.mutual_information(posterior, truth, np.arange(len(truth)), seed=0)
    assert abs(estimate.value - information) < 4 * (estimate.high - estimate.low) / (2 * 1.96)
    assert estimate.low < estimate.value < estimate.high
    check = ceiling.self_check(posterior, truth)
    assert check.ok
    guess = posterior.max(1)
    untied = math.sqrt(np.sum(guess * (1 - guess)))
    assert 0.95 * untied < check.standard_error <= untied * (1 + 1e-12)


def test_kl_per_token_is_that_of_the_parameters() -> None:
    counts, source = THREE.sample(3000)
    table = ceiling.mean_kl(THREE.log_likelihood(counts), counts.sum(1), source)
    for i, j in itertools.permutations(range(3), 2):
        divergence = table[i][j]
        assert abs(divergence.value - THREE.kl(i, j)) < 4 * divergence.standard_error
        assert divergence.standard_error < THREE.kl(i, j) / 10
        assert divergence.impossible == 0.0
    assert [table[i][i].value for i in range(3)] == [0.0] * 3
    assert [table[i][i].standard_error for i in range(3)] == [0.0] * 3


NEAR, FAR = [[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]], [[0.9, 0.1], [0.1, 0.9]]


@pytest.mark.parametrize("tokens", [NEAR, FAR], ids=["near", "far"])
def test_kl_standard_error_covers_with_texts_of_unequal_length(tokens: list[list[float]]) -> None:
    """z-scores over repeated experiments have the spread that the delta method predicts."""
    planted = Planted(np.array(tokens), np.arange(2), 0)
    rng, scores = np.random.default_rng(1), []
    for _ in range(300):
        lengths = rng.integers(1, 30, size=120)
        counts = np.stack([rng.multinomial(n, row) for row in planted.tokens for n in lengths])
        table = ceiling.mean_kl(planted.log_likelihood(counts), counts.sum(1), np.repeat([0, 1], 120))
        divergence = table[0][1]
        scores.append((divergence.value - planted.kl(0, 1)) / divergence.standard_error)
    assert abs(np.mean(scores)) < 4 / math.sqrt(300)
    assert 0.85 < np.std(scores) < 1.15


def test_disjoint_supports_are_infinitely_far_in_one_direction() -> None:
    planted = Planted(np.array([[0.5, 0.4, 0.1], [0.6, 0.4, 0.0]]), np.arange(2), 6)
    counts, source = planted.sample(4000)
    log_likelihood = planted.log_likelihood(counts)
    table = ceiling.mean_kl(log_likelihood, counts.sum(1), source)
    assert table[0][1].value is None
    assert table[0][1].standard_error is None
    share = 1 - 0.9**6
    assert table[0][1].impossible == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))
    assert table[1][0].value is not None
    assert table[1][0].impossible == 0.0
    assert json.loads(canonical_json(table[0][1]))["value"] is None
    accuracy, information = planted.truth()
    posterior = ceiling.posterior(log_likelihood, planted.classes)
    assert per_text.credits(posterior, source).mean() == pytest.approx(accuracy, abs=0.02)
    mutual = ceiling.mutual_information(posterior, source, np.arange(8000), seed=0)
    assert mutual.value == pytest.approx(information, abs=0.03)


def test_kl_refuses_sources_that_contradict_their_likelihood() -> None:
    log_likelihood = np.array([[-1.0, -2.0], [-np.inf, -2.0]])
    lengths = np.array([3, 3])
    with pytest.raises(ValueError, match="variant 0 wrote a text that is impossible"):
        ceiling.mean_kl(log_likelihood, lengths, np.array([0, 0]))
    with pytest.raises(ValueError, match="variant 1 wrote no tokens"):
        ceiling.mean_kl(log_likelihood[:1], lengths[:1], np.array([0]))
    single = ceiling.mean_kl(np.array([[-1.0, -2.0], [-2.0, -1.5]]), lengths, np.array([0, 1]))[0][1]
    assert single.value == pytest.approx(1 / 3 / math.log(2))
    assert single.standard_error is None


@settings(deadline=None)
@given(
    st.lists(st.floats(-500, 0), min_size=1, max_size=6),
    st.lists(st.integers(1, 5), min_size=2, max_size=9),
)
def test_identical_classes_tie_exactly(values: list[float], sizes: list[int]) -> None:
    """Identical variants get exactly 1/k, however many replicates each class has."""
    k = len(sizes)
    classes = np.repeat(np.arange(k), sizes)
    log_likelihood = np.repeat(np.array(values)[:, None], len(classes), axis=1)
    posterior = ceiling.posterior(log_likelihood, classes)
    assert np.array_equal(posterior, np.full((len(values), k), 1.0 / k))
    truth = np.zeros(len(values), dtype=int)
    mutual = ceiling.mutual_information(posterior, truth, np.arange(len(values)), seed=0)
    assert mutual.value == 0.0
    assert ceiling.self_check(posterior, truth).standard_error < 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(-300, 0), min_size=3, max_size=3), st.permutations(range(3)), st.floats(-300, 0))
def test_permuted_replicates_tie_exactly(values: list[float], order: list[int], rival: float) -> None:
    """Two classes have the same models as replicates, in different orders; a third class differs."""
    row = values + [values[i] for i in order] + [rival]
    posterior = ceiling.posterior(np.array([row]), np.array([0, 0, 0, 1, 1, 1, 2]))[0]
    assert posterior[0] == posterior[1]
    expected = np.logaddexp.reduce(values) - math.log(3)
    if abs(expected - rival) < 30:
        assert math.log(posterior[0] / posterior[2]) == pytest.approx(expected - rival, abs=1e-9)


def test_posterior_handles_extremes_and_refuses_nonsense() -> None:
    far = ceiling.posterior(np.array([[-1e5, -1e5 - 1], [-np.inf, -3.0]]), np.arange(2))
    assert far[0] == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])
    assert far[1].tolist() == [0.0, 1.0]
    half = ceiling.posterior(np.array([[-np.inf, -3.0, -3.0]]), np.array([0, 0, 1]))
    assert half[0] == pytest.approx([1 / 3, 2 / 3])
    with pytest.raises(ValueError, match="the first is text 1"):
        ceiling.posterior(np.array([[-1.0, -1.0], [-np.inf, -np.inf]]), np.arange(2))
    with pytest.raises(ValueError, match="finite or -inf"):
        ceiling.posterior(np.array([[-1.0, np.nan]]), np.arange(2))
    with pytest.raises(ValueError, match="class 1 has no variants"):
        ceiling.posterior(np.array([[-1.0, -2.0]]), np.array([0, 2]))


def test_an_impossible_truth_counts_as_the_smallest_double() -> None:
    posterior = np.array([[1.0, 0.0], [1.0, 0.0]])
    mutual = ceiling.mutual_information(posterior, np.array([0, 1]), np.arange(2), seed=0)
    assert mutual.value == pytest.approx((1 - 1073) / 2)
    json.loads(canonical_json(mutual))


def test_self_check_catches_a_wrong_temperature() -> None:
    counts, source = FOUR_IN_TWO.sample(2000)
    truth = FOUR_IN_TWO.classes[source]
    for temperature in (0.5, 2.0):
        tempered = FOUR_IN_TWO.tokens ** (1 / temperature)
        wrong = Planted(tempered / tempered.sum(1, keepdims=True), FOUR_IN_TWO.classes, 8)
        check = ceiling.self_check(ceiling.posterior(wrong.log_likelihood(counts), wrong.classes), truth)
        assert not check.ok
        # Likelihoods at too low a temperature are overconfident: fewer hits than they predict.
        assert math.copysign(1, check.excess) == (-1 if temperature < 1 else 1)


def test_self_check_rarely_fails_honest_posteriors() -> None:
    """They pass even if misses are rare, and if ties are common."""
    rng = np.random.default_rng(0)
    for sure in (0.5, 0.9, 0.9999):
        z = []
        for _ in range(200):
            top = rng.uniform(sure, 1.0, size=500)
            truth = (rng.random(500) > top).astype(int)
            check = ceiling.self_check(np.column_stack([top, 1 - top]), truth)
            assert check.ok
            z.append(check.excess / check.standard_error)
        if sure == 0.5:
            assert 0.85 < np.std(z) < 1.15
    # Ties: three classes, two of them the same source.
    tied = np.tile([0.45, 0.45, 0.1], (5000, 1))
    check = ceiling.self_check(tied, rng.choice(3, size=5000, p=[0.45, 0.45, 0.1]))
    assert check.ok
    assert check.standard_error == pytest.approx(math.sqrt(5000 * 0.25 * 0.9 * 0.1))
    single = ceiling.self_check(np.array([[1 - 1e-9, 1e-9]] * 1000), np.arange(1000) % 2)
    assert not single.ok  # 500 misses are no rounding


@PLANTED
def test_no_attributor_beats_the_ceiling(planted: Planted) -> None:
    train, train_source = planted.sample(1500, seed=1)
    test, source = planted.sample(1500, seed=2)
    truth = planted.classes[source]
    posterior = ceiling.posterior(planted.log_likelihood(test), planted.classes)
    best = per_text.credits(posterior, truth)
    mutual = ceiling.mutual_information(posterior, truth, np.arange(len(truth)), seed=0).value
    for attributor in (LogisticRegression(), MultinomialNB()):
        proba = attributor.fit(train, planted.classes[train_source]).predict_proba(test)
        lead = per_text.credits(proba, truth) - best
        assert lead.mean() <= 4 * lead.std() / math.sqrt(len(truth))
        gain = per_text.bits(proba, truth)
        assert 0 < gain.mean() <= mutual + 4 * gain.std() / math.sqrt(len(truth))
        assert paired.paired_p(best, per_text.credits(proba, truth), np.arange(len(truth)), 0) < 0.999
