"""Words, punctuation marks, and pairs of them."""

from __future__ import annotations

from itertools import pairwise

from sklearn.feature_extraction.text import TfidfVectorizer

from natfp_bench.attributors.kit import TextClassifier, words


def grams(text: str) -> list[tuple[str, ...]]:
    """Words and pairs of a text; the empty word is added at both ends, so every text has features."""
    found = ["", *words(text), ""]
    return [*((word,) for word in found), *pairwise(found)]


def build(seed: int) -> TextClassifier:
    """Build an unfitted attributor."""
    # A pair in one text only cannot help; in texts of this length, triples hardly ever occur twice.
    return TextClassifier(TfidfVectorizer(analyzer=grams, min_df=2, sublinear_tf=True), seed=seed)
