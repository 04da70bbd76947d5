"""Simulated experiments: the coverage of intervals whose truth is known, and the size of tests with nothing to find."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from validity_factors import band, holds, size
from validity_sources import LENGTH, WORDS, Amount, Row, chains

from natfp_bench.attributors import attribute, registry
from natfp_bench.base import streams
from natfp_bench.statistics import ceiling, metrics, paired, per_text, replication

# Coverage: experiments with a known truth, and the share of their intervals that contain it.

CONFIDENCE = np.array([0.45, 0.7, 0.95])
HITS = {
    "calibrated": np.array([[0.60, 0.85, 1.0], [0.30, 0.55, 0.90]]),
    "overconfident": np.array([[0.50, 0.55, 0.75], [0.30, 0.35, 0.55]]),
    "all but certain": np.array([[0.97, 0.97, 0.98], [0.95, 0.96, 0.97]]),
}
"""Probability of a hit by the prompt's difficulty (easy, hard) and the attributor's confidence, all equally likely."""

SHAPES = ((40, 1), (40, 3), (200, 1), (200, 3))
"""Numbers of prompts and of texts per prompt; the preset `smoke` has about forty prompts."""


def population(kind: str) -> dict[str, float]:
    """Expected accuracy, bits and macro F1 of an attributor; its guesses and misses are even over three classes."""
    hits = HITS[kind]
    gain, loss = (np.log2(0.999 * 3 * p + 0.001) for p in (CONFIDENCE, (1 - CONFIDENCE) / 2))
    accuracy = float(hits.mean())
    return {"accuracy": accuracy, "bits": float((hits * gain + (1 - hits) * loss).mean()), "macro_f1": accuracy}


def instance_coverage(kind: str, prompts: int, per_prompt: int, amount: Amount) -> Iterator[Row]:
    """Coverage of the intervals of `metrics.score`, if the texts of a prompt share its difficulty."""
    known, n = population(kind), prompts * per_prompt
    prompt, truth = np.repeat(np.arange(prompts), per_prompt), np.arange(n) % 3
    held, wilson = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    for experiment in range(amount.experiments):
        name = ("validity", "coverage", kind, prompts, per_prompt)
        drawn = streams.uniforms([experiment], prompts + 3 * n, *name)[0]
        hard, (level, luck, side) = (drawn[:prompts] < 0.5)[prompt].astype(int), drawn[prompts:].reshape(3, n)
        sure = (level * 3).astype(int)
        guess = np.where(luck < HITS[kind][hard, sure], truth, (truth + 1 + (side < 0.5)) % 3)
        proba = np.repeat((1 - CONFIDENCE[sure])[:, None] / 2, 3, axis=1)
        proba[np.arange(n), guess] = CONFIDENCE[sure]
        score = metrics.score(proba, truth, prompt, experiment)
        for measure, value in known.items():
            held[measure] += holds(score[measure], value)
            wilson[measure] += score[measure].method == "wilson"
    low, high = band(amount.experiments)
    texts = f"{prompts} prompts of {per_prompt} text{'s' * (per_prompt > 1)}"
    for measure, count in held.items():
        # Wilson's interval over prompts treats the texts of a prompt as copies, so it is wide on purpose.
        widest = 1.0 if per_prompt > 1 and 2 * wilson[measure] > amount.experiments else high
        what = f"{measure}, {kind} attributor, {texts}"
        seen = count / amount.experiments
        yield Row(what, "0.95", f"{seen:.4f}", f"{low:.4f} to {widest:.4f}", low <= seen <= widest)


# Size: experiments with nothing to find, and the number of their p-values below 0.05.


def attributor_size(amount: Amount) -> Iterator[Row]:
    """Size of the exact binomial test of a bundled attributor on three classes of texts from one source."""
    one = chains([0], True, 0.0, "null")
    build = partial(registry.build, registry.find("unigram")[0])
    found = []
    for experiment in range(amount.nulls):
        words, _ = one.sample(180, LENGTH, "null", experiment)
        texts, truth = [" ".join(WORDS[text]) for text in words], np.arange(180) % 3
        labels = [str(label) for label in truth[:90]]
        answer = attribute.attribute(build, experiment, texts[:90], labels, range(90), texts[90:])
        hits = math.fsum(per_text.credits(answer.proba, truth[90:]))
        found.append(10 ** paired.binomial_log10_p(hits, 90, 1 / 3))
    yield size("exact binomial test of `unigram`, 90 texts", np.array(found))


def divergence_size(amount: Amount) -> Iterator[Row]:
    """Size of PERMANOVA on 3 levels x 3 replicates: all nine sources differ, but not by level."""
    levels, replicates = np.tile(np.arange(3), 3), np.repeat(np.arange(3), 3)
    texts, length = 60, 10
    found: list[float] = []
    for experiment in range(amount.nulls):
        source = chains(range(9), True, 0.3, "null factor", experiment)
        words, variant = source.sample(texts, length, "null factor", experiment)
        table = ceiling.mean_kl(source.log_likelihood(words), np.full(len(words), length), variant)
        divergence = np.array([[np.nan if cell.value is None else cell.value for cell in row] for row in table])
        tested = replication.permanova(divergence, levels, replicates, 99, experiment)
        found.append(1.0 if tested is None else tested.test.p)
    yield size("PERMANOVA of mean KL, levels permuted within replicates", np.array(found))
