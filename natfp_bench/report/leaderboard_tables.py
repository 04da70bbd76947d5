"""Tables of the leaderboards: factors, the evidence about them, attributors, and the board of one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from natfp_bench.base.rungs import ASKS, Rung, given
from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE
from natfp_bench.results.leaderboard import (
    AttributorMean,
    AttributorRow,
    FactorRow,
    FactorSection,
    Identified,
    Standing,
)
from natfp_bench.results.protocols import Board, Row, Setting
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.replication import Answer

from .result_tables import SPLITS, length_order, length_to_95
from .table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    bar_cell,
    estimate_cell,
    interval,
    log_p,
    number,
    number_cell,
    plain_p,
    spread,
    value,
)

SECTION_NOTES: Mapping[FactorSection, str] = {
    "held-out replicates": "Scores on replicates that no attributor saw in training: these are about the factor.",
    "seen replicates only": "No replicate is held out: these are about the individual models, not comparable with "
    "scores on held-out replicates.",
    "positive control": "Identifiability must be far above chance.",
    "negative control": "Identifiability must be at chance.",
    "older protocol": "The task or its settings have changed since: neither counted nor comparable.",
}
"""What the rows of a section have in common."""

REFERENCE_NOTE = (
    "likelihood_reference knows the likelihoods of the models of the other replicates, but not of those that wrote the "
    "test texts: it is not a ceiling, and attributors may exceed it."
)


FACTORS = "factors: how identifiable?"
"""Title of the first table of every setting."""


def setting_title(setting: Setting) -> str:
    """Name what the figures of a table have in common."""
    texts = [] if setting.texts is None else [f"{setting.texts:,} texts per variant"]
    seed = [f"seed {setting.seed}"] if setting.seed else []
    fixed = ["fixed texts"] if setting.fixed_texts else []
    subset = [] if setting.subset is None else [f"only {setting.subset:,} test texts per class"]
    overrides = [f"{k}={v}" for k, v in setting.overrides.items()]
    return ", ".join([*fixed, setting.preset, setting.corpus, *texts, *subset, *overrides, *seed])


def standing_tables(standing: Standing, *, evidence: bool = True) -> list[ReportTable]:
    """Make the tables of one setting: factors, evidence about them (unless left out), attributors if there are any."""
    evidence_tables = [_evidence_table(standing)] if evidence else []
    attributor_tables = [_attributor_table(standing)] if standing.attributors else []
    return [_factor_table(standing), *evidence_tables, *attributor_tables]


def _factor_table(standing: Standing) -> ReportTable:
    references = ", ".join(sorted({row.reference for row in standing.factors if row.reference})) or "none"
    setting = standing.setting
    part = "fixed texts" if setting.fixed_texts else "a part of the test texts" if setting.subset else ""
    return ReportTable(
        FACTORS + (f" (on {part}, which rank attributors, not factors)" if part else ""),
        (
            *("task", "identifiability, 95%", "unseen\nreplicates", "best", "seen\nreplicates", "best", "ceiling"),
            *("bits", "best attributor"),
        ),
        _in_sections(standing, [_factor_cells(row) for row in standing.factors]),
        right=("unseen\nreplicates", "best", "seen\nreplicates", "ceiling", "bits"),
        loose=("task",),
        wide=("best attributor",),
        caption=(
            "Identifiability: 0 is chance, 1 is certainty. On unseen replicates (± is the 95% interval over them) no "
            "attributor saw the models that wrote the test texts: only these figures are about the factor itself. On "
            "seen replicates, attributors may recognise individual models. The first figure is that of the reference "
            f"attributor ({references}). The second is that of the best one, chosen for each part of the test texts (a "
            "replicate, or a tenth of the prompts) by its scores on the other parts. ceiling: what the models' own "
            "likelihoods reach on seen replicates. bits: information about the level per text on seen replicates, of "
            "the reference attributor and of the ceiling."
        ),
        bars=("identifiability, 95%",),
        bar_caption=(
            "The bar is the reference attributor on unseen replicates (on seen ones if none are held out); its tick is "
            "the best attributor. If several attributors are chosen as best, the tick may be below each of them."
        ),
    )


def _factor_cells(row: FactorRow) -> list[Cell]:
    main, seen = row.unseen or row.seen, row.seen
    best = main.best.value if main and main.best else None
    bits = " of ".join(filter(None, [value(seen.bits, 2), value(seen.ceiling_bits, 2)])) if seen else ""
    return [
        Cell(row.task, about=row.protocol_digest),
        bar_cell(main.reference if main else None, best),
        *_identified_cells(row.unseen, spread),
        *_identified_cells(seen, value),
        estimate_cell(seen.ceiling, value(seen.ceiling, 2)) if seen else Cell(),
        estimate_cell(seen.bits, bits) if seen else Cell(),
        Cell(", ".join(main.best_attributors) if main else ""),
    ]


def _identified_cells(found: Identified | None, form: Callable[[Interval | None, int], str]) -> list[Cell]:
    if found is None:
        return [Cell(), Cell()]
    return [estimate_cell(found.reference, form(found.reference, 2)), estimate_cell(found.best, value(found.best, 2))]


ANSWERS: Mapping[Answer, str] = {"equally good": "yes", "not equally good": "no", "not shown": "not shown"}


def _evidence_table(standing: Standing) -> ReportTable:
    rows = []
    for row in standing.factors:
        unit = f" {row.length.unit}" if row.length and row.length.unit != "tokens" else ""
        found = row.equivalence
        rows.append(
            [
                Cell(row.task, about=row.protocol_digest),
                Cell(row.factor),
                Cell(verdict(row)),
                number_cell(row.detectable if row.verdict else None, ".2f"),
                Cell(factor_p(row), sort=row.p),
                Cell(plain_p(row.p_floor), sort=row.p_floor),
                Cell(plain_p(row.p_adjusted), sort=row.p_adjusted),
                Cell(length_to_95(row.length) + unit, sort=length_order(row.length)),
                Cell(ANSWERS[found.answer] if found else ""),
                number_cell(found.worst_ratio if found else None, ".3f"),
            ]
        )
    tests = sum(row.p_adjusted is not None for row in standing.factors)
    return ReportTable(
        "factors: on what evidence?",
        (
            *("task", "factor", "verdict", "would\nfind", "p", "least\np", "corrected\np", "95% at\n(tokens)"),
            *("equally\ngood", "worst\nratio"),
        ),
        _in_sections(standing, rows),
        right=("would\nfind", "p", "least\np", "corrected\np", "95% at\n(tokens)", "worst\nratio"),
        loose=("factor",),
        wide=("factor", "95% at\n(tokens)", "worst\nratio"),
        caption=(
            "p: the share of labellings, with levels permuted within replicates, for which naive Bayes on words names "
            "the levels of unseen runs at least as well. least p: the smallest value that so few replicates can give. "
            f"corrected p: by Holm, over the {tests} factors of this table that can be found at all (tables of other "
            "settings are not counted); a claim rests on it. found: corrected p is at most 0.05. not found: it is not; "
            "'would find' is the identifiability, by this naive Bayes, that would have been found with a power of 0.8. "
            "not testable: even the least p is above 0.05 after the correction. If no replicates are held out, nothing "
            "is said of a factor, and p is about these models alone (accuracy of the reference attributor). 95% at: "
            "the text length at which accuracy reaches 0.95, for the reference attributor / the ceiling. equally good: "
            "whether the levels are equally good models within the margin (the single models, if there are no "
            "replicates); 'not shown' is neither yes nor no; empty where all levels have the same weights. worst "
            "ratio: of held-out bits per byte, of two levels."
        ),
    )


def verdict(row: FactorRow) -> str:
    """Say what follows for a factor; nothing is claimed of controls, of older protocols, and of models alone."""
    return row.verdict or ""


def _attributor_table(standing: Standing) -> ReportTable:
    held_out, tasks = standing.held_out, standing.tasks
    return ReportTable(
        "attributors: which identifies levels best?",
        (
            *("rank", "attributor", "identifiability, 95%", "unseen\nruns", "rank,\nseen", "seen\nruns", "failed"),
            *("fit, s", "predict, s"),
        ),
        _by_rung([(row.knowledge, _attributor_cells(row)) for row in standing.attributors]),
        right=("rank", "unseen\nruns", "rank,\nseen", "seen\nruns", "failed", "fit, s", "predict, s"),
        wide=("predict, s",),
        caption=(
            f"Mean identifiability without controls: on unseen runs over the {held_out} tasks that hold out "
            f"replicates, on seen runs over all {tasks}. ± is the 95% interval over models, as if each had seeds of "
            "its own: tasks share models, so the models are what could have been others. Rank: 1 + the number of "
            "attributors of its rung that are significantly better (sign flips of models, Holm). An attributor has a "
            "rank only if one version of it did every task; there are no ranks if the models are too few for a "
            "significant difference. Seconds are sums over all fits and all predictions, as measured where they ran."
        ),
        bars=("identifiability, 95%",),
        bar_caption="The bar is the mean on unseen runs (on seen ones if none are held out).",
    )


def _attributor_cells(row: AttributorRow) -> list[Cell]:
    versions = "" if len(row.digests) == 1 else f" ({len(row.digests)} versions)"
    main = row.unseen or row.seen
    return [
        *_mean_cells(row.unseen)[:1],
        Cell(f"{row.attributor}{versions}{' (floor)' if row.floor else ''}", about=row.attributor),
        bar_cell(main.identifiability if main else None),
        *_mean_cells(row.unseen)[1:],
        *_mean_cells(row.seen),
        Cell(str(len(row.failed) or ""), sort=len(row.failed)),
        number_cell(row.fit_seconds, ",.1f"),
        number_cell(row.predict_seconds, ",.1f"),
    ]


def _mean_cells(found: AttributorMean | None) -> list[Cell]:
    """Rank and mean."""
    if found is None:
        return [Cell(), Cell()]
    rank = Cell(str(found.rank or ""), sort=found.rank, badge=found.rank == 1)
    return [rank, estimate_cell(found.identifiability, spread(found.identifiability))]


def board_table(board: Board, *, named: bool = True) -> ReportTable:
    """Make the table of one protocol's attributors; `named`: say which protocol it is."""
    protocol = f"{board.task} ({board.preset}, {board.corpus}): " if named else ""
    reference = any(row.attributor == LIKELIHOOD_REFERENCE for row in board.rows)
    title = f"{protocol}which {board.target} of {board.classes}? ({SPLITS.get(board.split, board.split)})"
    if _given(board):
        title = f"{protocol}which label of {board.classes}?"
    return ReportTable(
        title,
        # Narrow enough for 80 columns; --json has every interval.
        ("rank", "attributor", "accuracy", "accuracy, 95%", "ident.", "bits, 95%", "F1", "p"),
        _by_rung([(row.knowledge, _board_cells(row, board.chance)) for row in board.rows]),
        right=("rank", "ident.", "F1", "p"),
        wide=("F1",),
        caption=f"{board.n_test or 0:,} test texts; chance is {number(board.chance)}. {_about(board)}"
        + (f" {REFERENCE_NOTE}" if reference else ""),
        bars=("accuracy",),
        bar_caption="The tick on each bar is chance.",
    )


def _about(board: Board) -> str:
    """Say what the intervals are about."""
    found = next((row.accuracy for row in board.rows if row.accuracy and row.accuracy.low is not None), None)
    if found is None:
        return "There are too few units for intervals."
    if found.units == "replicates":
        return f"Intervals are over {found.n_units} replicates: other runs of these levels."
    of = "with these labels" if _given(board) else "of these models"
    return f"Intervals are over {found.n_units:,} {found.units}: other texts {of}, given these fits."


def _given(board: Board) -> bool:
    """Whether the texts were given with labels: nothing is known of models."""
    return board.corpus.startswith("texts:")


def _board_cells(row: Row, chance: float) -> list[Cell]:
    if row.error:
        return [
            Cell(),
            Cell(row.attributor, about=row.attributor),
            Cell(),
            Cell(f"failed: {row.error}"),
            *[Cell()] * 4,
        ]
    return [
        Cell(str(row.rank or ""), sort=row.rank, badge=row.rank == 1),
        Cell(row.attributor, about=row.attributor),
        bar_cell(row.accuracy, chance),
        estimate_cell(row.accuracy, interval(row.accuracy)),
        estimate_cell(row.identifiability, value(row.identifiability)),
        estimate_cell(row.bits, interval(row.bits)),
        estimate_cell(row.macro_f1, value(row.macro_f1)),
        Cell(log_p(row.log10_p), sort=row.log10_p),
    ]


def _by_rung(rows: Sequence[tuple[Rung, list[Cell]]]) -> list[TableRow]:
    """Put a heading above the rows of each rung, if there is one above the lowest; the ceiling needs none."""
    if all(rung in ("texts", "weights") for rung, _ in rows):
        return [cells for _, cells in rows]
    found: list[TableRow] = []
    before = None
    for rung, cells in rows:
        if rung != before:
            found.append(Heading(f"knowledge: {rung}", f"Given {given(rung)}. {ASKS[rung]}"))
            before = rung
        found.append(cells)
    return found


def factor_p(row: FactorRow) -> str:
    """Print the p-value of a factor, or of these models alone."""
    return log_p(row.log10_p) if row.p is None else plain_p(row.p)


def _in_sections(standing: Standing, rows: Sequence[Sequence[Cell]]) -> list[TableRow]:
    """Put a heading above the rows of each section."""
    found: list[TableRow] = []
    before = None
    for row, cells in zip(standing.factors, rows, strict=True):
        if row.section != before:
            found.append(Heading(row.section, SECTION_NOTES[row.section]))
            before = row.section
        found.append(cells)
    return found
