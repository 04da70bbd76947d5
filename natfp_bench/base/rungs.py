"""The ladder of knowledge: what an attributor may know beside the texts that it is asked about.

Each rung has everything of the rungs before it. Attributors rank within a rung: one that knows more is no
better method.
"""

from __future__ import annotations

from typing import Literal, get_args

Knows = Literal["texts", "unlabelled", "corpus", "recipe", "origin"]
"""What a baseline can declare."""

Rung = Literal["texts", "unlabelled", "corpus", "recipe", "origin", "weights"]
"""What an attributor, the ceiling included, knows."""

RUNGS: tuple[Rung, ...] = get_args(Rung)
"""All rungs, the lowest first."""

GIVEN: dict[Rung, str] = {
    "texts": "labelled texts",
    "unlabelled": "further texts of the same sources, without labels",
    "corpus": "the training corpus, with its tokenizer",
    "recipe": "models of the same recipes, trained with seeds that no source has",
    "origin": "a twin of each known source: a model that began with its weights and read the data in another order",
    "weights": "the likelihoods of the sources themselves",
}
"""What each rung adds to those before it."""

ASKS: dict[Rung, str] = {
    "texts": "What can an outsider read?",
    "unlabelled": "What can an outsider read who has many texts?",
    "corpus": "What can somebody read who knows the data?",
    "recipe": "What can somebody read who can train such models?",
    "origin": "What can somebody read who knows one seed, that of the initial weights?",
    "weights": "What can be read at all?",
}
"""The question that each rung answers."""


def named(attributor: str, rung: Rung) -> str:
    """The name of an attributor with what it knows, if that is more than texts; that of the ceiling says it."""
    return attributor if rung in ("texts", "weights") else f"{attributor} (knows: {rung})"


def given(rung: Rung) -> str:
    """Everything that a rung is given, in words."""
    if rung == "weights":
        return GIVEN[rung]
    *before, last = [GIVEN[one] for one in RUNGS[: height(rung) + 1]]
    return f"{', '.join(before)}, and {last}" if before else last


def height(rung: str) -> int:
    """Place of a rung on the ladder, 0 for the lowest; raises ValueError for a name that is no rung."""
    return [str(one) for one in RUNGS].index(rung)


def reaches(rung: str, other: str) -> bool:
    """Whether a rung has what another one is given."""
    return height(rung) >= height(other)
