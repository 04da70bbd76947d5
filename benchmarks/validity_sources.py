"""Planted sources of text, whose Bayes accuracy, information and divergence are known exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from natfp_bench.attributors import attribute, registry
from natfp_bench.base import streams
from natfp_bench.statistics import ceiling, paired, per_text
from natfp_bench.statistics.intervals import Floats, Interval, Ints

WORDS = np.array(["ka", "lomi", "tu"])
LENGTH = 8


@dataclass(frozen=True)
class Amount:
    """How much is simulated.

    texts: of each planted source. draws: of training and test texts, for each attributor. experiments: for each
    coverage. folds: for coverage over held-out runs. nulls: experiments for the size of each test. pool: draws from the
    pool of real models, 0 to leave it out.
    """

    texts: int
    draws: int
    experiments: int
    folds: int
    nulls: int
    pool: int


@dataclass(frozen=True)
class Row:
    """One line of the document."""

    what: str
    expected: str
    seen: str
    band: str
    holds: bool


@dataclass(frozen=True)
class Chains:
    """V sources of text, each a Markov chain over three words. start (V, 3), step (V, 3, 3), classes (V,)."""

    start: Floats
    step: Floats
    classes: Ints

    def sample(self, texts: int, length: int, *name: str | int) -> tuple[Ints, Ints]:
        """Draw texts from each source: words (V * texts, length) and the source of each text."""
        source = np.repeat(np.arange(len(self.start)), texts)
        uniforms = streams.uniforms([0], len(source) * length, "validity", "texts", *name).reshape(length, -1, 1)
        words = np.zeros((len(source), length), dtype=np.int64)
        for place, drawn in enumerate(uniforms):
            known = self.step[source, words[:, place - 1]] if place else self.start[source]
            words[:, place] = (drawn >= known.cumsum(1)[:, :-1]).sum(1)
        return words, source

    def log_likelihood(self, words: Ints) -> Floats:
        """Log-probability of each text (n, length) under each source, (n, V) nats."""
        steps = np.log(self.step)[:, words[:, :-1], words[:, 1:]].sum(2)
        return np.asarray((np.log(self.start)[:, words[:, 0]] + steps).T)

    def truth(self, length: int) -> tuple[float, float]:
        """Bayes accuracy and mutual information in bits, by enumerating all texts of a length."""
        every = np.array([*itertools.product(range(len(WORDS)), repeat=length)])
        probability = np.exp(self.log_likelihood(every))
        k = int(self.classes.max()) + 1
        joint = np.stack([probability[:, self.classes == c].mean(1) for c in range(k)]) / k
        information = joint * np.log2(joint / (joint.sum(0) / k))
        return float(joint.max(0).sum()), float(information.sum())

    def mean_kl(self, length: int) -> Floats:
        """Mean KL per word in bits, (V, V), by the chain rule over the positions of a text."""
        apart = (self.step[:, None] * np.log2(self.step[:, None] / self.step)).sum(-1)
        total = (self.start[:, None] * np.log2(self.start[:, None] / self.start)).sum(-1)
        word = self.start
        for _ in range(length - 1):
            total = total + (word[:, None] * apart).sum(-1)
            word = (word[:, :, None] * self.step).sum(1)
        return np.asarray(total / length)


def chains(classes: Sequence[int], markov: bool, apart: float, *name: str | int) -> Chains:
    """Draw sources that share a base and differ by the weight `apart`; if not `markov`, words are independent."""
    shape = (len(classes) + 1, 1 + len(WORDS), len(WORDS))
    drawn = -np.log1p(-streams.uniforms([0], math.prod(shape), "validity", "chains", *name).reshape(shape))
    rows = (drawn + 0.1) / (drawn + 0.1).sum(-1, keepdims=True)  # no word is nearly impossible
    if not markov:
        rows[:, 1:] = rows[:, :1]
    rows = (1 - apart) * rows[0] + apart * rows[1:]
    return Chains(rows[:, 0], rows[:, 1:], np.array(classes))


CASES = {
    "3 unigram sources": chains([0, 1, 2], False, 0.3, "unigram"),
    "3 Markov sources": chains([0, 1, 2], True, 0.3, "markov"),
    "2 levels of 2 Markov sources": chains([0, 0, 1, 1], True, 0.4, "levels"),
}


def planted(case: str, amount: Amount) -> Iterator[Row]:
    """Compare estimates from samples with the truth: accuracy, information and divergence."""
    source = CASES[case]
    words, variant = source.sample(amount.texts, LENGTH, case)
    likelihood, truth = source.log_likelihood(words), source.classes[variant]
    lengths, prompts = np.full(len(words), LENGTH), np.arange(len(words))
    posterior = ceiling.posterior(likelihood, source.classes)
    accuracy, information = source.truth(LENGTH)
    credit = per_text.credits(posterior, truth)
    yield _within(f"{case}: Bayes accuracy", accuracy, float(credit.mean()), float(credit.std()) / len(truth) ** 0.5)
    found = ceiling.mutual_information(posterior, truth, prompts, 0)
    yield _within(f"{case}: mutual information (bits)", information, found.value, _width(found) / (2 * 1.96))

    exact = source.mean_kl(LENGTH)
    scores = [
        (cell.value - exact[i, j]) / cell.standard_error
        for i, row in enumerate(ceiling.mean_kl(likelihood, lengths, variant))
        for j, cell in enumerate(row)
        if i != j and cell.value is not None and cell.standard_error is not None
    ]
    worst = max(map(abs, scores))
    yield Row(
        f"{case}: mean KL per word, {len(scores)} ordered pairs",
        f"{exact.sum() / len(scores):.4f} bits on average",
        f"at most {worst:.1f} standard errors off",
        "4 standard errors",
        worst <= 4 and len(scores) == len(exact) * (len(exact) - 1),
    )


def below_ceiling(case: str, amount: Amount) -> Iterator[Row]:
    """Check that no bundled attributor is better than Bayes' rule with the true parameters."""
    source, texts = CASES[case], 300
    bayes, _ = source.truth(LENGTH)
    best: list[Floats] = []
    own: dict[str, list[Floats]] = {baseline.name: [] for baseline in registry.find("fast")}
    for draw in range(amount.draws):
        words, variant = source.sample(2 * texts, LENGTH, case, "attributors", draw)
        train = np.arange(len(words)) % (2 * texts) < texts
        written, label = [" ".join(WORDS[text]) for text in words], source.classes[variant]
        shown, asked = ([written[i] for i in np.flatnonzero(part)] for part in (train, ~train))
        labels, truth = [str(value) for value in label[train]], label[~train]
        best.append(per_text.credits(ceiling.posterior(source.log_likelihood(words[~train]), source.classes), truth))
        for baseline in registry.find("fast"):
            build = partial(registry.build, baseline)
            answer = attribute.attribute(build, draw, shown, labels, range(len(shown)), asked)
            own[baseline.name].append(per_text.credits(answer.proba, truth))
    ideal = np.concatenate(best)
    for name, parts in own.items():
        credit = np.concatenate(parts)
        p = paired.paired_p(credit, ideal, np.arange(len(ideal)), 0)
        seen = f"{credit.mean():.4f}, p = {p:.2g} for being above"
        yield Row(f"{case}: accuracy of `{name}`", f"at most {bayes:.4f}", seen, "p > 0.001", p > 1e-3)


def _within(what: str, expected: float, seen: float, error: float) -> Row:
    band = f"±{4 * error:.4f} (4 standard errors)"
    return Row(what, f"{expected:.4f}", f"{seen:.4f}", band, abs(seen - expected) <= 4 * error)


def _width(interval: Interval) -> float:
    return math.nan if interval.low is None or interval.high is None else interval.high - interval.low
