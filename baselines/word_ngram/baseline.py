"""Words and pairs of words, punctuation marks among them."""

from __future__ import annotations

from itertools import pairwise

from sklearn.feature_extraction.text import TfidfVectorizer

from natfp_bench.attributors.text_classifier import TextClassifier
from natfp_bench.corpus.words import words


def grams(text: str) -> list[tuple[str, ...]]:
    """Words and pairs of a text; it begins and ends with the empty word, so that no text is without features."""
    found = ["", *words(text), ""]
    return [*((word,) for word in found), *pairwise(found)]


def build(seed: int) -> TextClassifier:
    """Build an unfitted attributor."""
    # A pair of one text cannot help; triples are as good as never seen twice in texts of this length.
    return TextClassifier(TfidfVectorizer(analyzer=grams, min_df=2, sublinear_tf=True), seed=seed)
