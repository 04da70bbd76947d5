"""Bag of subwords: how often each token of a BPE vocabulary occurs in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from natfp_bench.attributors.kit import TextClassifier

VOCABULARY = 8000

LEARNT = 2000
"""About how many texts the tokenizer is trained on: enough to show what is frequent."""


class Subwords:
    """TF-IDF over the tokens of a byte-level BPE tokenizer that is trained on the training texts."""

    def fit_transform(self, texts: Sequence[str]) -> Any:
        """Train the tokenizer and weight its tokens: (texts, tokens) sparse."""
        self.tokenizer = Tokenizer(models.BPE())
        # With a space before it, the first word of a text is the same token as elsewhere.
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, min_frequency=2, show_progress=False)
        self.tokenizer.train_from_iterator(texts[:: max(1, len(texts) // LEARNT)], trainer)
        self.weights = TfidfVectorizer(analyzer=list, sublinear_tf=True)
        return self.weights.fit_transform(self._tokens(texts))

    def transform(self, texts: Sequence[str]) -> Any:
        """Weight the tokens of other texts: (texts, tokens) sparse."""
        return self.weights.transform(self._tokens(texts))

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self.tokenizer.encode_batch_fast(list(texts))]


def build(seed: int) -> TextClassifier:
    """Build an unfitted attributor."""
    return TextClassifier(Subwords(), seed=seed)
