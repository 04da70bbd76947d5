"""Tests of one attributor against chance and of attributors against each other, on the same texts.

`credit`: (n,) float, the credit of each text; `prompts`: (n,) int, the prompt that it continues.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from natfp_bench.base import streams

from .intervals import BLOCK, Floats, Ints, prompt_sums

FLIPS = 10_000
"""Sign flips of a paired test."""


def binomial_log10_p(hits: float, n: int, chance: float) -> float:
    """Exact one-sided p-value of at least `hits` among n texts under chance, as log10: P(X >= floor(hits)).

    The logarithm stays finite even if the p-value is far below the smallest double. Shared credits are rounded down,
    which can only make the p-value larger.
    """
    from scipy.special import logsumexp
    from scipy.stats import binom

    least = math.floor(hits)
    if least <= 0:
        return 0.0
    return min(0.0, float(logsumexp(binom.logpmf(np.arange(least, n + 1), n, chance))) / math.log(10.0))


def paired_p(credit_a: Floats, credit_b: Floats, prompts: Ints, seed: int) -> float:
    """p-value of "a is better than b" on the same texts.

    McNemar's exact test (1947) if each text has a prompt of its own and credits are 0 or 1. Otherwise a test that flips
    the sign of whole prompts' differences 10,000 times, and counts the observed signs as well (Phipson and Smyth 2010).
    """
    if _is_binary(prompts, credit_a, credit_b):
        return _mcnemar(credit_a, credit_b)
    difference = prompt_sums(np.asarray(credit_a, dtype=np.float64)[:, None] - np.asarray(credit_b)[:, None], prompts)
    return _flip_p(float(difference.sum()), _flipped_sums(difference, seed, FLIPS)[:, 0])


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down procedure (1979), in the given order."""
    adjusted, largest = [1.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = largest
    return adjusted


def ranks(credits: Mapping[str, Floats], prompts: Ints, seed: int, level: float = 0.05) -> dict[str, int]:
    """Rank of each attributor: 1 + how many are significantly better on the same texts.

    Paired one-sided tests over all ordered pairs, adjusted by Holm; attributors without a significant difference share
    a rank.
    """
    pairs = list(itertools.permutations(credits, 2))
    # F flips give no p-value below 1 / (F + 1). With many pairs, 10,000 flips could never pass Holm, so F grows.
    flips = max(FLIPS, math.ceil(10 * len(pairs) / level))
    flipped: dict[str, Floats] = {}
    if any(not _is_binary(prompts, credits[a], credits[b]) for a, b in pairs):
        # Flipped sums are linear: that of a difference is the difference of two sums. One product serves all pairs.
        by_prompt = prompt_sums(np.column_stack(list(credits.values())), prompts)
        flipped = dict(zip(credits, _flipped_sums(by_prompt, seed, flips).T, strict=True))

    def p(a: str, b: str) -> float:
        if _is_binary(prompts, credits[a], credits[b]):
            return _mcnemar(credits[a], credits[b])
        return _flip_p(float(np.sum(credits[a]) - np.sum(credits[b])), flipped[a] - flipped[b])

    adjusted = zip(pairs, holm([p(a, b) for a, b in pairs]), strict=True)
    beaten = [worse for (_, worse), value in adjusted if value <= level]
    return {name: 1 + beaten.count(name) for name in credits}


def ranks_within(of: Mapping[str, str], credits: Mapping[str, Floats], prompts: Ints, seed: int) -> dict[str, int]:
    """Rank each attributor among those of its group, as `ranks` does; of: the group of each."""
    found: dict[str, int] = {}
    for group in dict.fromkeys(of[name] for name in credits):
        found |= ranks({name: own for name, own in credits.items() if of[name] == group}, prompts, seed)
    return found


def _flipped_sums(by_prompt: Floats, seed: int, flips: int) -> Floats:
    """Sums over prompts (C, m) under random signs, one bit each: (flips, m), rounded up to whole blocks."""
    width = -(-len(by_prompt) // 64)
    blocks = []
    for block in range(-(-flips // BLOCK)):
        words = streams.raw(BLOCK * width, "sign flip", seed, row=block).astype("<u8")
        signs = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(BLOCK, -1)[:, : len(by_prompt)]
        blocks.append((2.0 * signs - 1.0) @ by_prompt)
    return np.concatenate(blocks)


def _flip_p(observed: float, flipped: Floats) -> float:
    # Sums of shared credits that are equal in theory differ by rounding; they count as reached.
    return (1 + int(np.count_nonzero(flipped >= observed - 1e-9))) / (1 + len(flipped))


def _is_binary(prompts: Ints, *credit: Floats) -> bool:
    return len(np.unique(prompts)) == len(prompts) and all(bool(np.isin(c, (0.0, 1.0)).all()) for c in credit)


def _mcnemar(credit_a: Floats, credit_b: Floats) -> float:
    from scipy.stats import binom

    better, worse = (int(np.count_nonzero(x > y)) for x, y in ((credit_a, credit_b), (credit_b, credit_a)))
    return min(1.0, float(binom.sf(better - 1, better + worse, 0.5)))
