"""The fast bundled baselines, and the text classifier that some of them share."""

import numpy as np
import pytest
from fast_baselines import NAMES, build
from planted_words import planted
from scipy.sparse import csr_matrix, random_array
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from natfp_bench.attributors import text_classifier
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.text_classifier import TextClassifier, logistic_regression

ODD = ["", " ", "a", "\n\n", "🙂", "👩‍👩‍👧 日本語 العربية", "\x00", "x" * 50_000]


def run(name, train, labels, test, seed=0):
    prompts = [i // 3 for i in range(len(train))]
    return attribute(lambda seed: build(name, seed), seed, train, labels, prompts, test)


def accuracy(found, labels):
    return float(np.mean(np.array(found.classes)[found.proba.argmax(axis=1)] == labels))


@pytest.mark.parametrize("name", NAMES[1:])
def test_beats_chance_on_planted_texts_and_knows_how_sure_it_is(name):
    train, labels = planted(600, 1)
    test, truth = planted(600, 2)
    found = run(name, train, labels, test)
    right = found.proba[np.arange(600), [found.classes.index(label) for label in truth]]
    # Style is spread over the letters here, and a code length is a whole number of bytes.
    least, most = {"stylometry": (0.6, 0.9), "compression": (0.7, 0.7)}.get(name, (0.85, 0.5))
    assert accuracy(found, truth) > least
    assert -np.log(right).mean() < most


@pytest.mark.parametrize("name", NAMES)
def test_at_chance_on_shuffled_labels_and_says_so(name):
    train, labels = planted(600, 1)
    test, truth = planted(600, 2)
    # Test labels are random too: with two planted classes, the hits of a random rule would depend on each other.
    np.random.default_rng(3).shuffle(labels)
    np.random.default_rng(4).shuffle(truth)
    found = run(name, train, labels, test)
    assert abs(accuracy(found, truth) - 1 / 3) < 4 * np.sqrt(2 / 9 / 600)
    right = found.proba[np.arange(600), [found.classes.index(label) for label in truth]]
    assert -np.log(right).mean() < np.log(3) + 0.02  # overconfidence costs no bits


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "ensemble" else name for name in NAMES]
)
def test_odd_texts_survive_in_training_and_in_test(name):
    train, labels = planted(60, 1)
    found = run(name, train + ODD, labels + ["class 0"] * len(ODD), ODD)
    assert found.proba.shape == (len(ODD), 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_answered_alike_alone_and_in_any_batch(name):
    train, labels = planted(90, 1)
    test = planted(30, 2)[0] + ODD
    attributor = build(name).fit(train, labels)
    whole = attributor.predict_proba(test)
    np.testing.assert_array_equal(np.vstack([attributor.predict_proba([text]) for text in test]), whole)
    np.testing.assert_array_equal(attributor.predict_proba(test[::-1])[::-1], whole)
    assert attributor.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_answer(name):
    train, labels = planted(150, 1)
    test, _ = planted(50, 2)
    np.testing.assert_array_equal(run(name, train, labels, test, 7).proba, run(name, train, labels, test, 7).proba)


def test_the_number_of_threads_changes_no_bit():
    # Wide enough that BLAS would split its dot products if it were allowed to.
    draw = np.random.default_rng(6)
    texts = [" ".join(f"w{i}" for i in draw.integers(0, 20_000, 150)) for _ in range(300)]
    labels = [str(i % 3) for i in range(300)]
    found = [
        attribute(lambda seed: TextClassifier(CountVectorizer()), 0, texts, labels, range(300), texts, threads=n).proba
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(found[0], found[1])


def test_majority_answers_with_the_class_frequencies():
    found = run("majority", ["a"] * 4, ["x", "y", "y", "y"], ["b", "c"])
    np.testing.assert_array_equal(found.proba, [[0.25, 0.75], [0.25, 0.75]])


def test_rare_features_are_fitted_to_the_optimum():
    # Solvers that stop when the gradient's largest entry is small leave such a fit at chance. The slow exact solver is
    # the reference.
    draw = np.random.default_rng(4)
    x = csr_matrix(random_array((300, 4000), density=0.01, rng=draw) / 20)
    y = (x @ draw.normal(size=(4000, 3)) * 20 + draw.gumbel(size=(300, 3))).argmax(axis=1)
    exact = LogisticRegression(C=16.0, solver="newton-cg", tol=1e-10, max_iter=5000)
    # LIBLINEAR penalises the intercept too, as if it were a feature that is always 1.
    exact.set_params(fit_intercept=False)
    known = OneVsRestClassifier(exact).fit(np.c_[x.toarray(), np.ones(300)], y)
    found = logistic_regression(16.0).fit(x, y)
    np.testing.assert_allclose(found.predict_proba(x), known.predict_proba(np.c_[x.toarray(), np.ones(300)]), atol=2e-3)
    assert found.predict_proba(x).max() > 0.45


def test_inner_validation_never_separates_a_group(monkeypatch):
    seen = []

    class Spy(LogisticRegression):
        def fit(self, x, y):
            seen.append(set(x.toarray().argmax(axis=1)))
            return super().fit(x, y)

    monkeypatch.setattr(text_classifier, "LogisticRegression", Spy)
    # Each group of four texts has one word of its own, so a fold's words are its groups.
    texts = [f"word{i // 4}" for i in range(160)]
    labels = [str(i % 2) for i in range(160)]
    groups = [i // 4 for i in range(160)]
    TextClassifier(CountVectorizer()).fit(texts, labels, groups=groups)
    assert seen[-1] == set(range(40))  # the last fit has all of them
    assert {len(words) for words in seen[:-1]} == {30}  # each other fit lacks ten whole groups


def test_a_leak_through_groups_is_not_chosen():
    # Every group has a word of its own and one label. If validation separated texts of a group, the word would predict
    # the label, and the weakest penalty would be chosen. Between groups the word predicts nothing.
    draw = np.random.default_rng(5)
    groups = np.repeat(np.arange(80), 4)
    texts, labels = [f"word{group}" for group in groups], draw.integers(0, 2, 80)[groups].astype(str)
    kept = TextClassifier(CountVectorizer()).fit(texts, labels, groups=groups)
    split = TextClassifier(CountVectorizer()).fit(texts, labels)
    assert kept.C_ <= 1 / 4
    assert split.C_ >= 4


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_texts_and_a_single_group(n):
    texts, labels = ["aa b", "b cc", "aa c", "cc", "b"][:n], ["x", "y", "x", "y", "y"][:n]
    for groups in (None, [0] * n):
        p = TextClassifier(CountVectorizer(analyzer="char")).fit(texts, labels, groups).predict_proba(texts)
        np.testing.assert_allclose(p.sum(axis=1), 1)
