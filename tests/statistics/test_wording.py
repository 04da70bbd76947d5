"""Telling words and n-gram divergences, against planted sources for which they are known."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import skew

from natfp_bench.base.records import canonical_json
from natfp_bench.statistics import wording

WORDS = [f"w{i:03d}" for i in range(120)]
ZIPF = 1 / np.arange(2.0, len(WORDS) + 2)


def bursty(rng: np.random.Generator, weights: np.ndarray, *, concentration: float = 15.0) -> list[list[str]]:
    """One text of 5 to 40 words for each row of weights (n, words); each text first draws its own word frequencies."""
    shares = rng.standard_gamma(concentration * weights / weights.sum(axis=1, keepdims=True)) + 1e-12
    counts = rng.multinomial(rng.integers(5, 41, size=len(weights)), shares / shares.sum(axis=1, keepdims=True))
    return [np.repeat(WORDS, row).tolist() for row in counts]


def planted(n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Weights that are the same for all texts, and their balanced classes, test texts and names of classes."""
    at = np.arange(n)
    return np.tile(ZIPF, (n, 1)), at % k, at // k % 4 == 3, [f"class {c}" for c in range(k)]


@pytest.mark.parametrize("k", [2, 12])
def test_bursty_noise_confirms_nothing(k: int) -> None:
    """Without a difference, each confirmed word is false: at most about one experiment in twenty may have any."""
    rng, experiments = np.random.default_rng(k), 60
    weights, truth, test, classes = planted(600, k)
    alarms = 0
    for _ in range(experiments):
        found = wording.telling_words(bursty(rng, weights), truth, test, classes)
        assert len(found) == 50 * k
        alarms += any(word.confirmed for word in found)
    assert alarms / experiments <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / experiments)


def test_the_variance_over_texts_is_right_and_poissons_is_too_small() -> None:
    rng = np.random.default_rng(0)
    weights, truth, *_ = planted(600, 4)
    own, over_texts, poisson, widened = truth == 0, [], [], []
    for _ in range(40):
        text, codes, vocabulary = wording._encoded(bursty(rng, weights))
        counts = wording._count_matrix(text, codes, 600, len(vocabulary))
        sizes = np.bincount(text, minlength=600).astype(float)
        log_odds, deviation = wording._log_odds(counts, own)
        over_texts += wording._permutation_z(counts, sizes, own)[0].tolist()
        poisson += (log_odds / deviation).tolist()
        widened += (log_odds / deviation / np.sqrt(wording._design_effect(counts, sizes))).tolist()
    assert np.std(over_texts) == pytest.approx(1.0, abs=0.05)
    assert np.std(widened) == pytest.approx(1.0, abs=0.1)
    assert np.std(poisson) > 1.5


def test_moments_are_those_of_all_relabellings() -> None:
    """All 84 relabellings of nine texts of unequal size, three of them in the class."""
    rng = np.random.default_rng(1)
    texts = [rng.choice(["a", "a", "b", "c"], size=size).tolist() for size in (0, 1, 2, 3, 5, 8, 13, 4, 4)]
    text, codes, vocabulary = wording._encoded(texts)
    counts = wording._count_matrix(text, codes, 9, len(vocabulary))
    sizes = np.array([len(words) for words in texts], dtype=float)
    masks = [np.isin(np.arange(9), rows) for rows in itertools.combinations(range(9), 3)]
    found = [wording._permutation_z(counts, sizes, own) for own in masks]
    z, skewness = np.stack([one for one, _ in found]), found[0][1]
    assert z.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert z.std(axis=0) == pytest.approx(np.ones(3))
    assert skewness == pytest.approx(skew(z, axis=0))


def test_log_odds_are_those_of_the_source() -> None:
    """Words of probability 0.2 and 0.1, and 0.1 and 0.2; the prior has a hundredth of the training words."""
    rng, shares = np.random.default_rng(0), np.array([[0.2, 0.1, 0.7], [0.1, 0.2, 0.7]])
    truth, test = np.arange(4000) % 2, np.arange(4000) % 8 > 5
    texts = [rng.choice(list("abc"), p=row, size=20).tolist() for row in shares[truth]]
    found = {(word.label, word.word): word for word in wording.telling_words(texts, truth, test, ["one", "two"])}
    shrunk = math.log((0.2 + 0.003) / (0.8 + 0.017)) - math.log((0.1 + 0.003) / (0.9 + 0.017))
    for label, text, sign in [("one", "a", 1), ("one", "b", -1), ("two", "a", -1), ("two", "b", 1)]:
        word = found[label, text]
        assert abs(word.log_odds - sign * shrunk) < 4 * word.log_odds / word.z_train
        assert word.z_train * sign > 20
        assert word.z_test * sign > 10
        assert word.confirmed
        assert word.agrees is None
    assert not found["one", "c"].confirmed
    assert abs(found["one", "c"].log_odds) < 0.05


def test_planted_words_are_found_and_few_others() -> None:
    rng, false, true, n_planted = np.random.default_rng(3), 0, 0, 0
    weights, truth, test, classes = planted(1600, 4)
    liked = {c: WORDS[10 + c : 50 : 5] for c in range(3)}  # the last class likes none
    for c, words in liked.items():
        weights[np.ix_(truth == c, [WORDS.index(word) for word in words])] *= 4
    for _ in range(12):
        found = wording.telling_words(bursty(rng, weights), truth, test, classes)
        confirmed = {(word.label, word.word) for word in found if word.confirmed and word.log_odds > 0}
        real = {(classes[c], word) for c, words in liked.items() for word in words}
        true, n_planted = true + len(confirmed & real), n_planted + len(real)
        # The last class writes the other classes' words less often and all others more often: no false discoveries.
        false += sum(label != classes[3] for label, _ in confirmed - real)
    assert true / n_planted > 0.6
    assert false / (true + false) < 0.1


def test_a_word_of_the_level_agrees_in_every_replicate() -> None:
    rng = np.random.default_rng(0)
    weights, truth, test, classes = planted(2400, 2)
    replicates = np.arange(2400) // 2 % 3
    weights[:, 5] *= np.where(truth == 0, 4, 1)
    weights[:, 8] *= np.where((truth == 0) & (replicates == 1), 12, 1)
    weights[:, 8] *= np.where((truth == 1) & (replicates == 0), 2, 1)
    texts = bursty(rng, weights)
    found = {
        word.word: word
        for word in wording.telling_words(texts, truth, test, classes, replicates)
        if word.label == "class 0"
    }
    assert found["w005"].confirmed
    assert found["w005"].agrees is True
    assert found["w008"].confirmed
    assert found["w008"].agrees is False
    single = wording.telling_words(texts, truth, test, classes, np.zeros(2400, dtype=int))
    assert {word.agrees for word in single} == {None}
    json.loads(canonical_json(single))


def test_words_are_sorted_by_class_and_falling_z() -> None:
    weights, truth, test, classes = planted(200, 2)
    found = wording.telling_words(bursty(np.random.default_rng(0), weights), truth, test, classes, per_class=7)
    assert [word.label for word in found] == ["class 0"] * 7 + ["class 1"] * 7
    strength = [abs(word.z_train) for word in found[:7]]
    assert strength == sorted(strength, reverse=True)
    assert all(0 <= word.q <= 1 and word.confirmed == (word.q <= 0.05) for word in found)


def test_words_of_test_texts_alone_are_never_chosen() -> None:
    texts = [["a", "b"], ["b", "b"], ["a", "new"], ["b", "new", "new"]]
    found = wording.telling_words(texts, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), ["x", "y"])
    assert {word.word for word in found} == {"a", "b"}
    one_word = [["a"], ["a", "a"]] * 2
    assert wording.telling_words(one_word, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), ["x", "y"]) == []
    same = wording.telling_words([["a", "b"]] * 4, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), ["x", "y"])
    assert not any(word.confirmed for word in same)


@pytest.mark.parametrize(("empty", "part"), [(0, "training"), (3, "test")])
def test_a_class_without_words_is_refused(empty: int, part: str) -> None:
    texts = [["a", "b"] if i != empty else [] for i in range(4)]
    with pytest.raises(ValueError, match=f"the {part} texts of class '{'xy'[empty % 2]}' have no words"):
        wording.telling_words(texts, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), ["x", "y"])


def test_divergence_agrees_with_scipy() -> None:
    a, b = Counter(a=5, b=3, c=2), Counter(a=1, c=4, d=15)
    texts, truth = [list(a.elements()), list(b.elements())], np.array([0, 1])
    shares = [np.array([count[word] for word in "abcd"]) / count.total() for count in (a, b)]
    expected = float(jensenshannon(*shares, base=2)) ** 2
    assert wording.jensen_shannon(texts, truth, 1).value == pytest.approx(expected)
    # Classes have equal weight, however many words they have, and however these are distributed over texts.
    more = [*texts, list(b.elements()), ["a"] * 5, ["b"] * 3 + ["c"] * 2, []]
    found = wording.jensen_shannon(more, np.array([0, 1, 1, 0, 0, 1]), 1)
    assert found.value == pytest.approx(expected)
    apart = wording.jensen_shannon([["a"], ["b"], ["c", "d"]], np.arange(3), 1)
    assert apart.value == pytest.approx(math.log2(3))
    json.loads(canonical_json(found))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=5), st.integers(1, 4))
def test_ngrams_are_those_of_counting(texts: list[list[str]], order: int) -> None:
    text, codes, vocabulary = wording._encoded(texts)
    where, runs = wording._ngrams(text, codes, len(vocabulary), order)
    plain = [(i, tuple(words[j : j + order])) for i, words in enumerate(texts) for j in range(len(words) - order + 1)]
    assert where.tolist() == [i for i, _ in plain]
    number = {run: i for i, run in enumerate(sorted({run for _, run in plain}))}
    assert runs.tolist() == [number[run] for _, run in plain]


def test_sparse_noise_has_bias_and_no_excess() -> None:
    weights, truth, *_ = planted(400, 4)
    for order in (1, 2, 3):
        found = [
            wording.jensen_shannon(bursty(np.random.default_rng(i), weights), truth, order, permutations=10, seed=i)
            for i in range(12)
        ]
        excess = np.array([one.excess for one in found])
        assert min(one.bias for one in found) > 0.01
        assert abs(excess.mean()) < 4 * excess.std() / math.sqrt(12)
        assert excess.std() < 0.2 * found[0].bias
        assert 0.25 < np.mean([one.p for one in found]) < 0.8


def test_the_order_of_words_shows_in_bigrams_only() -> None:
    """Two Markov chains over four words with uniform frequencies: one moves to the next word, one stays."""
    rng = np.random.default_rng(0)
    texts = []
    for step in np.arange(600) % 2:
        moves = np.where(rng.random(20) < 0.4, step, rng.integers(4, size=20))
        texts.append([WORDS[i] for i in (rng.integers(4) + moves.cumsum()) % 4])
    truth = np.arange(600) % 2
    first, second, third = (wording.jensen_shannon(texts, truth, order) for order in (1, 2, 3))
    assert abs(first.excess) < 0.001
    assert first.p > 1 / 21
    # Two of four moves have probabilities 0.55 and 0.15, exchanged: 0.7 (1 - h(0.55 / 0.7)) bits.
    share = 0.55 / 0.7
    expected = 0.7 * (1 + share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert second.excess == pytest.approx(expected, abs=0.015)
    assert third.excess > 1.5 * second.excess
    assert second.p == third.p == pytest.approx(1 / 21)


def test_seeds_name_the_permutations() -> None:
    weights, truth, *_ = planted(60, 2)
    texts = bursty(np.random.default_rng(0), weights)
    first, again, other = (wording.jensen_shannon(texts, truth, 2, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.value == other.value
    assert first.bias != other.bias


@pytest.mark.parametrize(
    ("texts", "truth"),
    [([], []), ([["a", "b"], ["b", "c"]], [0, 0]), ([["a", "b"], ["b"]], [0, 1]), ([["a", "b"], ["b", "a"]], [0, 2])],
)
def test_a_divergence_needs_two_classes(texts: list[list[str]], truth: list[int]) -> None:
    with pytest.raises(ValueError, match="needs two classes, each with word 2-grams"):
        wording.jensen_shannon(texts, np.array(truth, dtype=np.int64), 2)
