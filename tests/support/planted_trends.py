"""Results of sweeps that were made by hand, around a planted law."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from made_results import bare_result, plain, scored, studied, variant

from natfp_bench.pipeline.result import FactorResult, MeanKL, Result, RunInfo
from natfp_bench.results.protocols import Protocol
from natfp_bench.statistics.ceiling import Divergence
from natfp_bench.statistics.power_law import Law

LEVELS = ("a", "b", "c", "d", "e")
LAW = Law(0.05, 200.0, -0.5)


def run(number: int) -> RunInfo:
    told = {"id": f"run{number}", "command": (), "started": f"2026-01-01T00:00:{number:02}+00:00"}
    return RunInfo(**told, seconds={}, work={}, attributors={}, environment={})


def point(number: int, tokens: int, width: int, divergence: float, excess: float, **changes: Any) -> Result:
    """A result of five models at one budget and width; models differ by a few percent in how far they are apart."""
    own = 1 + 0.02 * np.random.default_rng(number).standard_normal(len(LEVELS))
    settings = {"budget": {"tokens": tokens}, "model": {"width": width}}
    variants = tuple(
        variant(f"{level}/r0", f"{number}-{level}").model_copy(
            update={
                "settings": settings,
                "tokens_trained": tokens,
                "parameters": 100 * width,
                "excess_bits_per_byte": plain(excess * own[place]),
                "heldout_bits_per_byte": plain(2 + excess),
            }
        )
        for place, level in enumerate(LEVELS)
    )
    rows = tuple(
        tuple(
            Divergence(value=0.0 if i == j else divergence * (own[i] + own[j]) / 2, standard_error=0.0, impossible=0.0)
            for j in range(len(LEVELS))
        )
        for i in range(len(LEVELS))
    )
    names = tuple(of.name for of in variants)
    height = min(1.0, divergence)
    share = {name: 0.25 + 0.75 * height * own[place] for place, name in enumerate(names)}
    bits = {name: 2 * value for name, value in share.items()}
    scores = [
        scored(who, "unseen_prompt", height, by_variant=share, bits_by_variant=bits) for who in ("bayes", "ceiling")
    ]
    values: dict[str, Any] = {
        "protocol_digest": f"{number:064}",
        "overrides": {"budget.tokens": tokens, "model.width": width},
        "factor": FactorResult(name="seed", fields=("seeds.init",), levels=LEVELS),
        "variants": variants,
        "mean_kl": MeanKL(unit="token", variants=names, divergence=rows),
        "study": studied(),
    }
    return bare_result(scores, LEVELS, run(number), **values | changes)


TOKENS = [100_000 * 2**i for i in range(6)]


def protocols(law: Law = LAW, tokens: list[int] = TOKENS, widths: tuple[int, ...] = (32, 64, 128)) -> list[Protocol]:
    grid = list(itertools.product(tokens, widths))
    return [
        Protocol([(Path(f"none/{n}/result.json"), point(n, t, w, law.at(t), 20 * t**-0.3))])
        for n, (t, w) in enumerate(grid)
    ]
