"""Figures of one result: its models, its curves, its evidence. They show the numbers of the result as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from natfp_bench.pipeline.result import MeanKL, Result
from natfp_bench.statistics.intervals import Interval

from . import charts
from .drawing import Figure, figure
from .result_tables import SPLITS
from .table import number

WORDS_SHOWN = 12
"""Words per level that fit into a chart."""

LOSS_PARTS = 40
"""Most points of one training curve."""

BAD_STRESS = 0.2
"""Stress above which a map misleads (Kruskal 1964 calls 0.2 poor): distances are then shown without a map."""

ESTIMATE = {"value": "estimate", "low": "low (95%)", "high": "high (95%)"}


def estimate(found: Interval | None) -> dict[str, float | None]:
    """Fields of an estimate in a row."""
    return {name: None if found is None else getattr(found, name) for name in ("value", "low", "high")}


def chance_of(result: Result) -> dict[str, float]:
    """Chance of guessing the level, as a line of a chart."""
    found = next((score.chance for score in result.scores if score.target == "level"), None)
    return {} if found is None else {"chance": found}


def places_in(order: Sequence[str], *names: Any) -> list[int]:
    """Places of names in an order; names that it lacks come last."""
    return [order.index(name) if name in order else len(order) for name in names]


def training(result: Result, logs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure | None:
    """Loss of every variant minus the mean of all variants, against tokens."""
    known = {variant.name: variant.level for variant in result.variants if logs.get(variant.name)}
    if not known:
        return None
    # All variants reach the end of the shortest log; single batches are too noisy to compare, so stretches are
    # averaged.
    end = min(logs[name][-1]["tokens"] for name in known)
    parts = max(1, min(LOSS_PARTS, *(sum(line["tokens"] <= end for line in logs[name]) for name in known)))
    edges = np.linspace(0.0, end, parts + 1)
    loss = np.array([_stretches(logs[name], edges) for name in known])
    mean = loss.mean(axis=0)
    middle = (edges[1:] + edges[:-1]) / 2
    rows = [
        {"variant": name, "level": level, "tokens": float(at), "value": float(one - of_all), "loss": float(one)}
        for (name, level), own in zip(known.items(), loss, strict=True)
        for at, one, of_all in zip(middle, own, mean, strict=True)
        if np.isfinite(one) and np.isfinite(of_all)
    ]
    if not rows:
        return None
    chart = charts.curve(
        rows,
        x="tokens",
        series="level",
        names=result.factor.levels,
        x_title="tokens",
        y_title="loss minus mean loss, nats per token",
        detail="variant",
        points=False,
        lines={"mean of all variants": 0.0},
    )
    columns = {"variant": "variant", "level": "level", "tokens": "tokens", "value": "difference", "loss": "loss"}
    last = float(mean[np.isfinite(mean)][-1])
    caption = (
        f"Training loss of each variant minus the mean of all variants ({last:.2f} nats per token at the end), "
        "averaged "
        f"over stretches of {end / parts:,.0f} tokens; one line per variant, one colour per level. The data "
        "have the loss."
    )
    return figure("training", "Training curves", caption, columns, rows, chart)


def _stretches(log: Sequence[Mapping[str, float]], edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean loss between successive edges, in tokens; nan where a log has no line."""
    tokens, loss = (np.array([line[name] for line in log]) for name in ("tokens", "loss"))
    place = np.searchsorted(edges, tokens, side="left") - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    count = np.bincount(place[inside], minlength=len(edges) - 1)
    total = np.bincount(place[inside], weights=loss[inside], minlength=len(edges) - 1)
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def equivalence(result: Result) -> Figure | None:
    """Held-out bits per byte of every variant."""
    rows = [
        {"variant": variant.name, "level": variant.level, **estimate(variant.heldout_bits_per_byte)}
        for variant in result.variants
        if variant.heldout_bits_per_byte
    ]
    if not rows or result.same_weights:
        return None
    rows.sort(key=lambda row: places_in(result.factor.levels, row["level"]))
    order = [str(row["variant"]) for row in rows]
    levels = result.factor.levels
    chart = charts.dots(rows, y="variant", order=order, series="level", names=levels, x_title="bits per byte")
    caption = "How well each model predicts held-out text (lower is better), with its 95% interval over documents."
    columns = {"variant": "variant", "level": "level", **ESTIMATE}
    return figure("equivalence", "Are the models equally good?", caption, columns, rows, chart)


CURVES = {
    "length": ("Accuracy against length", "length of a text"),
    "pooled": ("Accuracy against texts judged together", "texts of one model judged together"),
    "train_texts": ("Accuracy against training texts", "training texts of each model"),
    "classes": ("Accuracy against the number of models", "models to choose from"),
}


def curves(result: Result) -> Iterator[Figure]:
    """Accuracy of the reference attributor against length (with the ceiling), pooled texts, and others."""
    if (study := result.study) is None:
        return
    who = study.reference
    chance = chance_of(result)
    if study.length:
        rows: list[dict[str, Any]] = []
        for point in study.length.points:
            rows.append({"at": point.at, "series": who, **estimate(point.accuracy)})
            if point.ceiling is not None:
                rows.append({"at": point.at, "series": "ceiling", "value": point.ceiling, "dashed": False})
        caption = f"All texts are cut to a length, and {who} is fitted again at each. The ceiling knows all models."
        title, x_title = CURVES["length"]
        yield _curve("length", title, caption, f"{x_title}, {study.length.unit}", rows, chance)
    for curve in study.curves:
        title, x_title = CURVES[curve.name]
        rows = [{"at": point.at, "series": who, **estimate(point.accuracy)} for point in curve.points]
        # Chance depends on the number of classes.
        if curve.name == "classes":
            rows += [
                {"at": point.at, "series": "chance", "value": 1 / point.at, "dashed": True} for point in curve.points
            ]
        lines = {} if curve.name == "classes" else chance
        split = SPLITS.get(curve.split, curve.split)
        caption = f"Accuracy of {who} in identifying the {curve.target}, on {split}."
        yield _curve(curve.name, title, caption, x_title, rows, lines)


def _curve(
    name: str, title: str, caption: str, x_title: str, rows: list[dict[str, Any]], lines: Mapping[str, float]
) -> Figure:
    names = list(dict.fromkeys(str(row["series"]) for row in rows))
    chart = charts.curve(
        rows,
        x="at",
        series="series",
        names=names,
        x_title=x_title,
        y_title="accuracy",
        logarithmic=all(row["at"] > 0 for row in rows),
        lines=lines,
        reference=names[0],
    )
    return figure(name, title, caption, {"series": "curve", "at": x_title, **ESTIMATE}, rows, chart)


def mean_kl(result: Result) -> Iterator[Figure]:
    """Distances between the distributions of the models: a matrix, and a map of the variants."""
    if (found := result.mean_kl) is None:
        return
    rows = []
    # Sorted by level: an effect of the factor shows as blocks.
    levels = {variant.name: variant.level for variant in result.variants}
    order = sorted(found.variants, key=lambda name: places_in(result.factor.levels, levels.get(name)))
    for row, divergences in zip(found.variants, found.divergence, strict=True):
        for column, one in zip(found.variants, divergences, strict=True):
            label = "∞" if one.value is None else number(one.value, 2)
            cell = {"source": row, "other": column, "value": one.value, "error": one.standard_error, "label": label}
            rows.append({**cell, "impossible": one.impossible})
    columns = {"source": "texts of", "other": "under", "value": f"bits per {found.unit}", "error": "standard error"}
    unit = f"bits per {found.unit}"
    chart = charts.heat(rows, x="other", y="source", order=order, x_title="under", y_title="texts of", scale_title=unit)
    yield figure(
        "kl",
        "Mean KL between the models",
        f"Bits per {found.unit} that the texts of one model (row) lose under another model (column); ∞ if the other "
        "model can never write them.",
        {**columns, "impossible": "share of impossible texts"},
        rows,
        chart,
    )
    places = layout(found)
    if places is None:
        return
    off = stress(found, places)
    if off > BAD_STRESS:
        yield _apart(result, found, off)
        return
    # The legend shows the levels, so labels show only the replicates: clusters have no room for names.
    replicates = {variant.name: f"r{variant.replicate}" for variant in result.variants}
    short = replicates if len(set(replicates.values())) > 1 else levels
    spots = [
        {
            "variant": name,
            "level": levels.get(name, name),
            "x": x,
            "y": y,
            "label": short.get(name, name) if free else "",
        }
        for name, (x, y), free in zip(found.variants, places.tolist(), uncrowded(places), strict=True)
    ]
    yield figure(
        "map",
        "Map of the models",
        "Classical scaling: squared distances approximate the mean KL, averaged over both directions, in two "
        f"dimensions; its stress is {off:.2f} (0: no distortion). If each level is a cluster, the factor "
        "changes models "
        "more than the seeds of a replicate do. Labels are shown if there is room.",
        {"variant": "variant", "level": "level", "x": "x", "y": "y"},
        spots,
        charts.plane(spots, series="level", names=result.factor.levels, label="label", said=["variant", "level"]),
    )


def layout(found: MeanKL) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Places of the variants in two dimensions, (V, 2): classical scaling of the symmetrised mean KL.

    KL behaves like a squared distance, which is what Torgerson (1952) takes. None below three variants, or if a
    divergence is infinite.
    """
    values = [[one.value for one in row] for row in found.divergence]
    n = len(values)
    if n < 3 or any(value is None for row in values for value in row):
        return None
    squared = np.array(values, dtype=np.float64)
    squared = np.maximum((squared + squared.T) / 2, 0.0)
    centre = np.eye(n) - 1 / n
    scale, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    places = vectors[:, [-1, -2]] * np.sqrt(np.maximum(scale[[-1, -2]], 0.0))
    # The sign of an eigenvector is arbitrary: its largest entry is made positive.
    largest = np.argmax(np.abs(places), axis=0)
    signs = np.where(places[largest, [0, 1]] < 0, -1.0, 1.0)
    return np.asarray(places * signs + 0.0)


def stress(found: MeanKL, places: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """How much a map distorts the distances: Kruskal's stress 1, from 0 to about 1."""
    squared = np.array([[one.value for one in row] for row in found.divergence], dtype=np.float64)
    wanted = np.sqrt(np.maximum((squared + squared.T) / 2, 0.0))
    drawn = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    upper = np.triu_indices(len(places), 1)
    total = float((wanted[upper] ** 2).sum())
    return float(np.sqrt(((wanted - drawn)[upper] ** 2).sum() / total)) if total > 0 else 0.0


PAIRS = ("same level, other replicate", "other level, same replicate", "other level, other replicate")


def _apart(result: Result, found: MeanKL, off: float) -> Figure:
    """Distances within levels against those between levels, for models that no map in two dimensions can show."""
    of = {variant.name: variant for variant in result.variants}
    rows = []
    for i, one in enumerate(found.variants):
        for j, other in enumerate(found.variants[:i]):
            if one not in of or other not in of:
                continue
            level, replicate = (getattr(of[one], name) == getattr(of[other], name) for name in ("level", "replicate"))
            there, back = found.divergence[i][j].value or 0.0, found.divergence[j][i].value or 0.0
            pair = PAIRS[0 if level else 1 if replicate else 2]
            rows.append({"pair": pair, "one": one, "other": other, "value": (there + back) / 2})
    order = [pair for pair in PAIRS if any(row["pair"] == pair for row in rows)]
    unit = f"mean KL in both directions, bits per {found.unit}"
    chart = charts.strip(rows, y="pair", order=order, x_title=unit, said=("one", "other"))
    caption = (
        "One mark per pair of models. If pairs of other levels are further apart than pairs of the same level, "
        "the factor "
        f"changes models more than the seeds of a replicate do. There is no map: its stress would be {off:.2f}."
    )
    columns = {"pair": "pair", "one": "model", "other": "other model", "value": unit}
    return figure("distances", "Distances within and between levels", caption, columns, rows, chart)


def uncrowded(places: np.ndarray[Any, np.dtype[np.float64]]) -> list[bool]:
    """Which of the places, (V, 2), have room for a label to their right; earlier ones take precedence."""
    reach = max(float(np.abs(places).max()), 1e-9)
    taken: list[Any] = []
    for at in places / reach:
        near = [abs(at - other) for other in taken]
        taken.append(at if not any(across < 0.3 and along < 0.08 for across, along in near) else np.full(2, np.inf))
    return [bool(np.isfinite(at[0])) for at in taken]


def wording(result: Result) -> Figure | None:
    """The most telling words of each level."""
    study = result.study
    found = study.wording.telling_words if study and study.wording else ()
    rows = []
    for level in result.factor.levels:
        own = [word for word in found if word.label == level][:WORDS_SHOWN]
        for word in sorted(own, key=lambda word: -word.log_odds):
            agrees = {None: "", True: "yes", False: "no"}[word.agrees]
            row = {"level": level, "word": word.word, "value": word.log_odds, "q": word.q, "agrees": agrees}
            rows.append({**row, "confirmed": "confirmed" if word.confirmed else "not confirmed"})
    levels = list(dict.fromkeys(str(row["level"]) for row in rows))
    if not rows:
        return None
    chart = charts.bars(
        rows,
        y="word",
        order=(),
        x_title="log-odds, nats: more frequent (right) or less frequent (left) than in the other levels",
        pick="level",
        picked=levels,
        sure="confirmed",
        names=("confirmed", "not confirmed"),
    )
    columns = {"level": "level", "word": "word", "value": "log-odds", "q": "q", "confirmed": "on test texts"}
    caption = (
        "Words chosen on training texts. A word is confirmed if test texts show the same direction (5% false "
        "discoveries). The menu chooses the level."
    )
    return figure("words", "Telling words", caption, {**columns, "agrees": "in all replicates"}, rows, chart)


def evidence(result: Result) -> Iterator[Figure]:
    """Location of the evidence: log-likelihood ratio by position, and by type of token."""
    if (study := result.study) is None:
        return
    rows: list[dict[str, Any]] = [
        {"position": at.position, "series": "bits", **_normal(at.bits, at.standard_error), "texts": at.texts}
        for at in study.by_position
        if at.bits is not None
    ]
    if rows:
        chart = charts.curve(
            rows,
            x="position",
            series="series",
            names=["bits"],
            x_title="position of the token",
            y_title="bits in favour of its source",
            points=len(rows) <= 64,
        )
        caption = (
            "Mean log-likelihood ratio of a token: the model that wrote it against the models of the other levels in "
            "the same replicate, with 95% bands."
        )
        columns = {"position": "position", **ESTIMATE, "texts": "texts"}
        yield figure("positions", "Log-likelihood ratio by position", caption, columns, rows, chart)
    rows = [
        {"type": of.type, **_normal(of.bits, of.standard_error), "tokens": of.token_share, "share": of.bits_share}
        for of in study.by_type
        if of.bits is not None
    ]
    if rows:
        chart = charts.bars(rows, y="type", order=[row["type"] for row in rows], x_title="bits per token")
        caption = (
            "Mean log-likelihood ratio by type of token. Rare types may be telling but matter little: the data show "
            "the share of each type."
        )
        columns = {"type": "type", **ESTIMATE, "tokens": "share of tokens", "share": "share of bits"}
        yield figure("types", "Evidence by type of token", caption, columns, rows, chart)


def _normal(value: float, standard_error: float | None) -> dict[str, float]:
    """Fields of an estimate in a row, with the 95% interval of a normal distribution if its error is known."""
    half = None if standard_error is None else 1.96 * standard_error
    return {"value": value, **({} if half is None else {"low": value - half, "high": value + half})}


def robustness(result: Result) -> Figure | None:
    """Accuracy of the reference attributor on texts that were transformed or sampled differently."""
    study = result.study
    if study is None or not study.robustness:
        return None
    names = {"plain": "trained on plain texts", "transformed": "trained on transformed texts"}
    rows = [
        {"condition": of.condition, "trained": names[of.trained_on], **estimate(of.accuracy)} for of in study.robustness
    ]
    order = list(dict.fromkeys(of.condition for of in study.robustness))
    chart = charts.dots(
        rows,
        y="condition",
        order=order,
        series="trained",
        names=[*names.values()],
        x_title="accuracy",
        lines=chance_of(result),
    )
    caption = (
        f"Accuracy of {study.reference} after each transform of the test texts, and on texts sampled differently. Each "
        f"fit learns from {study.robustness[0].train_texts:,} texts per variant."
    )
    columns = {"condition": "test texts", "trained": "training", **ESTIMATE}
    return figure("robustness", "Accuracy on changed texts", caption, columns, rows, chart)
