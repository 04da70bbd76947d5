"""A model of the sources' own recipe, with another seed, continued on the texts of each class; the likeliest class."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.attributors.kit import ClassModels, Knowledge, Trunk, encode_rows, load_trunk, log_likelihoods

LOOKED_AT = 256
"""Texts by which a stranger is chosen, where there are several recipes."""


class RecipeLM(ClassModels):
    """The trunk is a stranger: trained as the sources were, on their corpus, it knows everything but their seeds."""

    def __init__(self, seed: int, knowledge: Knowledge) -> None:
        super().__init__(seed)
        self.knowledge = knowledge

    def trunk(self, texts: Sequence[str]) -> Trunk:
        """Load the stranger that predicts the texts best, per byte that it reads: tokenizers may differ."""
        trunks = [load_trunk(folder) for folder in self.knowledge.strangers]
        if len(trunks) == 1:
            return trunks[0]

        def nats_per_byte(one: Trunk) -> float:
            rows = encode_rows(one, texts[:LOOKED_AT])
            size = sum(len(text.encode()) for text in one.tokenizer.decode_batch(rows))
            return -float(log_likelihoods([one.model.eval()], rows).sum()) / max(size, 1)

        return min(trunks, key=nats_per_byte)

    def further(self) -> Sequence[str]:
        """Texts of the sources without labels."""
        return self.knowledge.unlabelled


def build(seed: int, knowledge: Knowledge) -> RecipeLM:
    """Build an unfitted attributor."""
    return RecipeLM(seed, knowledge)
