"""Studies that refit the reference attributor many times: how its accuracy depends on the texts that it gets.

A study is a plain function of an experiment, which has labelled texts and says how a fit is tested. Accuracies have the
interval of their split: over replicates if those are held out, otherwise a bootstrap over prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.corpus import words
from natfp_bench.plan.split import UNSEEN_PROMPT, UNSEEN_REPLICATE, Fold, folds
from natfp_bench.statistics import intervals, metrics, per_text
from natfp_bench.statistics.curves import MIXED, Curve, Point, Robustness, Wording, powers
from natfp_bench.statistics.intervals import Floats, Interval, Ints
from natfp_bench.statistics.wording import jensen_shannon, telling_words

from . import transforms
from .attribute import Attributor, attribute


@dataclass(frozen=True)
class Texts:
    """Texts, the index of the variant that wrote each, and the prompt that each continues: all (n,)."""

    texts: Sequence[str]
    source: Ints
    prompts: Ints

    def take(self, keep: NDArray[np.bool_]) -> Texts:
        """Select texts by a mask."""
        index = np.flatnonzero(keep)
        return Texts([self.texts[i] for i in index.tolist()], self.source[index], self.prompts[index])

    def written_by(self, variants: NDArray[np.bool_]) -> Texts:
        """Select the texts of some variants, (variants,) bool."""
        return self.take(variants[self.source])

    def first(self, limit: int) -> Texts:
        """Select the first texts of each variant, at most `limit`."""
        return self.take(places(self.source) < limit)

    def changed(self, change: Callable[[Sequence[str]], Sequence[str]]) -> Texts:
        """Apply a function to all texts."""
        return replace(self, texts=change(self.texts))


class Answer(NamedTuple):
    """Answers of a fit to the test texts of one fold: proba (n, k), truth (n,) class indices, prompts (n,)."""

    proba: Floats
    truth: Ints
    prompts: Ints


@dataclass(frozen=True)
class Experiment:
    """Labelled texts and how a fit is tested.

    labels, replicates: one of each per variant. split: a fit is tested by the folds of this split (`split.folds`).
    """

    build: Callable[[int], Attributor]
    seed: int
    labels: tuple[str, ...]
    replicates: Ints
    split: str
    train: Texts
    test: Texts

    @property
    def folds(self) -> list[Fold]:
        """The folds; each is one fit."""
        return folds(self.split, self.replicates)

    def fit(self, train: Texts, *tests: Texts) -> list[list[Answer]]:
        """Fit once per fold; returns for each test set a list of answers, one per fold."""
        answers: list[list[Answer]] = [[] for _ in tests]
        labels = np.array(self.labels)
        for fold in self.folds:
            known = train.written_by(fold.known)
            asked = [test.written_by(fold.tested) for test in tests]
            shown = [text for test in asked for text in test.texts]
            found = attribute(
                self.build, self.seed, known.texts, labels[known.source].tolist(), known.prompts.tolist(), shown
            )
            start = 0
            for answer, test in zip(answers, asked, strict=True):
                truth = np.searchsorted(np.array(found.classes), labels[test.source]).astype(np.int64)
                answer.append(Answer(found.proba[start : start + len(truth)], truth, test.prompts))
                start += len(truth)
        return answers

    def accuracy(self, answers: Sequence[Answer]) -> Interval:
        """Accuracy over the folds, with the interval of the split."""
        if self.split == UNSEEN_REPLICATE:
            return intervals.fold_interval(_by_fold(answers))
        (only,) = answers
        return metrics.score(only.proba, only.truth, only.prompts, self.seed)["accuracy"]

    def point(self, at: int, answers: Sequence[Answer]) -> Point:
        """One point of a curve."""
        return Point(at=at, accuracy=self.accuracy(answers), by_fold=tuple(_by_fold(answers)))


def _by_fold(answers: Sequence[Answer]) -> list[float]:
    return [float(per_text.credits(answer.proba, answer.truth).mean()) for answer in answers]


def regrouped(
    experiment: Experiment, labels: Sequence[str], replicates: Ints, split: str, kept: NDArray[np.bool_]
) -> Experiment:
    """Look at the texts of some variants, (V,) bool, with other labels, replicates and folds.

    labels, replicates: of all variants.
    """
    place = np.cumsum(kept) - 1

    def taken(texts: Texts) -> Texts:
        own = texts.written_by(kept)
        return replace(own, source=place[own.source])

    return replace(
        experiment,
        labels=tuple(label for label, keep in zip(labels, kept.tolist(), strict=True) if keep),
        replicates=replicates[kept],
        split=split,
        train=taken(experiment.train),
        test=taken(experiment.test),
    )


def length_curve(
    experiment: Experiment, cut: Callable[[int], tuple[Texts, Texts]], lengths: Sequence[int], unit: str
) -> Curve:
    """Accuracy against the length of all texts; `cut` gives the training and test texts at a length."""
    points = []
    for length in lengths:
        (answers,) = experiment.fit(*cut(length))
        points.append(experiment.point(length, answers))
    return Curve(name="length", unit=unit, target="level", split=experiment.split, points=tuple(points))


def pooled_curve(experiment: Experiment) -> Curve:
    """Accuracy against the number of test texts of one source that are judged together, by summed log-probabilities."""
    (answers,) = experiment.fit(experiment.train, experiment.test)
    smallest = min(int(np.bincount(experiment.test.source).min()), 64)
    points = []
    for size in powers(smallest):
        pooled = []
        for fold, answer in zip(experiment.folds, answers, strict=True):
            source = experiment.test.written_by(fold.tested).source
            pooled.append(_pool(answer, source, size))
        points.append(experiment.point(size, pooled))
    return Curve(name="pooled", unit="texts", target="level", split=experiment.split, points=tuple(points))


def _pool(answer: Answer, source: Ints, size: int) -> Answer:
    logs = np.log(per_text.mixed(answer.proba))
    proba, truth, groups = [], [], []
    for variant in np.unique(source):
        rows = np.flatnonzero(source == variant)
        whole = rows[: len(rows) // size * size].reshape(-1, size)
        total = logs[whole].sum(1)
        likely = np.exp(total - total.max(1, keepdims=True))
        proba.append(likely / likely.sum(1, keepdims=True))
        truth.append(answer.truth[whole[:, 0]])
        # The n-th groups of all variants share their prompts.
        groups.append(np.arange(len(whole)))
    return Answer(np.concatenate(proba), np.concatenate(truth), np.concatenate(groups).astype(np.int64))


def training_curve(experiment: Experiment) -> Curve:
    """Accuracy against the number of training texts per variant; each set is a prefix of the next."""
    counts = np.bincount(experiment.train.source)
    points = []
    for size in [int(counts.min()) // part for part in (16, 8, 4, 2, 1) if counts.min() // part >= 8]:
        (answers,) = experiment.fit(experiment.train.first(size), experiment.test)
        points.append(experiment.point(size, answers))
    return Curve(
        name="train_texts", unit="texts a variant", target="level", split=experiment.split, points=tuple(points)
    )


def class_curve(experiment: Experiment, names: Sequence[str]) -> Curve:
    """Accuracy of identifying instances against their number.

    names: one per variant. Instances are taken in the order of the variants.
    """
    instances = replace(experiment, labels=tuple(names), split=UNSEEN_PROMPT)
    points = []
    for size in powers(len(names), 2):
        among = np.arange(len(names)) < size
        (answers,) = instances.fit(instances.train.written_by(among), instances.test.written_by(among))
        points.append(instances.point(size, answers))
    return Curve(name="classes", unit="instances", target="instance", split=UNSEEN_PROMPT, points=tuple(points))


def robustness(
    experiment: Experiment,
    names: Sequence[str],
    transfer: Mapping[str, Texts],
    short: Mapping[str, tuple[Texts, Texts]],
    limit: int,
    *,
    mixtures: bool = False,
) -> list[Robustness]:
    """Accuracy on transformed texts and on texts that were sampled in another way.

    names: transforms. transfer: test texts by condition, sampled in another way. short: for the conditions with shorter
    texts, the training and test texts cut to their length, which need fits of their own. limit: most training texts of
    each variant, since there are many fits. mixtures: also on texts that are `mixed`.
    """
    learnt = experiment.train.first(limit)
    most = int(np.bincount(learnt.source).max())

    def row(condition: str, trained_on: Literal["plain", "transformed"], answers: Sequence[Answer]) -> Robustness:
        accuracy = experiment.accuracy(answers)
        return Robustness(condition=condition, trained_on=trained_on, train_texts=most, accuracy=accuracy)

    def changed(texts: Texts, name: str) -> Texts:
        return texts.changed(lambda those: transforms.apply(name, those, experiment.seed))

    same = {name: texts for name, texts in transfer.items() if name not in short}
    tests = {"plain": experiment.test, **{name: changed(experiment.test, name) for name in names}, **same}
    known = {name: changed(learnt, name) for name in names}
    if mixtures and (pairs := mixed(experiment, experiment.test)) is not None:
        tests[MIXED], known[MIXED] = pairs, mixed(experiment, learnt) or learnt
    answers = experiment.fit(learnt, *tests.values())
    rows = [row(name, "plain", found) for name, found in zip(tests, answers, strict=True)]
    for name, texts in known.items():
        (found,) = experiment.fit(texts, tests[name])
        rows.append(row(name, "transformed", found))
    for name, (train, test) in short.items():
        plain, other = experiment.fit(train.first(limit), test, transfer[name])
        rows += [row(f"plain, as short as {name}", "plain", plain), row(name, "plain", other)]
    return rows


def mixed(experiment: Experiment, texts: Texts) -> Texts | None:
    """The first half of each text, followed by the second half of a text by a source of another level.

    The other source is one of the same replicate, drawn at random for each text, so that a fit that holds a replicate
    out has met neither of the two; its text has the same place among those of its source, and so the same prompt. None
    if a replicate has one level alone.
    """
    labels, place = np.array(experiment.labels), places(texts.source)
    by_source = {source: np.flatnonzero(texts.source == source) for source in np.unique(texts.source).tolist()}
    others = {
        source: [
            other
            for other in by_source
            if labels[other] != labels[source] and experiment.replicates[other] == experiment.replicates[source]
        ]
        for source in by_source
    }
    if not all(others.values()):
        return None
    drawn = streams.raw(len(texts.source), "mixed", experiment.seed)
    made = []
    for i, (text, source) in enumerate(zip(texts.texts, texts.source.tolist(), strict=True)):
        among = others[source]
        rows = by_source[among[int(drawn[i] % np.uint64(len(among)))]]
        second = texts.texts[int(rows[place[i] % len(rows)])]
        made.append(text[: transforms.middle(text)] + second[transforms.middle(second) :])
    return replace(texts, texts=made)


def wording(experiment: Experiment) -> Wording:
    """Find the words that separate the levels, and how far the levels' 1-, 2- and 3-grams diverge in the test texts.

    N-grams that are longer than all texts of a level are left out.
    """
    classes, of_variant = np.unique(np.array(experiment.labels), return_inverse=True)
    parts = (experiment.train, experiment.test)
    read = [words.words(text) for part in parts for text in part.texts]
    source = np.concatenate([part.source for part in parts])
    test = np.arange(len(read)) >= len(experiment.train.texts)
    truth, tested = of_variant[source].astype(np.int64), read[len(experiment.train.texts) :]
    many = len(np.unique(experiment.replicates)) > 1
    telling = telling_words(read, truth, test, classes.tolist(), experiment.replicates[source] if many else None)
    length, level = np.array([len(text) for text in tested]), truth[test]
    longest = min(int(length[level == number].max(initial=0)) for number in range(len(classes)))
    orders = [n for n in (1, 2, 3) if n <= longest]
    divergences = [jensen_shannon(tested, level, n, seed=experiment.seed) for n in orders]
    return Wording(telling_words=tuple(telling), jensen_shannon=tuple(divergences))


def places(source: Ints) -> Ints:
    """Position of each text among the texts of its variant: (n,)."""
    place = np.empty(len(source), dtype=np.int64)
    for variant in np.unique(source):
        mine = np.flatnonzero(source == variant)
        place[mine] = np.arange(len(mine))
    return place
