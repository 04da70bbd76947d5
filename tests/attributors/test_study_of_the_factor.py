"""Robustness and wording, on planted texts for which the answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from known_attributors import Bag, experiment, texts_of

from natfp_bench.attributors import study

# Robustness.


def test_robustness_by_condition() -> None:
    """The classes differ in capitals only: which of them remain is known for every condition."""
    capitals, plain = ["Alpha beta ."] * 8, ["alpha beta ."] * 8
    made = experiment(Bag, ["capitals", "plain"], [capitals, plain], [capitals, plain])
    other = {
        "other length": texts_of([["Alpha ."] * 4, ["alpha ."] * 4]),
        "other": texts_of([["Gamma"] * 4, ["alpha"] * 4]),
    }
    rows = study.robustness(made, ["lower_case", "shuffled_words", "content_words"], other, {}, 1000)
    assert [(row.condition, row.trained_on, row.accuracy.value) for row in rows] == [
        ("plain", "plain", 1.0),
        ("lower_case", "plain", 0.5),  # all look like one class
        ("shuffled_words", "plain", 1.0),  # a bag has no order
        ("content_words", "plain", 1.0),
        ("other length", "plain", 1.0),
        ("other", "plain", 0.75),  # an unknown word has no evidence
        ("lower_case", "transformed", 0.5),  # all are alike
        ("shuffled_words", "transformed", 1.0),
        ("content_words", "transformed", 1.0),
    ]


def test_robustness_learns_from_the_first_texts_of_each_variant() -> None:
    made = experiment(Bag, ["1", "2"], [["one"] * 2 + ["two"] * 2, ["two"] * 2 + ["one"] * 2], [["one"], ["two"]])
    cut = made.train.changed(lambda those: [text[:1] for text in those])
    for limit, right in ((2, 1.0), (100, 0.5)):
        plain, *_ = rows = study.robustness(made, ["lower_case"], {"short": made.test}, {"short": (cut, cut)}, limit)
        assert {row.train_texts for row in rows} == {min(limit, 4)}
        assert plain.accuracy.value == right


def test_shorter_texts_get_a_fit_on_texts_of_their_length() -> None:
    """Only the last word differs: texts that are cut before it are at chance, in training and in test."""
    texts = [["a a one"] * 8, ["a a two"] * 8]
    made = experiment(Bag, ["1", "2"], texts, texts)
    cut = texts_of([["a a"] * 8] * 2)
    drawn = {"prompted": texts_of([["one"] * 4, ["two"] * 4]), "cool": texts_of([["a one"] * 4, ["a two"] * 4])}
    rows = study.robustness(made, [], drawn, {"prompted": (cut, cut)}, 1000)
    assert [(row.condition, row.trained_on, row.accuracy.value) for row in rows] == [
        ("plain", "plain", 1.0),
        ("cool", "plain", 1.0),
        ("plain, as short as prompted", "plain", 0.5),
        ("prompted", "plain", 0.5),
    ]


def test_robustness_uses_the_split_of_the_experiment() -> None:
    texts = [[f"{level} r{r}"] * 8 for r in range(3) for level in "ab"]
    made = experiment(Bag, ["a", "b"] * 3, texts, texts, "unseen_replicate")
    (plain,) = study.robustness(made, [], {}, {}, 1000)
    assert (plain.accuracy.value, plain.accuracy.method, plain.accuracy.n_units) == (1.0, "cross-fitted t", 3)


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


@pytest.mark.parametrize(("longest", "orders"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 3])])
def test_n_grams_longer_than_the_texts_of_a_level_are_left_out(longest: int, orders: list[int]) -> None:
    texts = [
        [" ".join(f"{level}{i % 7}" for i in range(n, n + length)) for n, length in enumerate([1, longest] * 4)]
        for level in "ab"
    ]
    texts[0] = [f"{text} and some more" for text in texts[0]]
    found = study.wording(experiment(Bag, ["a", "b"], texts, texts))
    assert [one.order for one in found.jensen_shannon] == orders


# Texts of two sources.


def test_mixed_texts_begin_with_their_own_source_and_end_with_another_of_the_same_replicate() -> None:
    texts = [[f"own {level}{r} mine {level}{r}"] * 6 for r in range(2) for level in "abc"]
    made = experiment(Bag, ["a", "b", "c"] * 2, texts, texts, "unseen_replicate")
    found = study.mixed(made, made.test)
    assert found is not None
    assert found.source is made.test.source
    halves = [text.split() for text in found.texts]
    for source, (own, first, other, second) in zip(found.source.tolist(), halves, strict=True):
        assert (own, first, other) == ("own", f"{'abc'[source % 3]}{source // 3}", "mine")
        assert second[0] != first[0], "by another level"
        assert second[1] == first[1], "of the same replicate"
    assert len({tuple(half) for half in halves[:6]}) == 2, "both other levels take part"
    again = study.mixed(made, made.test)
    assert again is not None
    assert again.texts == found.texts


def test_a_mixture_shows_which_half_the_trace_is_in() -> None:
    """Each class has a word in one half of its texts: a mixture keeps the first half's and misleads with the other."""
    first = [["ant x x x"] * 8, ["bee x x x"] * 8]
    made = experiment(Bag, ["1", "2"], first, first)
    rows = {(row.condition, row.trained_on): row.accuracy.value for row in study.robustness(made, [], {}, {}, 100)}
    assert rows == {("plain", "plain"): 1.0}
    found = study.robustness(made, [], {}, {}, 100, mixtures=True)
    assert {(row.condition, row.trained_on): row.accuracy.value for row in found} == {
        ("plain", "plain"): 1.0,
        (study.MIXED, "plain"): 1.0,
        (study.MIXED, "transformed"): 1.0,
    }
    last = [["x x x ant"] * 8, ["x x x bee"] * 8]
    found = study.robustness(experiment(Bag, ["1", "2"], last, last), [], {}, {}, 100, mixtures=True)
    assert [row.accuracy.value for row in found] == [1.0, 0.0, 1.0], "misled, unless it has learnt from mixtures"


def test_a_replicate_of_one_level_has_no_mixtures() -> None:
    texts = [["one"] * 4, ["two"] * 4]
    made = experiment(Bag, ["1", "2"], texts, texts)
    alone = dataclasses.replace(made, replicates=np.array([0, 1]))
    assert study.mixed(alone, made.test) is None
    assert [row.condition for row in study.robustness(alone, [], {}, {}, 100, mixtures=True)] == ["plain"]
