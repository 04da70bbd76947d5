"""Character n-grams of one to six characters, within words."""

from __future__ import annotations

from sklearn.feature_extraction.text import TfidfVectorizer

from natfp_bench.text_classifier import TextClassifier


def build(seed: int) -> TextClassifier:
    """Build an unfitted attributor."""
    # Within words (char_wb) beats across words: longer n-grams fit into the same number of features.
    # An n-gram of one or two texts cannot help: it is noise that takes most of the time.
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 6), min_df=3, lowercase=False, sublinear_tf=True)
    return TextClassifier(features, seed=seed)
