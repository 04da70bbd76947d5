"""The contract between the benchmark and an attributor, kept and broken."""

import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info

from natfp_bench.attributors.attribute import Attributor, attribute, check_proba
from natfp_bench.base.errors import AttributorError

TRAIN = [f"{word} {i}" for word in ("ape", "bee") for i in range(20)]
LABELS = ["x"] * 20 + ["y"] * 20
PROMPTS = [f"prompt {i}" for i in range(20)] * 2
TEST = ["ape 99", "bee 99", "ape 98"]


class Spy:
    """Keeps the contract and what it was shown; answers 0.75 for the class whose animal is in the text."""

    answer = None

    def fit(self, texts, labels):
        self.texts, self.labels = texts, labels
        self.threads = [library["num_threads"] for library in threadpool_info()]
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, texts):
        self.asked = texts
        if self.answer is not None:
            return self.answer
        return np.array([[0.75, 0.25] if "ape" in text else [0.25, 0.75] for text in texts])


class GroupSpy(Spy):
    def fit(self, texts, labels, groups=None):
        self.groups = groups
        return super().fit(texts, labels)


def run(attributor, *, seed=0, prompts=PROMPTS, test=TEST, threads=1):
    return attribute(lambda seed: attributor, seed, TRAIN, LABELS, prompts, test, threads=threads)


def test_answers_come_back_in_the_order_of_the_texts():
    test = [f"{'ape' if i % 3 else 'bee'} {i}" for i in range(50)]
    spy = Spy()
    found = run(spy, test=test)
    assert found.classes == ("x", "y")
    assert found.proba.dtype == np.float64
    np.testing.assert_array_equal(found.proba[:, 0], [0.75 if i % 3 else 0.25 for i in range(50)])
    assert found.fit_seconds >= 0
    assert 10 < found.peak_mb < 100_000
    assert found.predict_seconds >= 0
    assert spy.asked != test
    assert sorted(spy.asked) == sorted(test)


def test_training_order_tells_nothing_of_the_labels():
    spy = Spy()
    run(spy)
    assert sorted(zip(spy.texts, spy.labels, strict=True)) == sorted(zip(TRAIN, LABELS, strict=True))
    # Wald-Wolfowitz: 40 labels in random order have 21 runs, standard deviation 3.1; sorted labels have 2.
    assert 12 <= 1 + sum(a != b for a, b in zip(spy.labels, spy.labels[1:], strict=False)) <= 30
    again = Spy()
    run(again)
    assert again.texts == spy.texts


def test_groups_are_opaque_follow_the_texts_and_are_passed_only_when_asked():
    spy = GroupSpy()
    run(spy)
    prompt_of = dict(zip(TRAIN, PROMPTS, strict=True))
    pairs = {(prompt_of[text], int(group)) for text, group in zip(spy.texts, spy.groups, strict=True)}
    assert len(pairs) == 20  # a bijection between prompts and numbers
    assert {group for _, group in pairs} == set(range(20))
    assert [group for _, group in sorted(pairs, key=lambda pair: int(pair[0].split()[1]))] != list(range(20))
    renamed = GroupSpy()
    run(renamed, prompts=[f"{prompt}!" for prompt in PROMPTS])
    np.testing.assert_array_equal(renamed.groups, spy.groups)  # the name of a prompt changes nothing
    run(Spy())  # has no parameter `groups`, and would raise if given one


def test_any_scikit_learn_pipeline_on_strings_qualifies():
    pipeline = make_pipeline(TfidfVectorizer(), MultinomialNB())
    found = run(pipeline)
    assert isinstance(pipeline, Attributor)
    assert found.proba.argmax(axis=1).tolist() == [0, 1, 0]
    assert run(make_pipeline(TfidfVectorizer(), LogisticRegression())).proba.argmax(axis=1).tolist() == [0, 1, 0]


def test_threads_are_limited_while_fitting():
    spy = Spy()
    run(spy)
    assert spy.threads
    assert set(spy.threads) == {1}


def raising(method, error):
    def fail(self, *_):
        raise error

    return type("Raising", (Spy,), {method: fail})()


@pytest.mark.parametrize(
    ("attributor", "message"),
    [
        (raising("fit", ValueError("first line\nlast line")), r"fit raised ValueError: last line \(test_attribute"),
        (raising("predict_proba", ZeroDivisionError()), "predict_proba raised ZeroDivisionError"),
        (raising("fit", SystemExit(2)), "fit raised SystemExit: 2"),
        (type("NoClasses", (Spy,), {"fit": lambda self, texts, labels: self})(), "classes_ raised AttributeError"),
    ],
)
def test_exceptions_become_the_attributors_fault(attributor, message):
    with pytest.raises(AttributorError, match=message):
        run(attributor)


def test_a_failing_build_is_the_attributors_fault_and_an_interruption_is_not():
    with pytest.raises(AttributorError, match="build raised ZeroDivisionError"):
        attribute(lambda seed: 1 // 0, 0, TRAIN, LABELS, PROMPTS, TEST)
    with pytest.raises(KeyboardInterrupt):
        run(raising("fit", KeyboardInterrupt()))


@pytest.mark.parametrize("classes", [["y", "x"], ["x"], ["x", "y", "z"], [0, 1]])
def test_wrong_classes(classes):
    def fit(self, texts, labels):
        self.classes_ = np.array(classes)
        return self

    with pytest.raises(AttributorError, match=r"classes_ is .*, not \['x', 'y'\]"):
        run(type("Wrong", (Spy,), {"fit": fit})())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.full((2, 2), 0.5), r"shape \(2, 2\), not \(3, 2\)"),
        (np.full(3, 0.5), r"shape \(3,\), not \(3, 2\)"),
        ([[0.5, 0.5], [0.5, np.nan], [0.5, 0.5]], "NaN or infinity for 1 of 3 texts"),
        ([[0.5, 0.5], [1.5, -0.5], [0.5, 0.5]], "numbers from -0.5 to 1.5"),
        ([[0.5, 0.5], [0.5, 0.4], [0.5, 0.5]], "sums to 0.9"),
        ([[0.0, 0.0], [0.5, 0.5], [0.5, 0.5]], "sums to 0;"),
        ([["a", "b"]] * 3, "no array of numbers"),
        ([[0.5, 0.5], [1.0]], "no array of numbers"),
        (None, r"shape \(\), not"),
    ],
)
def test_answers_that_are_no_probabilities(answer, message):
    with pytest.raises(AttributorError, match=message):
        run(type("Wrong", (Spy,), {"predict_proba": lambda self, texts: answer})())


def test_rounding_is_forgiven_and_mended():
    p = check_proba([[1 + 5e-7, -5e-7], [0.3, 0.7 + 5e-7]], 2, 2)
    np.testing.assert_array_equal(p[0], [1, 0])
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=2.3e-16)
    with pytest.raises(AttributorError, match="sums to"):
        check_proba([[0.3, 0.7 + 3e-6]], 1, 2)
    assert check_proba(np.empty((0, 2)), 0, 2).shape == (0, 2)


def test_the_peak_of_memory_is_of_this_fit_alone():
    class Hungry:
        def fit(self, texts, labels):
            self.classes_ = np.unique(labels)
            held = np.ones(self.size * 2**17)  # `size` MB
            self.used = float(held.sum())
            return self

        def predict_proba(self, texts):
            return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))

    def peak(size):
        def build(seed):
            made = Hungry()
            made.size = size
            return made

        return attribute(build, 0, ["a", "b"], ["x", "y"], [0, 1], ["c"]).peak_mb

    small, large = peak(1), peak(400)
    assert large - small > 300
    if sys.platform == "linux":  # other systems cannot reset the peak of a process
        assert peak(1) < large - 300
