"""Verification of descent in words and tables: is a model a descendant of this ancestor?"""

from __future__ import annotations

from natfp_bench.pipeline.result import FactorStudy
from natfp_bench.statistics.verification import ALPHA, RATES, Verification, Verified

from .table import ReportTable, in_words, interval, number

COLUMNS = ("attributor", "texts", "against", "AUROC", "TPR at 5% FPR", "TPR at 1% FPR", "p ≤ 0.05", "false alarms")


def verification_table(study: FactorStudy | None) -> ReportTable | None:
    """Make the table of a verification: rows for each attributor and number of texts; None if there was none."""
    found = study.verification if study else None
    if found is None:
        return None
    rows = [row for one in found.found for row in _rows(one)]
    # A column is left out if there are too few models for any of it.
    kept = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    return ReportTable(
        "is it a descendant of this ancestor? (95%)",
        [COLUMNS[at] for at in kept],
        [[row[at] for at in kept] for row in rows],
        right=("texts",),
        caption=verification_sentence(found),
    )


def recognised_sentence(study: FactorStudy | None) -> str:
    """Say how often several texts show the ancestor of a descendant; empty where no p-value can be small enough."""
    found = study.verification if study else None
    if study is None or found is None:
        return ""
    shares, wrong = list[str](), list[float]()
    for one in found.found:
        if one.attributor == study.reference and one.size > 1 and one.recognised and one.false_alarms:
            # What the interval is, is said once.
            within = in_words(one.recognised, label=not shares)
            shares.append(f"{within} by {one.size:,} texts")
            wrong.append(one.false_alarms.value)
    if not shares:
        return ""
    return (
        f"Does a model come from one of these at all? Against {found.strangers} models of unknown ancestors, "
        f"{study.reference} shows the true ancestor with a p-value of at most {ALPHA} for this share of the "
        f"descendants: {', '.join(shares)}. It shows a wrong one for a share of {number(max(wrong), 2)} at most."
    )


def _rows(of: Verified) -> list[list[str]]:
    """Rows of one attributor and number of texts: against each kind of false pairs."""
    known = [
        interval(one, 2) for one in (of.others.auroc, of.others.tpr_at_5_percent_fpr, of.others.tpr_at_1_percent_fpr)
    ]
    rows = [[of.attributor, f"{of.size:,}", "other descendants", *known, "", interval(of.false_alarms, 2)]]
    if them := of.strangers:
        beyond = [interval(one, 2) for one in (them.auroc, them.tpr_at_5_percent_fpr, them.tpr_at_1_percent_fpr)]
        rows.append([of.attributor, f"{of.size:,}", "strangers", *beyond, interval(of.recognised, 2), ""])
    return rows


def verification_sentence(found: Verification) -> str:
    """Say what was asked, of whom, and how far the answer goes."""
    said = (
        f"Each of {found.descendants} descendants of {found.ancestors} ancestors is paired with every ancestor, by a "
        "fit that has not met its replicate; AUROC is the probability that a true pair has more support than a false "
        "one."
    )
    if found.strangers:
        said += (
            f" Strangers are {found.strangers} models of the same making, each of an ancestor of its own. p ≤ 0.05: "
            "share of true pairs that are shown, by a p-value against the strangers that is corrected for all "
            "ancestors; false alarms: how often the same p-value names a wrong ancestor."
        )
    else:
        said += (
            " How a model of an unknown ancestor would fare was not measured: --set analysis.strangers=19 makes models "
            "for it, and gives p-values."
        )
    models = (found.descendants, found.strangers) if found.strangers else (found.descendants,)
    few = [f"{rate:.0%} takes {round(1 / rate) - 1}" for rate in RATES if min(models) < round(1 / rate) - 1]
    if few:
        counted = " and ".join(f"{number} models" for number in models)
        said += f" A threshold for a false-positive rate (FPR) of {' and of '.join(few)}, and there are {counted}."
    return f"{said} The result is about these ancestors, and about descendants that are made in this way."
