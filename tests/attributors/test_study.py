"""Fits and curves of a reference attributor, on planted texts whose accuracy is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import pytest
from known_attributors import Bag, Coins, Memory, experiment, texts_of
from scipy.stats import binom
from scipy.stats import t as student

from natfp_bench.attributors import study
from natfp_bench.attributors.study import Texts


def majority(n: int, p: float) -> float:
    """Accuracy of the majority vote of n throws between coins p and 1 - p; a draw counts one half."""
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
    # A fold knows a test text if another replicate has it in training; it guesses the label of any other text.
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
    assert (found.value, found.method, found.units, found.n_units) == (0.6875, "cross-fitted t", "replicates", 4)
    half = student.ppf(0.975, 3) * np.std(point.by_fold, ddof=1) * math.sqrt(1 / 4 + 1 / 3)
    assert (found.low, found.high) == pytest.approx((0.6875 - half, 0.6875 + half))

    seen = replace(made, split="unseen_prompt")
    (answers,) = seen.fit(seen.train, seen.test)
    assert seen.accuracy(answers).units == "prompts"

    two = experiment(Memory, ["a", "b"] * 2, train[:4], variants[:4], "unseen_replicate")
    (answers,) = two.fit(two.train, two.test)
    assert (two.accuracy(answers).low, two.accuracy(answers).method) == (None, "none"), (
        "two replicates have no interval"
    )


# Curves.


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
        assert point.accuracy.low < point.accuracy.value


def test_pooling_texts_is_like_more_throws_of_the_coin() -> None:
    """Texts of one throw each are independent: pooled by summed log-probability, they are a majority vote."""
    n = 12_800
    made = experiment(Coins, ["6", "4"], [["x"], ["y"]], [coins(0.6, n, 1, 3), coins(0.4, n, 1, 4)])
    curve = study.pooled_curve(made)
    assert at(curve) == [1, 2, 4, 8, 16, 32, 64]
    assert (curve.name, curve.unit, curve.target) == ("pooled", "texts", "level")
    for point in curve.points:
        groups = 2 * n / point.at
        assert point.accuracy.value == pytest.approx(majority(point.at, 0.6), abs=4 * 0.5 / math.sqrt(groups))
        assert point.accuracy.n_units == n // point.at, "the n-th groups of all variants share their prompts"


def test_pooling_goes_as_far_as_the_fewest_texts_of_a_source() -> None:
    made = experiment(Coins, ["6", "4"], [["x"], ["y"]], [["x"] * 11, ["y"] * 5])
    curve = study.pooled_curve(made)
    assert at(curve) == [1, 2, 4, 5]
    assert values(curve) == [1.0] * 4
    assert [point.accuracy.n_units for point in curve.points] == [11, 5, 2, 2], "groups that are not full are left out"


def test_pooled_texts_stay_within_their_replicate() -> None:
    # The third replicate's coins are swapped, so fits to the others are wrong there, and more so for larger groups.
    p = [0.7, 0.3, 0.7, 0.3, 0.3, 0.7]
    made = experiment(
        Coins, ["7", "3"] * 3, [["x"]] * 6, [coins(q, 512, 1, i) for i, q in enumerate(p)], "unseen_replicate"
    )
    curve = study.pooled_curve(made)
    assert curve.split == "unseen_replicate"
    last = curve.points[-1]
    assert (last.at, last.by_fold) == (64, (1.0, 1.0, 0.0))
    assert curve.points[0].by_fold == pytest.approx((0.7, 0.7, 0.3), abs=4 * 0.5 / math.sqrt(1024))
    assert last.accuracy.method == "cross-fitted t"


def test_uniform_answers_stay_at_chance_however_many_are_pooled() -> None:
    made = experiment(Memory, ["a", "b", "c"], [["p"], ["q"], ["r"]], [["s"] * 16] * 3)
    assert values(study.pooled_curve(made)) == pytest.approx([1 / 3] * 5, abs=1e-15)


def test_more_training_texts_are_remembered() -> None:
    texts = [[f"{label}{i}" for i in range(64)] for label in "ab"]
    curve = study.training_curve(experiment(Memory, ["a", "b"], texts, texts))
    assert at(curve) == [8, 16, 32, 64]
    # Labels of training texts are known and all others are guesses; each training set is a prefix of the next.
    assert values(curve) == [known / 64 + (1 - known / 64) / 2 for known in (8, 16, 32, 64)]
    assert (curve.name, curve.unit, curve.target) == ("train_texts", "texts a variant", "level")
    few = [texts_[:7] for texts_ in texts]
    assert study.training_curve(experiment(Memory, ["a", "b"], few, few)).points == ()


def test_the_training_curve_counts_texts_of_each_variant() -> None:
    texts = [[f"{v}{i}" for i in range(16)] for v in range(4)]
    made = experiment(Memory, ["a", "b"] * 2, texts, texts)
    assert values(study.training_curve(made)) == [0.75, 1.0]


def test_the_class_curve_is_of_instances_in_their_order() -> None:
    """Three quarters of a variant's texts name it, the others are the same for all: accuracy (3 + 1/k) / 4."""
    names = [f"{level}/r{r}" for r in range(3) for level in "abc"]
    texts = [[name] * 30 + ["?"] * 10 for name in names]
    made = experiment(Bag, ["a", "b", "c"] * 3, texts, texts, "unseen_replicate")
    curve = study.class_curve(made, names)
    assert at(curve) == [2, 4, 8, 9]
    assert values(curve) == pytest.approx([(3 + 1 / k) / 4 for k in (2, 4, 8, 9)])
    assert (curve.name, curve.unit, curve.target, curve.split) == ("classes", "instances", "instance", "unseen_prompt")
