"""Points of trends: the figures of one result, and what they are without each model or replicate.

Nothing is refitted: a model that is left out stays a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT
from natfp_bench.plan.task_files import NO_TRACE
from natfp_bench.statistics import per_text
from natfp_bench.statistics.intervals import Interval, jackknife

from .leaderboard import best
from .predictions import read_predictions
from .protocols import Protocol

Scalar = str | int | float | bool | None

FigureName = Literal["mean_kl", "ceiling_bits", "identifiability"]
"""Figures that have curves."""

FIGURES: Mapping[FigureName, str] = {
    "mean_kl": "mean KL in bits per token",
    "ceiling_bits": "ceiling in bits per text",
    "identifiability": "identifiability by the reference attributor",
}
"""What each is called."""


class Measured(Record):
    """A figure of one point; left_out: the figure without each unit, in the order of the trend's units."""

    estimate: Interval
    left_out: tuple[float, ...] = ()


class TrendPoint(Record):
    """One protocol of a trend.

    swept: its values of the swept settings. heldout, excess: bits per byte, the mean over models. best: of all
    attributors, chosen on other texts. to_95: tokens of text after which the ceiling names the level with 0.95. gap:
    the replicate gap of the reference. p, p_floor, strength: the test of the factor, its smallest possible value, and
    how many spreads of permuted labels the accuracy is above chance.
    """

    protocol_digest: str
    swept: dict[str, Scalar]
    x: dict[str, float]
    models: int
    figures: dict[FigureName, Measured]
    heldout: float | None
    excess: Measured | None
    best: Interval | None
    best_attributors: tuple[str, ...]
    to_95: float | None
    gap: Interval | None
    p: float | None
    p_floor: float | None
    p_adjusted: float | None = None
    strength: float | None = None


def x_of(point: TrendPoint, against: str) -> Measured | None:
    """Where a point lies along a line; None if that is no positive number."""
    if against == "excess":
        return point.excess if point.excess and point.excess.estimate.value > 0 else None
    value = point.x.get(against, point.swept.get(against))
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    exact = Interval(value=float(value), low=None, high=None, method="none", units="models", n_units=1)
    return Measured(estimate=exact)


def units_of(results: Sequence[Result]) -> tuple[str, tuple[str, ...]]:
    """What can be left out of every point: replicates if there are three or more, else models that could be others.

    Levels of a factor cannot be left out, because they are no sample of anything; those of seeds are.
    """
    replicates = [{str(of.replicate) for of in _kept(result)} for result in results]
    shared = set.intersection(*replicates)
    if len(shared) >= 3:
        return "replicates", tuple(sorted(shared))
    # Cells of a crossing share seeds, so that no single one could have been another.
    crossed = any(result.study and result.study.crossed for result in results)
    seeds = not crossed and all(path.startswith(NO_TRACE) for path in results[0].factor.fields)
    levels = [{of.level for of in _kept(result)} for result in results]
    alike = set.intersection(*levels)
    if seeds and all(len(one) == 1 for one in replicates) and all(one == alike for one in levels) and len(alike) >= 3:
        return "models", tuple(sorted(alike))
    return "models", ()


def _kept(result: Result) -> list[VariantResult]:
    """The variants that were compared: none that diverged, and none that was left out beside one."""
    compared = result.mean_kl.variants if result.mean_kl else [of.name for of in result.variants]
    return [of for of in result.variants if of.status == "ok" and of.name in compared]


@dataclass(frozen=True)
class Without:
    """Leaves units out of a figure of variants: name -> level, replicate."""

    units: str
    names: Sequence[str]
    places: Mapping[str, tuple[str, str]]

    def unit(self, variant: str) -> str:
        """The unit of a variant."""
        level, replicate = self.places[variant]
        return replicate if self.units == "replicates" else level

    def measured(self, of: Callable[[set[str]], float], estimate: Interval | None = None) -> Measured:
        """A figure of a set of variants, with what it is without each unit."""
        everything = set(self.places)
        left_out = [of({one for one in everything if self.unit(one) != name}) for name in self.names]
        found = estimate or jackknife(of(everything), left_out, self.units)
        return Measured(estimate=found, left_out=tuple(left_out))


def point_of(
    protocol: Protocol, swept: Mapping[str, Scalar], flat: Mapping[str, Any], units: str, names: Sequence[str]
) -> TrendPoint:
    """A point from a protocol. swept: its swept settings; flat: all; units: what is left out, with the given names."""
    result, study = protocol.newest, protocol.newest.study
    sound = _kept(result)
    without = Without(units, names, {of.name: (of.level, str(of.replicate)) for of in sound})
    excess = {of.name: of.excess_bits_per_byte.value for of in sound if of.excess_bits_per_byte}
    heldout = [of.heldout_bits_per_byte.value for of in sound if of.heldout_bits_per_byte]
    permuted = study.permutation if study else None
    chosen, highest = best(protocol.main)
    gap = next((one.gap for one in study.gaps if one.attributor == study.reference), None) if study else None
    chance = next((one.chance for one in protocol.main.values()), 0.0)
    tokens = float(np.mean([of.tokens_trained or 0 for of in sound])) if sound else 0.0
    x = {"tokens": tokens, "parameters": float(np.mean([of.parameters or 0 for of in sound])) if sound else 0.0}
    if at := flat.get("fork.at"):
        x["tokens after the fork"] = tokens * (1 - at)
    return TrendPoint(
        protocol_digest=result.protocol_digest,
        swept=dict(swept),
        x={name: value for name, value in x.items() if value > 0},
        models=len(sound),
        figures=_figures(protocol, without),
        heldout=float(np.mean(heldout)) if heldout else None,
        excess=without.measured(lambda kept: float(np.mean([excess[one] for one in sorted(kept)])))
        if excess and len(excess) == len(sound)
        else None,
        best=highest,
        best_attributors=chosen,
        to_95=study.length.ceiling_to_95 if study and study.length else None,
        gap=gap,
        p=permuted.test.p if permuted else None,
        p_floor=permuted.test.smallest if permuted else None,
        strength=(permuted.observed - chance) / permuted.spread if permuted and permuted.spread > 0 else None,
    )


def _figures(protocol: Protocol, without: Without) -> dict[FigureName, Measured]:
    result, found = protocol.newest, dict[FigureName, Measured]()
    if result.mean_kl:
        place = {name: i for i, name in enumerate(result.mean_kl.variants)}
        pairs = {
            (a, b): result.mean_kl.divergence[place[a]][place[b]].value
            for a in place
            for b in place
            if a != b
            and a in without.places
            and b in without.places
            # Within a replicate, where nothing but the factor differs.
            and without.places[a][1] == without.places[b][1]
        }
        if pairs and all(value is not None for value in pairs.values()):
            found["mean_kl"] = without.measured(
                lambda kept: float(np.mean([v for (a, b), v in pairs.items() if {a, b} <= kept]))
            )
    ceiling = protocol.scores.get(("level", SEEN_REPLICATE), {}) or protocol.scores.get(("level", UNSEEN_PROMPT), {})
    if "ceiling" in ceiling:
        path, score = ceiling["ceiling"]
        if bits_of_all := score.metrics.get("bits"):
            found["ceiling_bits"] = Measured(estimate=bits_of_all)
        by = score.bits_by_variant or _bits_by_variant(path, score)
        if without.places.keys() <= by.keys():
            found["ceiling_bits"] = without.measured(lambda kept: float(np.mean([by[one] for one in sorted(kept)])))
    reference = protocol.main.get(result.study.reference) if result.study else None
    if reference and reference.status == "ok" and without.places.keys() <= reference.by_variant.keys():
        accuracy, chance = reference.by_variant, reference.chance
        found["identifiability"] = without.measured(
            lambda kept: per_text.identifiability(float(np.mean([accuracy[one] for one in sorted(kept)])), chance),
            reference.metrics.get("identifiability"),
        )
    return found


def _bits_by_variant(path: Path, score: Score) -> dict[str, float]:
    """Bits of a result that does not have them, from its answers; empty where these are not there."""
    with suppress(UserError):
        answers = read_predictions(path).of(score)
        bits = per_text.bits(answers.proba, answers.truth)
        names = np.array(answers.rows["variant"].to_pylist())
        return {name: float(bits[names == name].mean()) for name in np.unique(names).tolist()}
    return {}
