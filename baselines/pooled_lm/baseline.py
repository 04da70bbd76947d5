"""A small model trained on all texts of the sources, labelled or not; a copy for each class; the likeliest class."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.attributors.kit import END, ClassModels, Knowledge, Trunk, small_llama, train_tokenizer

VOCABULARY, CONTEXT = 512, 128


class PooledLM(ClassModels):
    """The trunk begins with nothing, and learns the language of the sources from their texts alone."""

    def __init__(self, seed: int, knowledge: Knowledge, *, width: int = 64, layers: int = 2, reading: int = 4) -> None:
        super().__init__(seed, knowledge, reading=reading, rate=4e-3)
        self.width, self.layers = width, layers

    def trunk(self, texts: Sequence[str]) -> Trunk:
        """Make an untrained Llama, with a tokenizer of the texts."""
        tokenizer = train_tokenizer(texts, VOCABULARY, CONTEXT)
        return small_llama(tokenizer, END, width=self.width, layers=self.layers, context=CONTEXT)


def build(seed: int, knowledge: Knowledge) -> PooledLM:
    """Build an unfitted attributor."""
    return PooledLM(seed, knowledge)
