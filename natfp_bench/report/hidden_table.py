"""The board of hidden scores, beside what the public texts say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from natfp_bench.attributors.code_digest import RESULTS
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import UserError
from natfp_bench.base.markdown import escape
from natfp_bench.results import submission
from natfp_bench.results.hidden import HiddenScores
from natfp_bench.results.submission import Submission
from natfp_bench.statistics.intervals import Interval

from . import markdown
from .table import ReportTable, spread

HIGHER = 2.58
"""Standard errors by which a public score must be above the hidden one to be marked (one in 200 by chance)."""


WRITTEN = "Written by `natfp-bench hidden board FILE --format md`."


def page(made: HiddenScores, baselines: Sequence[Baseline]) -> str:
    """Write the board as a Markdown document, with the suspicions. Ends with a newline."""
    parts = ["# Hidden scores", WRITTEN, markdown.section(board(made, baselines))]
    found = [f"{name} is suspicious: {why}" for name, of in made.scores.items() for why in of.suspicions]
    return "\n\n".join([*parts, *(f"- {escape(one)}" for one in found)]) + "\n"


def board(made: HiddenScores, baselines: Sequence[Baseline]) -> ReportTable:
    """Hidden scores, best first, with the public scores of baselines on the same tasks."""
    public = _public(made, baselines)
    rows = []
    for name, of in sorted(made.scores.items(), key=lambda item: -(item[1].unseen or item[1].seen).value):
        unseen, seen = public.get(name, (None, None))
        marks = [
            side for side, one, other in (("unseen", unseen, of.unseen), ("seen", seen, of.seen)) if _above(one, other)
        ]
        said = [f"public score higher ({', '.join(marks)})"] if marks else []
        said += ["suspicious"] if of.suspicions else []
        cells = [spread(one, 3) if one else "" for one in (of.unseen, of.seen, unseen, seen)]
        rows.append((name, *cells, "; ".join(said)))
    figures = ("hidden, unseen runs", "hidden, seen runs", "public, unseen runs", "public, seen runs")
    return ReportTable(
        f"Scores on hidden texts (secret {made.secret[:12]})",
        ("attributor", *figures, "remarks"),
        rows,
        right=figures,
        caption=(
            "Mean identifiability over the same tasks, ± the 95% interval over models. Hidden scores count. Public "
            "ones are what authors say of themselves, on texts whose labels are public."
        ),
    )


def _public(made: HiddenScores, baselines: Sequence[Baseline]) -> dict[str, tuple[Interval | None, Interval | None]]:
    """Public means of those baselines that have scores on the same tasks for the same code."""
    found: dict[str, tuple[Interval | None, Interval | None]] = {}
    for baseline in baselines:
        if baseline.name not in made.scores or not (baseline.folder / RESULTS).is_file():
            continue
        tasks = made.scores[baseline.name].tasks
        try:
            own: Submission = submission.read(baseline.folder / RESULTS)
        except UserError:
            continue
        if own.digest == made.scores[baseline.name].digest and set(tasks) <= set(own.scores):
            few = own.model_copy(update={"scores": {task: own.scores[task] for task in tasks}})
            place = next(iter(submission.ranking(few, ()).places), None)
            if place:
                found[baseline.name] = (
                    place.unseen.identifiability if place.unseen else None,
                    place.seen.identifiability,
                )
    return found


def _above(public: Interval | None, hidden: Interval | None) -> bool:
    """Whether a public score is significantly above the hidden one; both are over models of their own."""
    if public is None or hidden is None:
        return False
    halves = [(one.high - one.value) / 2 for one in (public, hidden) if one.high is not None]
    return len(halves) == 2 and public.value - hidden.value > HIGHER * math.hypot(*halves)
