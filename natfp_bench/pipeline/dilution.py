"""Streams of texts by two models of a run, mixed at known shares: what attributors and likelihoods estimate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from natfp_bench.statistics import dilution as statistics
from natfp_bench.statistics import per_text
from natfp_bench.statistics.dilution import Dilution, Pair
from natfp_bench.statistics.intervals import Floats, Ints

from .scoring import CEILING, REFERENCE, Answers, View


def dilution(view: View, given: Mapping[str, Answers]) -> Dilution | None:
    """Mix test texts at the shares that the plan asks for, and estimate them; None if it asks for none.

    The view's classes are single models that attributors have learnt from, else None. given: the answers of each
    attributor, by name. Nothing is found if two models have too few test prompts in common.
    """
    evidence, class_of = view.evidence, view.class_of
    shares = evidence.plan.analysis.shares
    alone = len(set(class_of.tolist())) == len(class_of) and len(view.folds) == 1
    if not (shares and alone) or evidence.plan.fixed_texts:
        return None
    pairs = _pairs(evidence.replicates)
    rows = [_common(view, a, b) for a, b in pairs]
    units = min((len(one) for one, _ in rows), default=0)

    known: dict[str, Floats] = {}
    for name, answers in given.items():
        if name not in (CEILING.name, REFERENCE.name):
            known[name] = np.log(per_text.mixed(answers.proba))[np.argsort(answers.rows)][:, class_of]
    if evidence.text_scores:
        known[(CEILING if view.bounded else REFERENCE).name] = evidence.log_likelihood()
    odds = {
        name: [
            # As many units in all pairs.
            Pair(*(_difference(logs[one[:units], a], logs[one[:units], b]) for one in found))
            for (a, b), found in zip(pairs, rows, strict=True)
        ]
        for name, logs in known.items()
    }
    sizes, seed = statistics.sizes(units), evidence.plan.seed
    return Dilution(
        pairs=len(pairs),
        calibration=units // 2 if sizes else 0,
        found=tuple(
            statistics.diluted(name, mixed, shares, size, seed, exact=name == CEILING.name)
            for name, mixed in odds.items()
            for size in sizes
        ),
    )


def _pairs(replicates: Ints) -> list[tuple[int, int]]:
    """Ordered pairs of variants of one replicate, neighbours first; at most as many as there are streams."""
    blocks = [np.flatnonzero(replicates == replicate).tolist() for replicate in np.unique(replicates)]
    longest = max(map(len, blocks))
    found = [
        (block[at], block[(at + step) % len(block)])
        for step in range(1, longest)
        for block in blocks
        for at in range(len(block))
        if step < len(block)
    ]
    return found[: statistics.STREAMS]


def _common(view: View, a: int, b: int) -> tuple[Ints, Ints]:
    """Rows of the first text of A and of B for each prompt that both have: (u,) each."""
    texts, rows, prompts = view.evidence.texts, [], []
    for variant in (a, b):
        own = np.flatnonzero(texts.source == variant)
        named, first = np.unique(texts.prompts[own], return_index=True)
        rows.append(own[first])
        prompts.append(named)
    _, of_a, of_b = np.intersect1d(prompts[0], prompts[1], assume_unique=True, return_indices=True)
    return rows[0][of_a], rows[1][of_b]


def _difference(a: Floats, b: Floats) -> Floats:
    """Log of A's probability over B's; a text that neither can write says nothing."""
    impossible = np.isneginf(a) & np.isneginf(b)
    return np.where(impossible, 0.0, np.where(impossible, 0.0, a) - np.where(impossible, 0.0, b))
