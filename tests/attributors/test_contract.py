"""The checks of attributors: sound ones pass, and a broken one fails the check of the rule that it breaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from natfp_bench.attributors import planted
from natfp_bench.attributors.contract import CHECKS, TOLERANCE, Subject, check
from natfp_bench.base.limits import Limits

NAMES = [one.name for one in CHECKS]


class Sound:
    """Words and marks, multinomial naive Bayes; draws a little noise from its seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, texts: Any, labels: Any) -> Any:
        self.model = make_pipeline(CountVectorizer(token_pattern=r"\w+|[^\w\s]+"), MultinomialNB())
        self.model.fit(texts, labels)
        self.classes_ = self.model.classes_
        self.share = 0.9 + 0.05 * np.random.default_rng(self.seed).random()
        return self

    def predict_proba(self, texts: Any) -> Any:
        return self.share * self.model.predict_proba(texts) + (1 - self.share) / len(self.classes_)


def failing(make: Callable[[int], Any], **options: Any) -> dict[str, str]:
    """Make the checks one after the other in this process; returns what the failed ones saw."""
    seen: dict[str, str] = {}
    for one in CHECKS:
        ok, said = check(Subject(make, **options), one)
        if not ok:
            seen[one.name] = said
            if one.needed:
                break
    return seen


def test_sound_attributors_pass_every_check() -> None:
    assert failing(Sound) == {}


def test_a_plain_pipeline_passes_and_leaves_the_global_generators_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    words = CountVectorizer(token_pattern=r"\w+|[^\w\s]+")
    made = lambda seed: make_pipeline(words.__class__(**words.get_params()), LogisticRegression(random_state=seed))  # noqa: E731
    assert failing(made) == {}
    assert np.random.random() == expected


# Each class breaks one rule. BROKEN names the check that must fail, with a part of what it sees.


class AnswersUnfitted(Sound):
    def predict_proba(self, texts: Any) -> Any:
        if not hasattr(self, "model"):
            return np.full((len(texts), 3), 1 / 3)
        return super().predict_proba(texts)


class ReturnsNothing(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)


class GlobalLuck(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        self.share = 0.9 + 0.05 * np.random.random()
        return self


class Remembers(Sound):
    """Learns from the texts of all its fits."""

    def fit(self, texts: Any, labels: Any) -> Any:
        self.seen = [*getattr(self, "seen", []), *zip(texts, labels, strict=True)]
        return super().fit(*zip(*[pair for pair in self.seen if pair[1] in set(labels)], strict=True))


class KeepsClasses(Sound):
    """Its list of classes only grows."""

    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        self.known = self.classes_ = np.union1d(getattr(self, "known", []), self.classes_)
        return self


class Generator(Sound):
    """Its generator starts in build, so a second fit continues where the first one ended."""

    def __init__(self, seed: int = 0) -> None:
        self.draw = np.random.default_rng(seed)

    def fit(self, texts: Any, labels: Any) -> Any:
        self.seed = int(self.draw.integers(1 << 30))
        return super().fit(texts, labels)


class Shared(Sound):
    """Keeps its model in the class."""

    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        Shared.model, Shared.share, Shared.classes_ = self.__dict__.pop("model"), self.share, self.classes_
        return self


class Clueless(Sound):
    """Looks at the length of a text only."""

    def fit(self, texts: Any, labels: Any) -> Any:
        return super().fit([str(len(text) % 7) for text in texts], labels)

    def predict_proba(self, texts: Any) -> Any:
        return super().predict_proba([str(len(text) % 7) for text in texts])


class Peeks(Sound):
    """Reads the labels of the test in the frames of its callers."""

    def predict_proba(self, texts: Any) -> Any:
        frame = sys._getframe()
        while frame := frame.f_back:
            if "lots" in frame.f_locals:
                truth = dict(zip(frame.f_locals["test"], frame.f_locals["lots"][1], strict=True))
                return np.array([self.classes_ == truth[text] for text in texts], dtype=float)
        return super().predict_proba(texts)


class NormalisesBatch(Sound):
    """Makes the classes equally frequent in each batch."""

    def predict_proba(self, texts: Any) -> Any:
        proba = super().predict_proba(texts)
        proba /= proba.mean(axis=0)
        return proba / proba.sum(axis=1, keepdims=True)


class PadsToLongest(Sound):
    """Its answer for a text depends on how far the text was padded."""

    def predict_proba(self, texts: Any) -> Any:
        longest = max(1, *map(len, texts))
        weight = np.array([[0.99 + 0.01 * len(text) / longest] for text in texts])
        return weight * super().predict_proba(texts) + (1 - weight) / len(self.classes_)


class NeedsWords(Sound):
    def predict_proba(self, texts: Any) -> Any:
        if not all(text.split() for text in texts):
            raise ValueError("no words")
        return super().predict_proba(texts)


class NeedsShortTexts(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        if max(map(len, texts)) > 10_000:
            raise ValueError("too long")
        return super().fit(texts, labels)


BROKEN = [
    (AnswersUnfitted, "build", "an unfitted AnswersUnfitted answers"),
    (ReturnsNothing, "contract", "fit returned a NoneType"),
    (GlobalLuck, "seed", "two fits with one seed give probabilities up to 0.0"),
    (Remembers, "refit", "a first and a second fit give probabilities up to"),
    (KeepsClasses, "refit", "fitted again, it has the classes"),
    (Generator, "refit", "a first and a second fit give probabilities up to"),
    (Clueless, "learns", "chance 0.33: p ="),
    (Peeks, "chance", "accuracy 1.00 of 300 texts"),
    (NormalisesBatch, "batches", "a text's probabilities are up to"),
    (PadsToLongest, "batches", "a text's probabilities are up to 0.00"),
    (NeedsWords, "odd_texts", "asked for an empty text: raised ValueError: no words"),
    (NeedsShortTexts, "odd_texts", "fitted on odd texts among others: raised ValueError: too long"),
]


class NeedsManyTexts:
    """Answers with the frequencies of classes until it has read many texts, and then as another attributor."""

    def __init__(self, later: Sound) -> None:
        self.later = later

    def fit(self, texts: Any, labels: Any) -> Any:
        self.classes_, self.many = np.unique(labels), len(texts) > 100
        if self.many:
            self.later.fit(texts, labels)
        return self

    def predict_proba(self, texts: Any) -> Any:
        if self.many:
            return self.later.predict_proba(texts)
        return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))


@pytest.mark.parametrize(("broken", "name", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_rule_fails_its_own_check_alone(broken: type, name: str, seen: str) -> None:
    found = failing(broken)
    assert list(found) == [name]
    assert seen in found[name]


@pytest.mark.parametrize(
    ("later", "names"),
    [(Sound, []), (GlobalLuck, ["seed"]), (PadsToLongest, ["batches"]), (NeedsWords, ["odd_texts"])],
)
def test_who_learns_nothing_from_few_texts_is_asked_after_more(later: type[Sound], names: list[str]) -> None:
    assert list(failing(lambda seed: NeedsManyTexts(later(seed)))) == names


def test_a_build_that_draws_from_a_global_generator_is_found() -> None:
    found = failing(lambda seed: Sound(np.random.randint(1 << 30)))
    assert "two fits with one seed give probabilities up to 0.0" in found["seed"]


def test_state_that_objects_share_is_found() -> None:
    found = failing(Shared)
    # Every check after the first fit meets a class that is fitted already.
    assert "an unfitted object answers after another one was fitted" in found["refit"]
    single = Sound()
    assert "same object twice" in failing(lambda seed: single)["build"]


def test_answers_that_are_no_probabilities_are_the_contracts_fault() -> None:
    class Doubled(Sound):
        def predict_proba(self, texts: Any) -> Any:
            return 2 * super().predict_proba(texts)

    assert "probabilities are in [0, 1]" in failing(Doubled)["contract"]


def test_a_floor_need_not_learn_and_limits_are_looked_at() -> None:
    assert failing(Clueless, floor=True) == {}
    limits = Limits(seconds=1e-6, memory_mb=1)
    assert list(found := failing(Sound, limits=limits)) == ["run"]
    assert "s of 1e-06" in found["run"]
    assert "MB of 1" in found["run"]


def test_every_check_is_broken_by_someone() -> None:
    assert {name for _, name, _ in BROKEN} | {"run"} == set(NAMES)


def test_planted_texts_have_their_habits_and_odd_texts_are_odd() -> None:
    texts, labels = planted.planted(60, "train")
    assert planted.planted(60, "train") == (texts, labels)
    assert set(texts).isdisjoint(planted.planted(60, "test")[0])
    assert [labels.count(label) for label in planted.HABITS] == [20, 20, 20]
    assert max(map(len, texts)) < 2 * planted.CHARACTERS
    changed = sum(
        any(f" {word} " in text for word in planted.HABITS[label].values())
        for text, label in zip(texts, labels, strict=True)
    )
    assert 20 < changed < 60
    lengths = [len(text) for text in planted.ODD.values()]
    assert lengths.count(100_000) == 2
    assert min(lengths) == 0
    assert json.loads(json.dumps(list(planted.ODD.values()))) == list(planted.ODD.values())
    assert TOLERANCE == 1e-5
