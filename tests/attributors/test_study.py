"""Studies with a reference attributor, on planted texts and hand-written attributors whose accuracy is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats import t as student

from natfp_bench.attributors import study
from natfp_bench.attributors.study import Experiment, Texts
from natfp_bench.statistics.curves import crossing, powers


class Coins:
    """Knows its classes: class `p` writes x with the probability p/10, and y else, character for character."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        p = np.array([int(name) / 10 for name in self.classes_])
        heads, tails = (np.array([text.count(side) for text in texts])[:, None] for side in "xy")
        logs = heads * np.log(p) + tails * np.log(1 - p)
        likely = np.exp(logs - logs.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)


class Bag:
    """Multinomial naive Bayes on words."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        self.known = sorted({word for text in texts for word in text.split()})
        counts = [
            Counter(w for t, own in zip(texts, labels, strict=True) if own == c for w in t.split())
            for c in self.classes_
        ]
        table = np.array([[count[word] + 1.0 for word in self.known] for count in counts])
        self.logs = np.log(table / table.sum(axis=1, keepdims=True)) if self.known else table
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        place = {word: i for i, word in enumerate(self.known)}
        rows = []
        for text in texts:
            logs = self.logs[:, [place[word] for word in text.split() if word in place]].sum(axis=1)
            likely = np.exp(logs - logs.max())
            rows.append(likely / likely.sum())
        return np.array(rows).reshape(len(texts), len(self.classes_))


class Memory:
    """Knows the texts that it was shown, and nothing of any other."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        self.label = dict(zip(texts, labels, strict=True))
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        even = np.full(len(self.classes_), 1 / len(self.classes_))
        return np.array([(self.classes_ == self.label[text]) * 1.0 if text in self.label else even for text in texts])


def texts_of(variants: Sequence[Sequence[str]]) -> Texts:
    """Texts of variants, one list each; text i of each continues prompt i."""
    source = np.repeat(np.arange(len(variants)), [len(texts) for texts in variants])
    prompts = np.concatenate([np.arange(len(texts)) for texts in variants])
    return Texts([text for texts in variants for text in texts], source, prompts)


def experiment(
    build: Callable[[], Any],
    labels: Sequence[str],
    train: Sequence[Sequence[str]],
    test: Sequence[Sequence[str]],
    split: str = "unseen_prompt",
) -> Experiment:
    """Variants come replicate by replicate, each with all labels."""
    replicates = np.arange(len(labels)) // len(set(labels))
    made = (texts_of(train), texts_of(test))
    return Experiment(lambda seed: build(), 0, tuple(labels), replicates, split, *made)


def majority(n: int, p: float) -> float:
    """Accuracy of telling coins p and 1 - p apart from n throws: the sign of the majority, a draw being half right."""
    heads = np.arange(n + 1)
    return float(binom.pmf(heads, n, p) @ np.where(2 * heads > n, 1.0, np.where(2 * heads == n, 0.5, 0.0)))


def coins(p: float, n: int, length: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(row) for row in np.where(draw.random((n, length)) < p, "x", "y")]


def values(curve: study.Curve) -> list[float]:
    return [point.accuracy.value for point in curve.points]


def at(curve: study.Curve) -> list[int]:
    return [point.at for point in curve.points]


# Texts and fits.


def test_texts_are_taken_with_their_sources_and_prompts() -> None:
    texts = texts_of([["a", "b"], ["c"], ["d", "e"]])
    some = texts.take(np.array([True, False, True, True, False]))
    assert (some.texts, some.source.tolist(), some.prompts.tolist()) == (["a", "c", "d"], [0, 1, 2], [0, 0, 0])
    mine = texts.written_by(np.array([False, True, True]))
    assert (mine.texts, mine.source.tolist(), mine.prompts.tolist()) == (["c", "d", "e"], [1, 2, 2], [0, 0, 1])
    loud = texts.changed(lambda those: [text.upper() for text in those])
    assert (loud.texts, loud.source.tolist()) == (["A", "B", "C", "D", "E"], [0, 0, 1, 2, 2])
    assert texts.take(np.zeros(5, dtype=bool)).texts == []


class Spy(Memory):
    """Remembers what each fit was shown and asked."""

    shown: ClassVar[list[set[str]]]
    asked: ClassVar[list[set[str]]]

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.shown.append(set(texts))
        return super().fit(texts, labels)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(set(texts))
        return super().predict_proba(texts)


def spied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("shown", "asked"):
        monkeypatch.setattr(Spy, name, [], raising=False)


def test_a_fit_sees_nothing_of_the_replicate_that_it_is_tested_on(monkeypatch: pytest.MonkeyPatch) -> None:
    spied(monkeypatch)
    train, test = ([[f"{kind}{v}{i}" for i in range(4)] for v in range(6)] for kind in ("train", "test"))
    made = experiment(Spy, ["a", "b"] * 3, train, test, "unseen_replicate")
    (answers,) = made.fit(made.train, made.test)
    for fold in range(3):
        mine = {2 * fold, 2 * fold + 1}
        assert Spy.shown[fold] == {text for v in range(6) if v not in mine for text in train[v]}
        assert Spy.asked[fold] == {text for v in mine for text in test[v]}
        assert answers[fold].truth.tolist() == [0] * 4 + [1] * 4
        assert answers[fold].prompts.tolist() == [0, 1, 2, 3] * 2
    assert len(Spy.shown) == len(answers) == 3


def test_one_fit_answers_for_several_sets_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    spied(monkeypatch)
    made = experiment(Spy, ["a", "b"], [["p", "q"], ["r", "s"]], [["p", "r"], ["s", "q"]])
    first, second = made.fit(made.train, made.test, texts_of([["p"], ["r"]]))
    assert len(Spy.shown) == 1
    assert first[0].proba.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert made.accuracy(first).value == 0.5
    assert second[0].proba.tolist() == [[1, 0], [0, 1]]
    assert made.accuracy(second).value == 1.0


def test_accuracies_have_the_interval_of_their_split() -> None:
    hits = {0: 8, 1: 6, 2: 4, 3: 4}
    variants = [[f"{label}{r}{i}" for i in range(8)] for r in range(4) for label in "ab"]
    # What is asked was shown in another replicate, as far as a fold is to hit it; else its label is a guess.
    train = [
        [f"{label}{other}{i}" for other, n in hits.items() if other != r for i in range(2 * n - 8)]
        for r in range(4)
        for label in "ab"
    ]
    made = experiment(Memory, ["a", "b"] * 4, train, variants, "unseen_replicate")
    (answers,) = made.fit(made.train, made.test)
    point = made.point(5, answers)
    assert point.by_fold == (1.0, 0.75, 0.5, 0.5)
    found = point.accuracy
    assert (found.value, found.method, found.units, found.n_units) == (0.6875, "t", "replicates", 4)
    half = student.ppf(0.975, 3) * np.std(point.by_fold, ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((0.6875 - half, 0.6875 + half))

    seen = replace(made, split="unseen_prompt")
    (answers,) = seen.fit(seen.train, seen.test)
    assert seen.accuracy(answers).units == "prompts"

    two = experiment(Memory, ["a", "b"] * 2, train[:4], variants[:4], "unseen_replicate")
    (answers,) = two.fit(two.train, two.test)
    assert (two.accuracy(answers).low, two.accuracy(answers).method) == (None, "none"), "two runs are only these runs"


# Curves.


def test_powers() -> None:
    assert powers(1) == [1]
    assert powers(8) == [1, 2, 4, 8]
    assert powers(9, 2) == [2, 4, 8, 9]
    assert powers(63, 4) == [4, 8, 16, 32, 63]
    assert powers(3, 4) == [3], "whatever is shorter than the first has one point"


@given(st.integers(1, 5000), st.integers(1, 64))
def test_powers_rise_and_end_at_the_last(last: int, first: int) -> None:
    found = powers(last, first)
    assert found == sorted(set(found))
    assert found[-1] == last
    assert all(first <= power and math.log2(power).is_integer() for power in found[:-1])


def test_the_length_curve_is_that_of_coins() -> None:
    n = 4000
    test = [coins(0.6, n, 16, 1), coins(0.4, n, 16, 2)]
    made = experiment(Coins, ["6", "4"], [["x"], ["y"]], test)

    def cut(size: int) -> tuple[Texts, Texts]:
        return made.train, made.test.changed(lambda those: [text[:size] for text in those])

    curve = study.length_curve(made, cut, [1, 2, 4, 8, 16], "tokens")
    assert at(curve) == [1, 2, 4, 8, 16]
    assert (curve.name, curve.unit, curve.target, curve.split) == ("length", "tokens", "level", "unseen_prompt")
    for point in curve.points:
        assert point.accuracy.value == pytest.approx(majority(point.at, 0.6), abs=4 * 0.5 / math.sqrt(2 * n))
        assert point.by_fold == (pytest.approx(point.accuracy.value),)
        assert point.accuracy.low is not None
        assert point.accuracy.low < point.accuracy.value


def test_pooling_texts_is_throwing_the_coin_more_often() -> None:
    """Texts of one throw each are independent: pooled by summed log-probability they decide by majority."""
    n = 12_800
    made = experiment(Coins, ["6", "4"], [["x"], ["y"]], [coins(0.6, n, 1, 3), coins(0.4, n, 1, 4)])
    curve = study.pooled_curve(made)
    assert at(curve) == [1, 2, 4, 8, 16, 32, 64]
    assert (curve.name, curve.unit, curve.target) == ("pooled", "texts", "level")
    for point in curve.points:
        groups = 2 * n / point.at
        assert point.accuracy.value == pytest.approx(majority(point.at, 0.6), abs=4 * 0.5 / math.sqrt(groups))
        assert point.accuracy.n_units == n // point.at, "groups of one place share their prompts"


def test_pooling_goes_as_far_as_the_fewest_texts_of_a_source() -> None:
    made = experiment(Coins, ["6", "4"], [["x"], ["y"]], [["x"] * 11, ["y"] * 5])
    curve = study.pooled_curve(made)
    assert at(curve) == [1, 2, 4, 5]
    assert values(curve) == [1.0] * 4
    assert [point.accuracy.n_units for point in curve.points] == [11, 5, 2, 2], "a group that is not full is left out"


def test_pooled_texts_stay_within_their_replicate() -> None:
    # The third replicate's coins are swapped: what the others teach is wrong there, the more the more is pooled.
    p = [0.7, 0.3, 0.7, 0.3, 0.3, 0.7]
    made = experiment(
        Coins, ["7", "3"] * 3, [["x"]] * 6, [coins(q, 512, 1, i) for i, q in enumerate(p)], "unseen_replicate"
    )
    curve = study.pooled_curve(made)
    assert curve.split == "unseen_replicate"
    last = curve.points[-1]
    assert (last.at, last.by_fold) == (64, (1.0, 1.0, 0.0))
    assert curve.points[0].by_fold == pytest.approx((0.7, 0.7, 0.3), abs=4 * 0.5 / math.sqrt(1024))
    assert last.accuracy.method == "t"


def test_uniform_answers_stay_at_chance_however_many_are_pooled() -> None:
    made = experiment(Memory, ["a", "b", "c"], [["p"], ["q"], ["r"]], [["s"] * 16] * 3)
    assert values(study.pooled_curve(made)) == pytest.approx([1 / 3] * 5, abs=1e-15)


def test_more_training_texts_are_remembered() -> None:
    texts = [[f"{label}{i}" for i in range(64)] for label in "ab"]
    curve = study.training_curve(experiment(Memory, ["a", "b"], texts, texts))
    assert at(curve) == [8, 16, 32, 64]
    # What was shown is known, the rest is guessed; each training set is the first part of the next.
    assert values(curve) == [known / 64 + (1 - known / 64) / 2 for known in (8, 16, 32, 64)]
    assert (curve.name, curve.unit, curve.target) == ("train_texts", "texts a variant", "level")
    few = [texts_[:7] for texts_ in texts]
    assert study.training_curve(experiment(Memory, ["a", "b"], few, few)).points == ()


def test_the_training_curve_counts_texts_of_each_variant() -> None:
    texts = [[f"{v}{i}" for i in range(16)] for v in range(4)]
    made = experiment(Memory, ["a", "b"] * 2, texts, texts)
    assert values(study.training_curve(made)) == [0.75, 1.0]


def test_the_class_curve_is_of_instances_in_their_order() -> None:
    """Three quarters of a variant's texts name it, the others could be anybody's: accuracy (3 + 1/k) / 4."""
    names = [f"{level}/r{r}" for r in range(3) for level in "abc"]
    texts = [[name] * 30 + ["?"] * 10 for name in names]
    made = experiment(Bag, ["a", "b", "c"] * 3, texts, texts, "unseen_replicate")
    curve = study.class_curve(made, names)
    assert at(curve) == [2, 4, 8, 9]
    assert values(curve) == pytest.approx([(3 + 1 / k) / 4 for k in (2, 4, 8, 9)])
    assert (curve.name, curve.unit, curve.target, curve.split) == ("classes", "instances", "instance", "unseen_prompt")


# Where a curve reaches a height.


def test_crossing_by_hand() -> None:
    points = [(1.0, 0.5), (2.0, 0.9), (4.0, 1.0), (8.0, 1.0)]
    assert crossing(points) == pytest.approx(2 * math.sqrt(2)), "half way on the logarithm of x"
    assert crossing(points, 0.7) == pytest.approx(math.sqrt(2))
    assert crossing(points, 0.9) == pytest.approx(2.0)
    assert crossing(points, 1.0) == pytest.approx(4.0)
    assert crossing(points, 0.5) == crossing(points, 0.1) == 1.0, "it begins above"
    assert crossing(points[:2]) is None
    assert crossing([]) is None
    assert crossing([(1, 0.5), (2, 0.96), (4, 0.6), (8, 1.0)]) < 2, "the first time counts"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.05, 1))
def test_a_crossing_lies_between_the_points_around_it(heights: list[float], height: float) -> None:
    points = [(2.0**i, y) for i, y in enumerate(heights)]
    found = crossing(points, height)
    reached = [x for x, y in points if y >= height]
    assert (found is None) == (not reached)
    if found is not None:
        assert reached[0] / 2 - 1e-9 <= found <= reached[0] + 1e-9


# The permutation test.

LEVELS = ("p", "q", "r")


def telling(replicates: int, *, n: int = 8, useless: int = 0) -> Experiment:
    """Each text is its level's name, but for the first ones of each variant, which are nobody's."""
    texts = [["?"] * useless + [level] * n for _ in range(replicates) for level in LEVELS]
    return experiment(Bag, LEVELS * replicates, texts, texts, "unseen_replicate")


def test_a_factor_that_is_there_has_the_smallest_p() -> None:
    found = study.permutation(telling(3), 99, 100)
    # Three levels, three replicates: (3!)^2 labellings, of which the true one alone is right everywhere.
    assert found.observed == 1.0
    assert (found.test.permutations, found.test.exhaustive, found.test.testable) == (35, True, True)
    assert found.test.p == found.test.smallest == pytest.approx(1 / 36)


def test_a_sample_of_the_permutations_has_a_larger_p() -> None:
    found = study.permutation(telling(3), 9, 100)
    assert (found.test.permutations, found.test.exhaustive, found.test.testable) == (9, False, False)
    assert found.test.p == pytest.approx(1 / 10)


def test_two_replicates_may_be_too_few_for_any_p() -> None:
    found = study.permutation(telling(2), 99, 100)
    assert (found.test.permutations, found.test.p) == (5, pytest.approx(1 / 6))
    assert not found.test.testable


def test_a_factor_that_is_not_there_has_a_p_of_one() -> None:
    texts = [["the same"] * 8] * 9
    found = study.permutation(experiment(Bag, LEVELS * 3, texts, texts, "unseen_replicate"), 99, 100)
    assert found.observed == pytest.approx(1 / 3)
    assert found.test.p == 1.0


def test_permutations_exchange_labels_within_replicates() -> None:
    """Levels that are runs in disguise: each replicate has names of its own, so that nothing carries over."""
    texts = [[f"{level}{r}"] * 8 for r in range(3) for level in LEVELS]
    found = study.permutation(experiment(Bag, LEVELS * 3, texts, texts, "unseen_replicate"), 99, 100)
    assert found.observed == pytest.approx(1 / 3)
    assert found.test.p == 1.0


@pytest.mark.parametrize(("texts", "observed", "p"), [(6, 1 / 3, 1.0), (8, 0.5, 1 / 36), (14, 5 / 7, 1 / 36)])
def test_refits_take_so_many_texts_of_each_variant(texts: int, observed: float, p: float) -> None:
    found = study.permutation(telling(3, useless=6), 99, texts)
    assert found.observed == pytest.approx(observed)
    assert found.test.p == pytest.approx(p)


def test_progress_counts_the_refits() -> None:
    seen: list[tuple[int, int, str]] = []
    study.permutation(telling(2), 99, 100, lambda *of: seen.append(of))
    assert seen == [(i, 6, "refits") for i in range(1, 7)]


# Robustness.


def test_robustness_by_condition() -> None:
    """One class writes in capitals, and `beta` everywhere: what is left of that is known for every condition."""
    capitals, plain = ["Alpha beta ."] * 8, ["alpha beta ."] * 8
    made = experiment(Bag, ["capitals", "plain"], [capitals, plain], [capitals, plain])
    other = {"as told": texts_of([["Alpha ."] * 4, ["alpha ."] * 4]), "other": texts_of([["Gamma"] * 4, ["alpha"] * 4])}
    rows = study.robustness(made, ["lower_case", "shuffled_words", "content_words"], other, {})
    found = {(row.condition, row.trained_on): row.accuracy.value for row in rows}
    assert list(found) == [
        ("plain", "plain"),
        ("lower_case", "plain"),
        ("shuffled_words", "plain"),
        ("content_words", "plain"),
        ("as told", "plain"),
        ("other", "plain"),
        ("lower_case", "transformed"),
        ("shuffled_words", "transformed"),
        ("content_words", "transformed"),
    ]
    assert found == {
        ("plain", "plain"): 1.0,
        ("lower_case", "plain"): 0.5,  # all look like one class
        ("shuffled_words", "plain"): 1.0,  # a bag has no order
        ("content_words", "plain"): 1.0,
        ("as told", "plain"): 1.0,
        ("other", "plain"): 0.75,  # of an unknown word nothing is known
        ("lower_case", "transformed"): 0.5,  # all are alike
        ("shuffled_words", "transformed"): 1.0,
        ("content_words", "transformed"): 1.0,
    }


def test_shorter_texts_are_told_by_a_fit_on_texts_as_short() -> None:
    """The telling word is the last one: texts cut before it say nothing, in training and in test."""
    texts = [["a a one"] * 8, ["a a two"] * 8]
    made = experiment(Bag, ["1", "2"], texts, texts)
    cut = texts_of([["a a"] * 8] * 2)
    drawn = {"prompted": texts_of([["one"] * 4, ["two"] * 4]), "cool": texts_of([["a one"] * 4, ["a two"] * 4])}
    rows = study.robustness(made, [], drawn, {"prompted": (cut, cut)})
    assert [(row.condition, row.trained_on, row.accuracy.value) for row in rows] == [
        ("plain", "plain", 1.0),
        ("cool", "plain", 1.0),
        ("plain, as short as prompted", "plain", 0.5),
        ("prompted", "plain", 0.5),
    ]


def test_robustness_is_tested_on_unseen_replicates_where_the_split_is() -> None:
    texts = [[f"{level} r{r}"] * 8 for r in range(3) for level in "ab"]
    made = experiment(Bag, ["a", "b"] * 3, texts, texts, "unseen_replicate")
    (plain,) = study.robustness(made, [], {}, {})
    assert (plain.accuracy.value, plain.accuracy.method, plain.accuracy.n_units) == (1.0, "t", 3)


# Words.


def test_wording_finds_the_planted_word() -> None:
    draw = np.random.default_rng(0)
    filler = [" ".join(draw.choice(["tea", "sea", "pea", "bee"], 12)) for _ in range(6 * 80)]
    variants = [filler[i * 80 : (i + 1) * 80] for i in range(6)]
    for i in (0, 2, 4):
        variants[i] = [f"{text} zebra" if j % 3 else text for j, text in enumerate(variants[i])]
    half = [[texts[:40] for texts in variants], [texts[40:] for texts in variants]]
    found = study.wording(experiment(Bag, ["with", "out"] * 3, *half, "unseen_replicate"))
    zebras = [word for word in found.telling_words if word.word == "zebra"]
    assert {word.label: word.log_odds > 0 for word in zebras} == {"with": True, "out": False}
    assert all(word.confirmed and word.agrees for word in zebras)
    assert [one.order for one in found.jensen_shannon] == [1, 2, 3]
    assert found.jensen_shannon[0].p == pytest.approx(1 / 21)

    one = study.wording(experiment(Bag, ["with", "out"], half[0][:2], half[1][:2]))
    assert {word.agrees for word in one.telling_words} == {None}
