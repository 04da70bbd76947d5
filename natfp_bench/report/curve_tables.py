"""Curves as sentences and tables: how many training texts an attributor needs, and what more of them bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from natfp_bench.pipeline.curve_result import AttributorCurve, CurvePoint, CurveResult
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.statistics.intervals import SHARP, Interval
from natfp_bench.statistics.power_law import LawFit
from natfp_bench.statistics.texts_needed import TextsNeeded

from .finding import PRESETS_TO_TRY, short_corpus
from .table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    estimate_cell,
    interval,
    number,
    number_cell,
    test_verdict,
    value,
)
from .trend_tables import amount

ABOUT = (
    "Every point is a fit of its own to the first so many training texts of each model; larger numbers contain the "
    "smaller ones. All points are tested on the same texts, those of the ordinary run. Where replicates are held out, "
    "intervals of accuracy and bits are over them, for other runs of the same levels; elsewhere they are for other "
    "test texts of these models. A power law of the bits has three parameters; it is fitted once more without the "
    "largest number of texts, and is used beyond the points only if it predicted that one within the interval of the "
    f"difference, and if this interval is no wider than {SHARP:.0%} of what was seen on each side. The interval of the "
    "number of texts leaves out one tenth of the test prompts (one held-out replicate, where there are three or more) "
    "at a time. It does not say what other training texts would give, nor, without held-out replicates, other models."
)

HALF = "half of the ceiling's bits"


def curve_title(of: CurveResult) -> str:
    """Name a curve."""
    return f"{of.task.name}: texts needed ({', '.join([of.preset, short_corpus(of.corpus), *_settings(of)])})"


def _settings(of: CurveResult) -> list[str]:
    given = [f"{name}={value}" for name, value in of.overrides.items() if name != "corpus.name"]
    return [*given, *([f"seed {of.seed}"] if of.seed else [])]


def curve_scope(of: CurveResult) -> str:
    """Say which models and texts a curve is about."""
    texts = f"{len(of.variants)} models, {of.sampled:,} texts drawn from each; {of.n_test:,} test texts"
    where = " of models that the fits have not seen" if of.split == UNSEEN_REPLICATE else ""
    smoke = "; preset smoke is too small to mean anything" if of.preset in PRESETS_TO_TRY else ""
    own = f"the ordinary run of this preset has {of.own_texts:,} training texts per model"
    return f"{texts}{where}, the same for every point; {own}{smoke}."


def curve_sentences(of: CurveResult) -> Iterator[tuple[str, str]]:
    """Say of each attributor what it needs, and then what it reaches and how far that can be extrapolated.

    The attributor that reaches most comes first.
    """
    for curve in ranked(of):
        answer, rest = _sentences(of, curve)
        yield answer, rest.strip()


def ranked(of: CurveResult) -> list[AttributorCurve]:
    """Curves by the bits that they reach with the most texts, largest first; those that failed there last."""
    return sorted(of.curves, key=lambda curve: -_last_bits(curve))


def _last_bits(curve: AttributorCurve) -> float:
    last = curve.points[-1]
    return last.metrics["bits"].value if last.status == "ok" else -float("inf")


def _sentences(of: CurveResult, curve: AttributorCurve) -> tuple[str, str]:
    name, sound = curve.name, curve.sound
    if not sound:
        return f"{name} failed at every point: {curve.points[0].error}.", ""
    first, last = sound[0], sound[-1]
    span = f"from {first.texts:,} to {last.texts:,} training texts per model"
    course = f"from {_bits(first)} to {_bits(last)} per text, its accuracy from {_accuracy(first)} to "
    course += f"{_accuracy(last)} (chance {number(of.chance, 2)}{_ceiling(of)})."
    lost = len(curve.points) - len(sound)
    rest = f" It failed at {lost} of {len(curve.points)} points." * (lost > 0) + _law(curve.law)
    if curve.half is None or of.ceiling is None:
        return f"{name}: {span}, its bits go {course}", rest
    answer = f"{name} {_half(curve.half, of.ceiling.metrics['bits'])}."
    return answer, f"{span[0].upper()}{span[1:]}, its bits go {course}{rest}"


def _half(found: TextsNeeded, ceiling: Interval) -> str:
    what = f"{HALF} ({number(found.height, 2)} of {number(ceiling.value, 2)} per text)"
    texts = f"{_rounded(found.texts.value)} training texts per model"
    within = ""
    if found.texts.low is not None and found.texts.high is not None:
        within = f" (95% {_rounded(found.texts.low)}–{_rounded(found.texts.high)})"
    match found.how:
        case "measured":
            return f"has {what} after {texts}{within}, between two measured points"
        case "extrapolated":
            law = "extrapolated, not measured, by a power law that predicted the held-out point"
            return f"has {what} after about {texts}{within}: {law}"
        case "fewest":
            return f"has {what} with {texts} already, the fewest that were tried"
        case "beyond":
            law = "extrapolated, not measured, by a power law that predicted the held-out point"
            return f"does not have {what} even with {texts}: {law}"
        case "unknown":
            return f"does not have {what} with {texts}, the most that were tried; how many it needs is not known"


def _rounded(texts: float) -> str:
    """Print a number of texts with three digits that mean something."""
    size = 10 ** max(len(str(int(texts))) - 3, 0)
    return f"{round(texts / size) * size:,}"


def _bits(point: CurvePoint) -> str:
    return number(point.metrics["bits"].value, 2)


def _accuracy(point: CurvePoint) -> str:
    return number(point.metrics["accuracy"].value, 2)


def _ceiling(of: CurveResult) -> str:
    if of.ceiling is None:
        return ""
    return f", {of.ceiling.attributor.name.replace('_', ' ')} {number(of.ceiling.metrics['accuracy'].value, 2)}"


def _law(law: LawFit | None) -> str:
    if law is None or (tested := law.prediction) is None:
        return " There are too few points to test a power law."
    if tested.predicted.low is None:
        return " There are too few replicates for an interval, so no power law is tested."
    estimate, _, within = interval(tested.predicted).partition(" ")
    verdict = test_verdict(agrees=tested.agrees, sound=tested.sound)
    said = f" A power law fitted without the largest number of texts predicts {estimate} bits there (95% {within}), "
    said += f"and {number(tested.observed)} was seen: the prediction {verdict}."
    if tested.sound and not law.settled:
        said += " The points do not settle its exponent, so it is not extrapolated."
    if law.further:
        at, found = law.further
        said += f" Extrapolated, not measured: {interval(found)} bits with {amount(at)} texts."
    return said


def curve_table(of: CurveResult) -> ReportTable:
    """Make the table of all points, attributor by attributor, the ceiling last."""
    rows: list[TableRow] = []
    for curve in ranked(of):
        rows.append(Heading(curve.name))
        rows += [_cells(point) for point in curve.points]
    if of.ceiling:
        rows.append(Heading(of.ceiling.attributor.name.replace("_", " ")))
        rows.append([Cell("any"), *_metrics(of.ceiling.metrics), Cell("")])
    columns = ("texts per model", "accuracy, 95%", "ident.", "bits, 95%", "share of\nceiling")
    about = (
        "texts per model: training texts of each model that a fit learns from. ident.: identifiability, accuracy on a "
        "scale on which 0 is chance and 1 is certainty. bits: information that a text gives the attributor. share of "
        "ceiling: these bits divided by the ceiling's."
    )
    return ReportTable("points", columns, rows, right=(columns[0], columns[2], columns[4]), caption=about)


def _cells(point: CurvePoint) -> Sequence[Cell]:
    texts = Cell(f"{point.texts:,}", sort=point.texts)
    if point.status == "failed":
        return [texts, Cell("failed"), Cell(), Cell(), Cell()]
    return [texts, *_metrics(point.metrics), number_cell(point.extraction, ".2f")]


def _metrics(of: Mapping[str, Interval]) -> list[Cell]:
    accuracy, scaled, bits = (of.get(name) for name in ("accuracy", "identifiability", "bits"))
    cells = [(accuracy, interval(accuracy)), (scaled, value(scaled, 2)), (bits, interval(bits))]
    return [estimate_cell(found, text) for found, text in cells]
