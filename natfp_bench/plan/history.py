"""The history of variants: which models each one comes from, and which of these they have in common."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.base.records import digest

from .descent import FinetuneSpec, ForkSpec
from .plan import run_of
from .settings import Recipe, Settings

History = Sequence[frozenset[str]]
"""Generations of ancestors, the oldest first; a generation has several members if models were merged."""


def history(settings: Settings) -> History:
    """Find what a variant comes from: its teacher, the runs it is made of, and their fine-tunings, as digests.

    Copies of one run that part later, checkpoints of one run, and everything that is made of its weights or served
    from them have this run as their ancestor. A released model is the ancestor of its fine-tunings, and of itself as it
    is served. Seeds that two runs share make them no relatives. Texts alone, and backends of lm-eval, have no history.
    """
    source = settings.source
    if not source.trained:
        return [frozenset({_named(settings)})] if source.kind == "checkpoint" else []
    if source.facts.released:
        return [frozenset({_named(settings)})]
    found = []
    if (teacher := settings.teacher_recipe) is not None:
        found.append(frozenset({_run(teacher, settings)}))
    made_of = [of for of, share in zip(settings.parents, settings.derive.shares, strict=False) if share]
    found.append(frozenset(digest([_run(of, settings), settings.teacher]) for of in made_of))
    if settings.finetune.share:
        found.append(frozenset(digest([of, settings.corpus, settings.teacher]) for of in made_of))
    return found


def shared_ancestors(histories: Sequence[History]) -> list[list[int]]:
    """How many generations each two variants have in common, the oldest first: (V, V).

    Who shares any ancestor of a generation belongs to one family: if two models were merged, what was made of either of
    them is one family with the mean of both.
    """
    n = len(histories)
    shared = [[0] * n for _ in range(n)]
    family = [0] * n
    for depth in range(min(map(len, histories), default=0)):
        family = _families(family, [one[depth] for one in histories])
        for a in range(n):
            for b in range(n):
                shared[a][b] += family[a] == family[b]
    return shared


def families(histories: Sequence[History]) -> list[int] | None:
    """The family of each variant in the first generation that has several, if any has two members; None otherwise."""
    family = [0] * len(histories)
    for depth in range(min(map(len, histories), default=0)):
        family = _families(family, [one[depth] for one in histories])
        if len(set(family)) > 1:
            return family if len(set(family)) < len(family) else None
    return None


def _families(before: Sequence[int], ancestors: Sequence[frozenset[str]]) -> list[int]:
    """Divide families by the ancestors of one generation; the numbers follow the order of the variants."""
    groups: list[tuple[int, set[str], list[int]]] = []
    for place, (older, own) in enumerate(zip(before, ancestors, strict=True)):
        related = [group for group in groups if group[0] == older and group[1] & own]
        joined = (older, {*own}.union(*(group[1] for group in related)), [p for group in related for p in group[2]])
        joined[2].append(place)
        groups = [group for group in groups if group not in related] + [joined]
    numbers = [0] * len(before)
    for number, (_, _, members) in enumerate(sorted(groups, key=lambda group: min(group[2]))):
        for place in members:
            numbers[place] = number
    return numbers


def _run(recipe: Recipe, settings: Settings) -> str:
    """A run by its digest, without what was done to it later."""
    return run_of(recipe.model_copy(update={"finetune": FinetuneSpec(), "fork": ForkSpec()}), settings.corpus)


def _named(settings: Settings) -> str:
    """A released model by its digest."""
    source = settings.source
    return digest([*map(source.filled, (source.model, source.revision, source.subfolder)), source.gguf_file])
