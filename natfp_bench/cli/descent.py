"""What `identify --descent` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natfp_bench.report.table import ReportTable
    from natfp_bench.results.identification import Descent


def print_descent(found: Descent) -> None:
    """Print which ancestor the texts support, the limits of the answer, and the answer last."""
    from . import terminal

    out = terminal.stdout()
    terminal.print_table(out, _table(found))
    for note in found.notes:
        terminal.say(out, f"note: {note}")
    terminal.say(out, *conclusion(found), wrap=False)


def _table(found: Descent) -> ReportTable:
    from natfp_bench.report.table import ReportTable, number, plain_p

    rows = [(one.ancestor, number(one.support), plain_p(one.p), plain_p(one.p_adjusted)) for one in found.pairs]
    caption = (
        f"support: mean over {found.judged:,} texts of the logarithm of the ancestor's probability over the mean of "
        "the others', in nats. p: of 'the texts are of no descendant of this ancestor', as the rank of the support "
        f"among {found.strangers} strangers, which descend from none of these; no p is below {found.smallest_p:.3f}. "
        "adjusted p: corrected for looking at all ancestors."
    )
    title = f"{found.task} ({found.preset}): a descendant of which ancestor? by {found.attributor.name}"
    return ReportTable(
        title, ("ancestor", "support", "p", "adjusted p"), rows, right=("support", "p", "adjusted p"), caption=caption
    )


def conclusion(found: Descent) -> list[str]:
    """Say from which ancestor the writer descends, if that is shown, and how often it would be."""
    from natfp_bench.report.table import in_words, plain_p
    from natfp_bench.statistics.verification import ALPHA

    n, best = found.judged, found.pairs[0]
    subject = "the text, by a model" if n == 1 else f"{n:,} texts together, if one model wrote them all: it"
    if found.shown:
        said = f"{subject} descends from {best.ancestor} (adjusted p = {plain_p(best.p_adjusted)})"
    else:
        said = (
            f"{subject} may descend from none of these: {best.ancestor} has the most support, but adjusted p = "
            f"{plain_p(best.p_adjusted)}"
        )
    if not found.recognised or not found.false_alarms:
        return [said, f"with {found.strangers} strangers no p-value can reach {ALPHA}, so nothing could be shown"]
    power = (
        f"of held-out descendants of these ancestors, this test recognises a share of {in_words(found.recognised)} by "
        f"as many texts, and names a wrong ancestor for {in_words(found.false_alarms)}"
    )
    return [said, power]
