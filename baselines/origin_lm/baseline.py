"""For each class a model that began as its sources did, continued on the texts of the class; the likeliest class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from natfp_bench.attributors.kit import ClassModels, Knowledge, load_trunk

if TYPE_CHECKING:
    import torch


class OriginLM(ClassModels):
    """The copy of a class begins as a twin: a model with the initial weights of one of its sources."""

    def __init__(self, seed: int, knowledge: Knowledge) -> None:
        # A trunk is common to all classes, and twins are not: they read the texts of their classes alone.
        # The trunk is a stranger, for its tokenizer and for classes without a twin.
        super().__init__(seed, knowledge, reading=0)

    def beginnings(self) -> Sequence[torch.nn.Module]:
        """The first twin of each class that reads the trunk's tokens; the trunk where there is none."""
        tokens, shared = self._trunk.tokenizer.to_str(), super().beginnings()
        found = [map(load_trunk, self.knowledge.twins.get(str(name), ())) for name in self.classes_]
        alike = [(twin.model for twin in twins if twin.tokenizer.to_str() == tokens) for twins in found]
        return [next(models, model) for models, model in zip(alike, shared, strict=True)]


def build(seed: int, knowledge: Knowledge) -> OriginLM:
    """Build an unfitted attributor."""
    return OriginLM(seed, knowledge)
