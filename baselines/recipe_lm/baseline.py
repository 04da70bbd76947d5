"""A model of the sources' own recipe, with another seed, continued on the texts of each class; the likeliest class."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.attributors.kit import ClassModels, Knowledge, Trunk, likeliest_trunk


class RecipeLM(ClassModels):
    """The trunk is a stranger: trained as the sources were, on their corpus, it knows everything but their seeds."""

    def __init__(self, seed: int, knowledge: Knowledge) -> None:
        super().__init__(seed)
        self.knowledge = knowledge

    def trunk(self, texts: Sequence[str]) -> Trunk:
        """Load the stranger that predicts the texts best."""
        return likeliest_trunk(self.knowledge.strangers, texts)

    def further(self) -> Sequence[str]:
        """Texts of the sources without labels."""
        return self.knowledge.unlabelled


def build(seed: int, knowledge: Knowledge) -> RecipeLM:
    """Build an unfitted attributor."""
    return RecipeLM(seed, knowledge)
