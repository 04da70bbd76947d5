"""Where the fingerprint sits, against planted sources whose telling words, divergences and ratios are known."""

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
from natfp_bench.corpus.words import WORD_TYPES
from natfp_bench.statistics import token_evidence, wording

WORDS = [f"w{i:03d}" for i in range(120)]
ZIPF = 1 / np.arange(2.0, len(WORDS) + 2)


def bursty(rng: np.random.Generator, weights: np.ndarray, *, concentration: float = 15.0) -> list[list[str]]:
    """One text of 5 to 40 words for each row of weights (n, words): each draws words of its own liking first."""
    shares = rng.standard_gamma(concentration * weights / weights.sum(axis=1, keepdims=True)) + 1e-12
    counts = rng.multinomial(rng.integers(5, 41, size=len(weights)), shares / shares.sum(axis=1, keepdims=True))
    return [np.repeat(WORDS, row).tolist() for row in counts]


def planted(n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Weights that are the same for all texts, and their balanced classes, test texts and names of classes."""
    at = np.arange(n)
    return np.tile(ZIPF, (n, 1)), at % k, at // k % 4 == 3, [f"class {c}" for c in range(k)]


@pytest.mark.parametrize("k", [2, 12])
def test_bursty_noise_confirms_nothing(k: int) -> None:
    """Without a difference each confirmed word is false: hardly one experiment in twenty may have any."""
    rng, experiments = np.random.default_rng(k), 60
    weights, truth, test, classes = planted(600, k)
    alarms = 0
    for _ in range(experiments):
        found = wording.telling_words(bursty(rng, weights), truth, test, classes)
        assert len(found) == 50 * k
        alarms += any(word.confirmed for word in found)
    assert alarms / experiments <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / experiments)


def test_the_variance_over_texts_is_honest_where_poissons_is_not() -> None:
    rng = np.random.default_rng(0)
    weights, truth, *_ = planted(600, 4)
    own, honest, poisson, widened = truth == 0, [], [], []
    for _ in range(40):
        text, codes, vocabulary = wording._encoded(bursty(rng, weights))
        counts = wording._count_matrix(text, codes, 600, len(vocabulary))
        sizes = np.bincount(text, minlength=600).astype(float)
        log_odds, deviation = wording._log_odds(counts, own)
        honest += wording._permutation_z(counts, sizes, own)[0].tolist()
        poisson += (log_odds / deviation).tolist()
        widened += (log_odds / deviation / np.sqrt(wording._design_effect(counts, sizes))).tolist()
    assert np.std(honest) == pytest.approx(1.0, abs=0.05)
    assert np.std(widened) == pytest.approx(1.0, abs=0.1)
    assert np.std(poisson) > 1.5


def test_moments_are_those_of_all_relabellings() -> None:
    """Nine texts of unequal size, three in the class: 84 relabellings, enumerated."""
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
    """Words of probability 0.2 against 0.1, 0.1 against 0.2, and a prior of a hundredth of all training words."""
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
        # Who likes nothing says the liked words too seldom and everything else a little more: no false discovery.
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


def test_words_come_by_class_and_by_falling_z() -> None:
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
    # Classes weigh alike, however much they say, and however it is spread over texts.
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
    """Two Markov chains over four words, both uniform word by word: one goes on to the next word, one stays."""
    rng = np.random.default_rng(0)
    texts = []
    for step in np.arange(600) % 2:
        moves = np.where(rng.random(20) < 0.4, step, rng.integers(4, size=20))
        texts.append([WORDS[i] for i in (rng.integers(4) + moves.cumsum()) % 4])
    truth = np.arange(600) % 2
    first, second, third = (wording.jensen_shannon(texts, truth, order) for order in (1, 2, 3))
    assert abs(first.excess) < 0.001
    assert first.p > 1 / 21
    # 0.55 and 0.15 change places for two of four moves: 0.7 (1 - h(0.55 / 0.7)) bits.
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


START = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
MOVES = np.array(
    [
        [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.3, 0.6]],
        [[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]],
        [[0.8, 0.1, 0.1], [0.2, 0.4, 0.4], [0.3, 0.3, 0.4]],
    ]
)
"""Three Markov chains over three tokens; the first and the third begin alike."""


def markov(per_variant: int, length: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Tokens (n, length), the log-likelihoods of each under each chain, and the chain that wrote each text."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(3), per_variant)
    tokens = np.zeros((len(source), length), dtype=np.int64)
    for i in range(length):
        shares = START[source] if i == 0 else MOVES[source, tokens[:, i - 1]]
        tokens[:, i] = (rng.random(len(source))[:, None] > shares.cumsum(axis=1)).sum(axis=1).clip(max=2)
    scores = [
        np.log(np.column_stack([START[v, tokens[:, 0]], MOVES[v, tokens[:, :-1], tokens[:, 1:]]])) for v in range(3)
    ]
    return tokens, scores, source


def divergence_at(position: int, p: int, q: int) -> float:
    """KL divergence in bits of chain p from chain q at a position, the first is 1, in closed form."""
    if position == 1:
        return float(np.sum(START[p] * np.log2(START[p] / START[q])))
    before = START[p] @ np.linalg.matrix_power(MOVES[p], position - 2)
    return float(before @ np.sum(MOVES[p] * np.log2(MOVES[p] / MOVES[q]), axis=1))


@pytest.mark.parametrize("class_of", [None, [0, 1, 0]])
def test_ratios_by_position_are_the_divergences_of_the_chains(class_of: list[int] | None) -> None:
    _, scores, source = markov(4000, 6)
    lengths = np.random.default_rng(1).integers(2, 7, size=len(source))
    found = token_evidence.ratio_by_position(scores, source, lengths, None if class_of is None else np.array(class_of))
    assert [one.position for one in found] == [1, 2, 3, 4, 5, 6]
    rivals = {0: [1, 2], 1: [0, 2], 2: [0, 1]} if class_of is None else {0: [1], 1: [0, 2], 2: [1]}
    for one in found:
        assert one.texts == np.sum(lengths >= one.position)
        assert one.bits is not None
        assert one.standard_error is not None
        expected = np.mean([np.mean([divergence_at(one.position, p, q) for q in qs]) for p, qs in rivals.items()])
        assert abs(one.bits - expected) < 4 * one.standard_error
        assert one.standard_error < expected / 10
        assert one.impossible == 0
    json.loads(canonical_json(found))


def test_rivals_are_of_the_same_group() -> None:
    """A third model that is far from both others says nothing of two that are of another replicate."""
    _, scores, source = markov(4000, 6)
    lengths = np.full(len(source), 6)
    classes, groups = np.array([0, 1, 1]), np.array([0, 0, 1])
    types = [["name"] * 6 for _ in source]
    together = [scores[0], scores[1]]
    two = source < 2
    expected = token_evidence.ratio_by_position([own[two] for own in together], source[two], lengths[two])
    found = token_evidence.ratio_by_position(scores, source, lengths, classes, groups)
    assert [one.bits for one in found] == pytest.approx([one.bits for one in expected])
    assert {one.texts for one in found} == {int(two.sum())}, "texts without a rival in their group are left out"
    [names] = [one for one in token_evidence.ratio_by_type(scores, source, lengths, types, classes, groups) if one.bits]
    assert names.bits == pytest.approx(np.mean([one.bits for one in expected if one.bits is not None]))
    assert token_evidence.ratio_by_position(scores, source, lengths, classes, np.zeros(3)) != found


def test_ratios_by_type_are_the_divergences_of_the_tokens() -> None:
    """Independent tokens, each of a type: bits of a type are its part of the divergence over its probability."""
    rng, shares = np.random.default_rng(0), np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4]])
    source, lengths = np.arange(4000) % 2, rng.integers(0, 9, size=4000)
    tokens = (rng.random((4000, 8))[..., None] > shares.cumsum(axis=1)[source][:, None]).sum(axis=2).clip(max=2)
    kinds = ["name", "content", "name"]
    types = [[kinds[token] for token in row[:length]] for row, length in zip(tokens, lengths, strict=True)]
    scores = [np.log(shares[v])[tokens].astype(np.float32) for v in range(2)]
    found = {one.type: one for one in token_evidence.ratio_by_type(scores, source, lengths, types)}
    assert list(found) == list(WORD_TYPES)
    part = [shares[p] * np.log2(shares[p] / shares[1 - p]) for p in range(2)]
    name, content = found["name"], found["content"]
    assert name.bits is not None
    assert name.standard_error is not None
    assert abs(name.bits - np.mean([row[0] + row[2] for row in part]) / 0.7) < 4 * name.standard_error
    assert name.standard_error < 0.02
    assert content.bits == pytest.approx(0.0, abs=1e-6)
    assert name.bits_share == pytest.approx(1.0, abs=1e-6)
    assert name.token_share == pytest.approx(0.7, abs=0.02)
    assert name.tokens + content.tokens == lengths.sum()
    assert found["end"].model_dump() == {
        "type": "end", "bits": None, "standard_error": None, "tokens": 0, "token_share": 0.0, "bits_share": 0.0,
        "impossible": 0,
    }  # fmt: skip
    json.loads(canonical_json(list(found.values())))


def test_standard_errors_by_type_are_over_texts() -> None:
    """z-scores over repeated experiments have unit spread, though the tokens of a text are all alike."""
    rng, shares, scores = np.random.default_rng(0), np.array([[0.7, 0.3], [0.4, 0.6]]), []
    expected = np.sum(shares[0] * np.log2(shares[0] / shares[1]))
    for _ in range(200):
        lengths, tokens = rng.integers(1, 9, size=150), (rng.random(150) > 0.7).astype(int)
        likelihood = [np.tile(np.log(row)[tokens][:, None], (1, 8)) for row in shares]
        types = [["content"] * length for length in lengths]
        found = token_evidence.ratio_by_type(likelihood, np.zeros(150, dtype=int), lengths, types)[1]
        assert found.bits is not None
        assert found.standard_error is not None
        scores.append((found.bits - expected) / found.standard_error)
    assert np.std(scores) == pytest.approx(1.0, abs=0.2)


def test_impossible_rivals_are_left_out_and_counted() -> None:
    half, eighth = math.log(1 / 2), math.log(1 / 8)
    scores = [
        np.array([[half, half, np.nan], [half, half, half]]),
        np.array([[eighth, -np.inf, np.nan], [-np.inf, -np.inf, half]]),
        np.array([[half, -np.inf, np.nan], [eighth, -np.inf, half]]),
    ]
    source, lengths = np.array([0, 0]), np.array([2, 3])
    found = token_evidence.ratio_by_position(scores, source, lengths)
    assert [(one.bits, one.texts, one.impossible) for one in found] == [
        (pytest.approx(1.5), 2, 1),
        (None, 0, 4),
        (0.0, 1, 0),
    ]
    assert [one.standard_error for one in found] == [pytest.approx(0.5), None, None]
    types = [["function", "function"], ["function", "name", "function"]]
    by_type = {one.type: one for one in token_evidence.ratio_by_type(scores, source, lengths, types)}
    function, name = by_type["function"], by_type["name"]
    assert (function.bits, function.tokens, function.impossible) == (pytest.approx(1.0), 4, 3)
    assert (function.bits_share, function.token_share) == (pytest.approx(1.0), 0.8)
    assert (name.bits, name.tokens, name.impossible) == (None, 1, 2)


def test_no_ratio_of_impossible_sources_or_without_rivals() -> None:
    one, two = np.zeros(1, dtype=int), np.array([2])
    good, bad = np.array([[-1.0, -1.0]]), np.array([[-1.0, -np.inf]])
    with pytest.raises(ValueError, match="variant 0 wrote a token that is impossible"):
        token_evidence.ratio_by_position([bad, good], one, two)
    with pytest.raises(ValueError, match="variant 0 has no rival"):
        token_evidence.ratio_by_position([good, good], one, two, np.array([0, 0]))
    for nonsense in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite or -inf"):
            token_evidence.ratio_by_position([good, np.array([[-1.0, nonsense]])], one, two)
    for types, message in [
        ([["name"]], "do not fit its length"),
        ([["name", "verb"]], "unknown type of token 'verb'"),
    ]:
        with pytest.raises(ValueError, match=message):
            token_evidence.ratio_by_type([good, good], one, two, types)
    with pytest.raises(ValueError, match="no tokens"):
        token_evidence.ratio_by_type([good, good], one, np.array([0]), [[]])
    assert token_evidence.ratio_by_position([good, good], one, np.array([0])) == []


def test_twins_give_no_bits() -> None:
    scores = [-np.random.default_rng(0).random((40, 5))] * 2
    source, lengths = np.arange(40) % 2, np.full(40, 5)
    assert {one.bits for one in token_evidence.ratio_by_position(scores, source, lengths)} == {0.0}
    by_type = token_evidence.ratio_by_type(scores, source, lengths, [["content"] * 5] * 40)
    assert {one.bits_share for one in by_type} == {None}
