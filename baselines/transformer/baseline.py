"""A small transformer encoder, trained from scratch on the training texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import ModernBertConfig, ModernBertForSequenceClassification

from natfp_bench.attributors.kit import END, PAD, SequenceClassifier, encode, train_tokenizer

CONTEXT = 128
"""Most tokens to read of a text, end tokens included."""


class Transformer(SequenceClassifier):
    """ModernBERT's architecture with width 64, and a linear classifier on the mean of its last layer."""

    def __init__(
        self, seed: int, *, vocabulary: int = 4000, width: int = 64, layers: int = 2, epochs: int = 12
    ) -> None:
        super().__init__(seed, batch=32, epochs=epochs, rate=2e-3, weight_decay=0.1, looks=1, patience=4)
        self.vocabulary, self.width, self.layers = vocabulary, width, layers

    def start(self, texts: Sequence[str]) -> tuple[torch.nn.Module, int]:
        """Train the tokenizer on the texts, and draw the initial weights."""
        self._tokenizer = train_tokenizer(texts, self.vocabulary, CONTEXT)
        config = ModernBertConfig(
            vocab_size=self._tokenizer.get_vocab_size(),
            hidden_size=self.width,
            intermediate_size=2 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.width // 16,
            max_position_embeddings=CONTEXT,
            embedding_dropout=0.2,
            mlp_dropout=0.1,
            classifier_dropout=0.2,
            classifier_pooling="mean",
            pad_token_id=PAD,
            bos_token_id=END,
            eos_token_id=END,
            cls_token_id=END,
            sep_token_id=END,
            num_labels=len(self.classes_),
            attn_implementation="sdpa",
        )
        return ModernBertForSequenceClassification(config), PAD

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to the context."""
        return encode(self._tokenizer, texts, CONTEXT)


def build(seed: int) -> Transformer:
    """Build an unfitted attributor."""
    return Transformer(seed)
