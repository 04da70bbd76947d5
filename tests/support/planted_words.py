"""Texts of made-up words, for tests of classifiers; the classes differ in the frequencies of the words."""

from __future__ import annotations

import numpy as np

WORDS = [a + b for a in "bdfgklmnprst" for b in ("a", "ei", "o", "un")]


def planted(n: int, seed: int, *, classes: int = 3, strength: float = 3.0) -> tuple[list[str], list[str]]:
    """Texts of 20 words each, with balanced labels; each class uses some of the words `strength` times as often."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    odds = np.where(np.arange(len(WORDS))[None, :] % classes == np.arange(classes)[:, None], strength, 1.0)
    odds /= odds.sum(axis=1, keepdims=True)
    texts = [" ".join(draw.choice(WORDS, 20, p=odds[c])) for c in y]
    return texts, [f"class {c}" for c in y]
