"""The page of one task in one protocol: what varies, the scores, what they depend on, and texts."""

from __future__ import annotations

from typing import Any

from natfp_bench import __version__
from natfp_bench.base.records import flatten
from natfp_bench.pipeline.result import Result
from natfp_bench.report import figures as report_figures
from natfp_bench.report import page_texts as report_texts
from natfp_bench.report import study_figures as report_study_figures
from natfp_bench.report.crossed_figures import crossed_figures
from natfp_bench.report.crossed_words import crossed_sentences, crossed_table
from natfp_bench.report.dilution_words import dilution_table
from natfp_bench.report.drawing import Figure
from natfp_bench.report.finding import finding, scope
from natfp_bench.report.leaderboard_tables import board_table, factor_p, setting_title, verdict
from natfp_bench.report.many_tables import many_figure, many_sentences, many_table
from natfp_bench.report.reading_tables import reading_tables
from natfp_bench.report.result_tables import SPLITS, findings, variants_table
from natfp_bench.report.study_figures import estimate
from natfp_bench.report.table import ReportTable, interval, number, p_words, plain_p, spread, value
from natfp_bench.report.trend_tables import trend_title
from natfp_bench.report.verification_words import verification_table
from natfp_bench.results.leaderboard import FactorRow
from natfp_bench.results.many import many
from natfp_bench.results.protocols import Protocol
from natfp_bench.results.trends import Trend

from .page import Facts, Page, Pages, about, bibtex, boards_of, provenance, question, task_path, trend_path


def task(of: Pages, protocol: Protocol) -> Page:
    """Make the page of one task in one protocol."""
    result = protocol.newest
    of.read(protocol)
    found = many(protocol)
    logs, log_note = report_texts.training_logs(result, of.store)
    parts: dict[str, list[Figure | None]] = {
        "scores": [
            report_figures.accuracy(protocol),
            report_figures.ladder([protocol]),
            report_figures.confusion(protocol),
        ],
        "models": [report_study_figures.training(result, logs), report_study_figures.equivalence(result)],
        "curves": list(report_study_figures.curves(result)),
        "many": [many_figure(found)] if found else [],
        "crossed": list(crossed_figures(result)),
        "apart": list(report_study_figures.mean_kl(result)),
        "evidence": [report_study_figures.wording(result), *report_study_figures.evidence(result)],
        "robustness": [report_study_figures.robustness(result)],
    }
    drawn = {name: [figure for figure in figures if figure] for name, figures in parts.items()}
    point_of = next((one for one in of.trends if _is_point(one, result)), None)
    others = [
        (setting_title(other.setting), task_path(other.newest))
        for other in of.protocols
        if other is not protocol
        and other.newest.task.name == result.task.name
        and not (point_of and _is_point(point_of, other.newest))
    ]
    shown = {
        "result": result,
        "question": question(result),
        "finding": finding(result),
        "scope": scope(result),
        "sliders": sliders(result),
        "bibtex": bibtex(result, __version__),
        "game": bool(of.texts[result.protocol_digest].game),
        "setting": setting_title(protocol.setting),
        "tiles": tiles(of.row(protocol)),
        "findings": list(findings(result)),
        "many": list(many_sentences(found)) if found else [],
        "many_table": many_table(found) if found else None,
        "crossed": list(crossed_sentences(result.study)),
        "crossed_table": crossed_table(result.study),
        "verification": verification_table(result.study),
        "dilution": dilution_table(result.study),
        "readings": list(reading_tables(result)),
        "failures": result.failures,
        "recipe": recipe_table(result),
        "common": common_settings(result),
        "variants": variants_table(result),
        "boards": [board_table(board, named=False) for board in boards_of(of, protocol)],
        "figures": drawn,
        "log_note": log_note,
        "texts": of.texts[result.protocol_digest],
        "checks": result.checks,
        "others": others,
        "about": about(result),
        "point_of": (trend_title(point_of), trend_path(point_of)) if point_of else None,
    }
    figures = [figure for name in drawn for figure in drawn[name]]
    title = f"{question(result)} ({result.task.name}, {result.preset})"
    made = [provenance(one) for _, one in reversed(protocol.results)]
    return Page(task_path(result), title, "task.html", shown, figures, made)


def _is_point(trend: Trend, result: Result) -> bool:
    return any(point.protocol_digest == result.protocol_digest for point in trend.points)


def tiles(row: FactorRow) -> list[tuple[str, str, str]]:
    """The figures at the top of a page: name, figure, what it is about."""
    main, where = row.unseen or row.seen, "unseen replicates" if row.unseen else "seen replicates"
    found = []
    if main:
        found.append(("identifiability", spread(main.reference), f"{row.reference}, {where}"))
        found.append(("best attributor", value(main.best, 2), f"{', '.join(main.best_attributors)}, {where}"))
    if row.seen:
        found.append(("ceiling", value(row.seen.ceiling, 2), "likelihoods, seen replicates"))
    if row.mutual_information:
        shared = row.mutual_information
        found.append(("bits per text", value(shared, 2), f"mutual information with the level: {interval(shared, 2)}"))
    if row.verdict:
        corrected = f"corrected {p_words(row.p_adjusted)}, least possible p {plain_p(row.p_floor)}"
        would = f"; would have found {row.detectable:.2f}" if row.detectable else ""
        found.append(("factor", verdict(row), corrected + would))
    found.append(("p", factor_p(row), "about the factor" if row.p is not None else "about these models alone"))
    if row.detectable is not None and row.verdict is None:
        single = "" if row.unseen or row.replicates == 1 else " of single models"
        found.append(("detectable", number(row.detectable, 2), f"identifiability{single}, power 0.8"))
    return [tile for tile in found if tile[1]]


def sliders(result: Result) -> list[dict[str, Any]]:
    """Points of the curves that say how much text is needed: those of texts judged together, and of the length."""
    if (study := result.study) is None:
        return []
    chance = next((score.chance for score in result.scores if score.target == "level"), None)
    found = []
    for curve in study.curves:
        if curve.name == "pooled" and len(curve.points) > 1:
            points = [{"at": point.at, **estimate(point.accuracy)} for point in curve.points]
            of = {"name": "pooled", "label": "Texts of one model, judged together", "unit": "texts"}
            about = {"target": curve.target, "split": SPLITS.get(curve.split, curve.split)}
            found.append({**of, **about, "who": study.reference, "chance": chance, "points": points})
    if study.length and len(study.length.points) > 1:
        points = [
            {"at": point.at, **estimate(point.accuracy), "ceiling": point.ceiling} for point in study.length.points
        ]
        of = {"name": "length", "label": "Length of one text", "unit": study.length.unit, "target": "level"}
        found.append({**of, "split": "", "who": study.reference, "chance": chance, "points": points})
    return found


def recipe_table(result: Result) -> ReportTable:
    """Make the table of the settings that differ between variants, including the seeds of replicates."""
    flat = {variant.name: dict(flatten(variant.settings)) for variant in result.variants}
    paths = list(dict.fromkeys(path for settings in flat.values() for path in settings))
    differ = [path for path in paths if len({repr(settings.get(path)) for settings in flat.values()}) > 1]
    differ.sort(key=lambda path: path not in result.factor.fields)
    titles = [f"{path} (the factor)" if path in result.factor.fields else path for path in differ]
    rows = [
        [str(cell) for cell in (of.name, of.level, of.replicate, *(flat[of.name].get(path, "") for path in differ))]
        for of in result.variants
    ]
    caption = (
        f"All other settings are the same for every variant. The factor is {result.factor.name}; replicates differ "
        "only in their seeds."
    )
    return ReportTable("what varies", ("variant", "level", "replicate", *titles), rows, caption=caption)


def common_settings(result: Result) -> Facts:
    """List the settings that all variants share."""
    flat = [dict(flatten(variant.settings)) for variant in result.variants]
    return [
        (path, str(value_))
        for path, value_ in (flat[0] if flat else {}).items()
        if all(other.get(path) == value_ for other in flat)
    ]
