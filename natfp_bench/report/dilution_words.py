"""Streams of texts by two models, mixed at known shares, in words and tables: what share is by one of them?"""

from __future__ import annotations

from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE, FactorStudy
from natfp_bench.statistics.dilution import AtShare, Diluted

from .table import ReportTable, number

LIKELIHOODS = ("ceiling", LIKELIHOOD_REFERENCE)


def dilution_table(study: FactorStudy | None) -> ReportTable | None:
    """Make the table of estimated shares: a row for each attributor and size of a stream; None if nothing was mixed."""
    found = study.dilution if study else None
    if not found or not found.found:
        return None
    shares = [one.share for one in found.found[0].at]
    columns = ["attributor", "texts", "smallest found", *(f"{share:.3g}" for share in shares), "coverage"]
    rows = [
        [of.attributor, f"{of.texts:,}", smallest(of), *(_cell(at) for at in of.at), _coverage(of)]
        for of in found.found
    ]
    return ReportTable(
        "what share of mixed texts is by one of two models? (mean estimate and mean 95% interval, by true share)",
        columns,
        rows,
        right=("texts", "smallest found"),
        wide=columns[4:-1:2],
        caption=dilution_sentence(study),
    )


def _cell(of: AtShare) -> str:
    return f"{number(of.estimate, 2)} {number(of.low, 2)}–{number(of.high, 2)}"


def _coverage(of: Diluted) -> str:
    """The lowest and the highest coverage over all shares."""
    least, most = (pick(at.coverage for at in of.at) for pick in (min, max))
    return number(least, 2) if round(least, 2) == round(most, 2) else f"{number(least, 2)}–{number(most, 2)}"


def smallest(of: Diluted) -> str:
    """The smallest share that is found; a bound, if it is not among the shares that were tried."""
    if of.smallest is None:
        return f">{of.at[-1].share:.3g}"
    return f"≤{of.smallest:.3g}" if of.smallest <= _first(of) else number(of.smallest, 2)


def _first(of: Diluted) -> float:
    """The smallest share above 0 that was tried."""
    return min(at.share for at in of.at if at.share)


def dilution_sentence(study: FactorStudy | None) -> str:
    """Say what was mixed, how shares are estimated, and how far the answer goes."""
    found = study.dilution if study else None
    if not found or not found.found:
        return ""
    one = found.found[0]
    said = (
        f"In each stream, the texts are by one model with the probability at the head of the column, and else by the "
        f"other: {one.streams:,} streams for each figure, over {found.pairs:,} ordered pairs of models. Smallest "
        "found: the share at which four of five intervals exclude 0. Coverage: how often the interval "
        "contains the true share, lowest and highest over the columns (0.95 is aimed at). Attributors are corrected "
        f"with {found.calibration:,} further texts of each model; the likelihoods need no correction."
    )
    trusted = [at for of in found.found for at in of.at if at.uncorrected is not None]
    if trusted:
        most = max(trusted, key=lambda at: abs((at.uncorrected or 0.0) - at.share))
        who = next(of.attributor for of in found.found if most in of.at)
        said += (
            f" If attributors' probabilities were trusted instead, estimates would be off by up to "
            f"{number(abs((most.uncorrected or 0.0) - most.share), 2)} ({who}, true share {most.share:.3g})."
        )
    return f"{said} The result is about these models, and about texts by these two alone."


def dilution_finding(study: FactorStudy | None) -> str:
    """Say, as the rest of a sentence, what the reference attributor and the likelihoods find; empty if nothing."""
    if not (chosen := _told(study)):
        return ""
    told = " and ".join(f"{of.attributor} finds {_as_share(of)}" for of in chosen)
    return f"of {chosen[0].texts:,} texts, if some are by one of these models and all others by another, {told}"


def dilution_answer(study: FactorStudy | None) -> str:
    """The same as sentences that need no table, with what the intervals are worth; empty if nothing was estimated."""
    if not (found := dilution_finding(study)):
        return ""
    worth = " and ".join(f"{_coverage(of)} of the streams ({of.attributor})" for of in _told(study))
    return (
        f"{found[0].upper()}{found[1:]}. A share is found if four of five 95% intervals exclude 0. Intervals contain "
        f"the true share in {worth}, where 0.95 is aimed at."
    )


def _told(study: FactorStudy | None) -> list[Diluted]:
    """The longest streams, by the reference attributor and by the likelihoods."""
    found = study.dilution.found if study and study.dilution else ()
    most = max((of.texts for of in found), default=0)
    known = (study.reference if study else "", *LIKELIHOODS)
    return [of for of in found if of.texts == most and of.attributor in known]


def _as_share(of: Diluted) -> str:
    if of.smallest is None:
        return "no share that was tried"
    return f"a share of {number(of.smallest, 2)}" + (" or less" if of.smallest <= _first(of) else "")


def dilution_fact(study: FactorStudy) -> str:
    """Why nothing was estimated although it was asked for; empty if something was, or nothing was asked."""
    if study.dilution and not study.dilution.found:
        return "not estimated: some two models have fewer than four test prompts in common"
    return dilution_finding(study)
