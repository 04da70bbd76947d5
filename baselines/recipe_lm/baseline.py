"""A model of the sources' own recipe, with another seed, continued on the texts of each class; the likeliest class."""

from __future__ import annotations

from natfp_bench.attributors.kit import ClassModels, Knowledge


class RecipeLM(ClassModels):
    """The trunk is a stranger: trained as the sources were, on their corpus, it knows everything but their seeds."""


def build(seed: int, knowledge: Knowledge) -> RecipeLM:
    """Build an unfitted attributor."""
    return RecipeLM(seed, knowledge)
