"""Models of classes: texts without labels join the class that they are likeliest of, and help to tell the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import planted_words
import pytest
import torch

from natfp_bench.attributors import class_models
from natfp_bench.attributors.class_models import (
    Choice,
    ClassModels,
    Trunk,
    encode_rows,
    faded_log_likelihoods,
    log_likelihoods,
    log_probabilities,
    small_llama,
)
from natfp_bench.attributors.knowledge import Knowledge
from natfp_bench.attributors.neural_text import END, pad, train_tokenizer

pytestmark = pytest.mark.slow

NOTHING = Knowledge(rung="texts")

STRENGTH = 1.6
"""How much more often a class uses its words: so little that labelled texts alone leave much to be learnt."""


class Tiny(ClassModels):
    """A model of one layer that begins with nothing."""

    texts: Sequence[str] = ()

    def trunk(self, texts: Sequence[str]) -> Trunk:
        return small_llama(train_tokenizer(texts, 300, 32), END, width=32, layers=1, context=32)

    def further(self) -> Sequence[str]:
        return self.texts


def fitted(further: Sequence[str], rounds: int) -> Tiny:
    texts, labels = planted_words.planted(480, 1, classes=2, strength=STRENGTH)
    made = Tiny(0, NOTHING, reading=3, rounds=rounds)
    made.texts = further
    return made.fit(texts, labels)


def loss(made: Tiny) -> float:
    texts, labels = planted_words.planted(400, 2, classes=2, strength=STRENGTH)
    proba = made.predict_proba(texts)
    return -float(np.log(proba[np.arange(400), np.searchsorted(made.classes_, labels)]).mean())


FURTHER = planted_words.planted(800, 3, classes=2, strength=STRENGTH)[0]


@pytest.fixture(scope="module")
def alone() -> Tiny:
    """Copies of a trunk that has read all texts, tuned on the labelled ones only."""
    return fitted(FURTHER, 0)


def test_texts_without_labels_help_to_tell_classes(alone: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_models, "FEWEST", 60)
    assert loss(fitted(FURTHER, 1)) < 0.9 * loss(alone)


def test_by_few_held_out_texts_none_is_given_to_a_class(alone: Tiny) -> None:
    assert loss(fitted(FURTHER, 1)) == loss(alone)


def test_classes_are_drawn_by_their_probabilities(alone: Tiny) -> None:
    texts = planted_words.planted(1000, 4, classes=2, strength=STRENGTH)[0]
    expected = alone.predict_proba(texts)[:, 1]
    drawn = alone._drawn(encode_rows(alone._trunk, texts), alone.temperature_, 1)
    error = np.sqrt((expected * (1 - expected)).sum())
    assert abs(drawn.sum() - expected.sum()) < 4 * error
    assert drawn[expected > 0.9].mean() > 0.85
    assert drawn[expected < 0.1].mean() < 0.15


def test_few_texts_beside_the_labelled_ones_are_not_given_to_classes(
    alone: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_models, "FEWEST", 60)
    monkeypatch.setattr(class_models, "WORTH", 1 + len(FURTHER) / 400)
    assert loss(fitted(FURTHER, 1)) == loss(alone)


def test_a_trunk_reads_so_many_texts_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[tuple[str | int, ...], int] = {}

    class Watched(Tiny):
        def _epochs(
            self, model: torch.nn.Module, rows: Sequence[Sequence[int]], *how: float, **named: object
        ) -> object:
            read[how[2:]] = len(rows)
            return super()._epochs(model, rows, *how, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(class_models, "COMMON", 500)
    texts, labels = planted_words.planted(480, 1, classes=2, strength=STRENGTH)
    made = Watched(0, NOTHING, reading=1, tuning=1, rounds=0)
    made.texts = FURTHER
    made.fit(texts, labels)
    known = sum(count for name, count in read.items() if name[0] == "class")
    assert 300 < known < 480
    assert read["common",] == -(-(known + len(FURTHER)) // 3), "every third one"


def test_weights_of_tokens_fade_over_a_span(alone: Tiny) -> None:
    rows = encode_rows(alone._trunk, planted_words.planted(40, 5, classes=2)[0])
    models = list(alone._answering[0])
    found = faded_log_likelihoods(models, rows, [math.inf, 8.0])
    np.testing.assert_array_equal(found[:, :, 0], log_likelihoods(models, rows))
    for row, one in zip(rows, found, strict=True):
        with torch.no_grad():
            logs = np.stack([log_probabilities(model, pad([row]))[0, : len(row) - 1].numpy() for model in models])
        np.testing.assert_allclose(one[:, 1], (logs * np.exp(-np.arange(len(row) - 1) / 8)).sum(1), rtol=1e-4)


def noisy(y: np.ndarray, signal: float, seed: int) -> np.ndarray:
    """Scores of two classes: a signal for the true one, and noise of variance one."""
    scores = np.random.default_rng(seed).normal(size=(len(y), 2))
    scores[np.arange(len(y)), y] += signal
    return scores


def test_the_span_and_the_rounds_are_those_that_separate_held_out_texts_best() -> None:
    y = np.arange(400) % 2
    made = Tiny(0, NOTHING, averaged=True, spans=(math.inf, 1.0))
    made.frequencies_ = np.array([0.5, 0.5])
    last, before = (np.stack([noisy(y, 0.5, i), noisy(y, 1.5, i + 10)], axis=2) for i in (1, 2))
    useless = np.stack([noisy(y, 0.0, i) for i in (3, 4)], axis=2)
    chosen = made._chosen([last, before, useless], y)
    assert (chosen.span, chosen.rounds) == (1, 2), "errors of two rounds cancel; a third one has nothing to say"
    assert chosen.loss < made._chosen([last], y).loss
    made.averaged = False
    assert made._chosen([last, before, useless], y) == made._chosen([last], y)


def test_rounds_answer_together_by_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(Tiny):
        def _chosen(self, heard: Sequence[np.ndarray], y: np.ndarray) -> Choice:
            found = super()._chosen(heard, y)
            return found if len(heard) == 1 else found._replace(rounds=2, loss=-1.0)

    monkeypatch.setattr(class_models, "FEWEST", 60)
    texts, labels = planted_words.planted(480, 1, classes=2, strength=STRENGTH)
    made = Both(0, NOTHING, reading=3, rounds=1, averaged=True)
    made.texts = FURTHER
    made.fit(texts, labels)
    rows = encode_rows(made._trunk, texts[:40])
    each = [log_likelihoods(models, rows) for models in made._answering]
    assert len(each) == 2
    assert np.abs(each[0] - each[1]).max() > 0.01
    np.testing.assert_array_equal(made.score(texts[:40]), np.mean(each, axis=0))


def test_where_texts_take_turns_no_copies_guess_what_they_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[set[tuple[int, ...]]] = []
    asked: list[set[tuple[int, ...]]] = []

    class Watched(Tiny):
        def _chosen(self, heard: Sequence[np.ndarray], y: np.ndarray) -> Choice:
            return super()._chosen(heard, y)._replace(temperature=1.0, loss=-float(len(read)))

        def _copies(self, own: Sequence[Sequence[Sequence[int]]], *how: object) -> torch.nn.ModuleList:
            read.append({tuple(row) for rows in own for row in rows})
            return super()._copies(own, *how)  # type: ignore[arg-type]

        def _drawn(self, rows: Sequence[Sequence[int]], *how: object) -> np.ndarray:
            asked.append({tuple(row) for row in rows})
            assert len(self._answering) == 1
            return super()._drawn(rows, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(class_models, "FEWEST", 60)
    texts, labels = planted_words.planted(480, 1, classes=2, strength=STRENGTH)
    made = Watched(0, NOTHING, reading=0, tuning=1, rounds=3, averaged=True)
    made.texts = FURTHER
    made.fit(texts, labels)
    labelled = read[0]
    for guessed, before, after in zip(asked, read[:-1], read[1:], strict=True):
        assert not (guessed - labelled) & before
        assert after == labelled | guessed
    assert len(asked) == 3
    assert asked[0] == asked[2] != asked[1], "two shares in turn"
    assert len(asked[0] | asked[1]) > 0.9 * len(FURTHER)
