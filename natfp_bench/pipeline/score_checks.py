"""Checks on scores that every sound run passes, and the replicate gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from natfp_bench.plan import split
from natfp_bench.plan.plan import Target
from natfp_bench.statistics import intervals, paired, per_text
from natfp_bench.statistics.intervals import Floats, Interval

from .result import Check, FactorStudy, Gap, Score, VariantResult
from .scoring import CEILING, REFERENCE, Answers, View

SUSPICIOUS = 1e-3
"""p-value below which a check counts as failed."""

ROUNDING = 1e-12

EASIER = 0.01
"""p-value below which unseen replicates count as easier than seen ones, which is impossible."""


def above_entropy(variants: Sequence[VariantResult]) -> list[Check]:
    """Check that no model needs fewer bits for held-out documents than the source that wrote them."""
    excess = {of.name: of.excess_bits_per_byte for of in variants if of.excess_bits_per_byte}
    below = [f"{name}: {found.value:+.3f} bits per byte" for name, found in excess.items() if (found.high or 0.0) < 0]
    detail = ", ".join(below) + "; is a text cut before it is scored?" if below else f"{len(excess)} models"
    return [Check(name="held-out bits are not below the true entropy", ok=not below, detail=detail)] if excess else []


def below_ceiling(view: View, given: Mapping[str, Answers]) -> list[Check]:
    """Check that no attributor is significantly better than the ceiling."""
    if not view.bounded:
        return []
    best = given[CEILING.name]
    checks = []
    for name, one in given.items():
        if name == CEILING.name:
            continue
        p = paired.paired_p(one.credit, best.credit, best.prompts, view.evidence.plan.seed)
        gap = one.credit.mean() - best.credit.mean()
        detail = f"accuracy {gap:+.3f} against the ceiling's, p = {p:.2g} of being above it"
        where = view.target if view.split == split.UNSEEN_PROMPT else f"{view.target}, {view.split}"
        checks.append(Check(name=f"{name} is not above the ceiling ({where})", ok=p > SUSPICIOUS, detail=detail))
    return checks


def at_chance(target: Target, scores: Sequence[Score], information: Interval | None) -> list[Check]:
    """Check a negative control: no attributor is better than chance, not even with the likelihoods."""
    checks = []
    for score in scores:
        if score.log10_p is None:
            continue
        ok, seen = score.log10_p > math.log10(SUSPICIOUS), score.metrics["accuracy"].value
        if score.attributor.access == "likelihood":
            ok = math.isclose(seen, score.chance, abs_tol=1e-12) and (not information or information.value == 0.0)
        detail = f"accuracy {seen:.4f}, chance {score.chance:.4f}, p = {10**score.log10_p:.2g}"
        checks.append(Check(name=f"{score.attributor.name} is at chance ({target})", ok=ok, detail=detail))
    return checks


def means_nothing(study: FactorStudy, scores: Sequence[Score]) -> list[Check]:
    """Check levels that are only names: unseen runs do not show them, although single runs are identified."""
    checks = []
    if study.permutation and study.permutation.test.smallest <= SUSPICIOUS:
        p, seen = study.permutation.test.p, study.permutation.observed
        detail = f"accuracy {seen:.4f} on unseen runs, p = {p:.2g} by permuted labels"
        checks.append(Check(name="levels that mean nothing are not found", ok=p > SUSPICIOUS, detail=detail))
    for score in scores:
        if score.split == split.UNSEEN_REPLICATE and len(score.parts) >= intervals.FEWEST_UNITS:
            above = np.array(score.parts) - score.chance
            p = below_zero(-above)
            detail = f"accuracy {score.metrics['accuracy'].value:.4f}, chance {score.chance:.4f}, p = {p:.2g}"
            name = f"{score.attributor.name} is at chance on unseen runs"
            checks.append(Check(name=name, ok=p > SUSPICIOUS, detail=detail))
        if (score.attributor, score.target) == (CEILING, "instance") and score.log10_p is not None:
            detail = f"accuracy {score.metrics['accuracy'].value:.4f}, chance {score.chance:.4f}"
            ok = score.log10_p < math.log10(SUSPICIOUS)
            checks.append(
                Check(name="single runs can be identified, so that the control could fail", ok=ok, detail=detail)
            )
    return checks


def gaps(unseen: Mapping[str, Answers], seen: Mapping[str, Answers]) -> list[Gap]:
    """The replicate gap of every attributor that reads texts, paired by fit."""
    found = []
    for name in unseen.keys() & seen.keys() - {REFERENCE.name}:
        accuracy = [
            np.array([per_text.credits(proba, truth).mean() for proba, truth in answers.by_fold()])
            for answers in (seen[name], unseen[name])
        ]
        difference = accuracy[0] - accuracy[1]
        interval = intervals.fold_interval(difference)
        p = None if interval.low is None else below_zero(difference)
        found.append(Gap(attributor=name, gap=interval, p=p))
    return sorted(found, key=lambda gap: gap.attributor)


def below_zero(difference: Floats) -> float:
    """p-value of a mean below zero: one-sided, by the t of `fold_interval`."""
    from scipy.special import stdtr

    mean, error = float(difference.mean()), intervals.standard_error(difference.tolist(), cross_fitted=True)
    return float(stdtr(len(difference) - 1, mean / error)) if error > 0 else float(mean >= -ROUNDING)


def not_easier(found: Sequence[Gap], reference: str) -> list[Check]:
    """Check that unseen replicates are not easier than seen ones."""
    checks = []
    for gap in found:
        if gap.attributor == reference and gap.p is not None:
            detail = f"seen less unseen {gap.gap.value:+.3f}, p = {gap.p:.2g} of being below zero"
            checks.append(Check(name="unseen replicates are not easier", ok=gap.p >= EASIER, detail=detail))
    return checks
