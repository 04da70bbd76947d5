"""Distances between the variants of results, the tree that neighbour joining draws from them, and its true history.

Where the models' likelihoods are known, a distance is the mean KL divergence per token, of both directions together.
Like a squared distance it adds up over changes that have nothing to do with each other, and so along the branches of a
tree of descent. Elsewhere it is a classifier two-sample distance (Lopez-Paz and Oquab 2017), by the confusions of an
attributor on held-out texts: 2 accuracy - 1 for a pair of variants, 0 if it cannot tell them apart, 1 if it always can.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, digest
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.plan.history import families, history, shared_ancestors
from natfp_bench.statistics import trees
from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.trees import Agreement, Tree

from .origin import settings_of

Kind = Literal["likelihood", "classifier"]


class Pair(Record):
    """The distance of two variants; standard_error is None for a single text."""

    a: str
    b: str
    distance: float
    standard_error: float | None


class Distances(Record):
    """Distances between all variants of a result that were compared.

    kind: whether they come from likelihoods or from a classifier. unit: bits per token (per byte, if tokenizers
    differ), or 2 accuracy - 1. attributor: the classifier. why: why there are no distances from likelihoods.
    """

    kind: Kind
    unit: str
    attributor: str | None
    why: str | None
    variants: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def matrix(self) -> Floats:
        """All distances, (V, V), with a zero diagonal; what noise made negative is 0."""
        place = {name: number for number, name in enumerate(self.variants)}
        found = np.zeros((len(place), len(place)))
        for pair in self.pairs:
            found[place[pair.a], place[pair.b]] = found[place[pair.b], place[pair.a]] = max(0.0, pair.distance)
        return found


@dataclass(frozen=True)
class DrawnTree:
    """The tree of the variants of a result. families: of each variant, by the oldest ancestors that tell some apart.

    agreement: None if there is no known history that could be compared, and then `why` says so; families are None then.
    """

    distances: Distances
    tree: Tree
    families: Sequence[int] | None
    agreement: Agreement | None
    why: str


def distances_of(result: Result) -> Distances:
    """Measure all pairs of variants; raises UserError if neither likelihoods nor a classifier compared them."""
    if result.mean_kl is None:
        return _from_confusion(result, "the sources have no likelihoods")
    found = result.mean_kl
    names, pairs = found.variants, []
    for i, j in itertools.combinations(range(len(names)), 2):
        there, back = found.divergence[i][j], found.divergence[j][i]
        if there.value is None or back.value is None:
            return _from_confusion(result, "some models can never write some texts of others, which makes KL infinite")
        errors = (there.standard_error, back.standard_error)
        # The two directions are measured on texts of different models, which are independent.
        error = None if None in errors else math.hypot(*(one or 0.0 for one in errors)) / 2
        both = (there.value + back.value) / 2
        pairs.append(Pair(a=names[i], b=names[j], distance=both, standard_error=error))
    unit = f"bits per {found.unit}"
    return Distances(kind="likelihood", unit=unit, attributor=None, why=None, variants=names, pairs=tuple(pairs))


def _from_confusion(result: Result, why: str) -> Distances:
    """Distances by the confusions of the reference attributor, or of the most accurate one if it did not answer."""
    score, names = _confused(result)
    matrix = np.array(score.confusion)
    pairs = []
    for i, j in itertools.combinations(range(len(names)), 2):
        right, variance = 0.0, 0.0
        for own, other in ((i, j), (j, i)):
            asked = matrix[own, own] + matrix[own, other]
            share = float(matrix[own, own] / asked) if asked else 0.5
            right += share
            variance += share * (1 - share) / max(float(asked), 1.0)
        pairs.append(Pair(a=names[i], b=names[j], distance=right - 1, standard_error=math.sqrt(variance)))
    unit, who = "2 accuracy - 1", score.attributor.name
    return Distances(kind="classifier", unit=unit, attributor=who, why=why, variants=names, pairs=tuple(pairs))


def _confused(result: Result) -> tuple[Score, tuple[str, ...]]:
    """The score whose confusions count, and the variant of each class."""
    by_level = {of.level: of.name for of in result.variants if of.status == "ok"}
    single = len(by_level) == sum(of.status == "ok" for of in result.variants)
    target = "level" if single else "instance"
    found = [
        one
        for one in result.scores
        if one.target == target and one.status == "ok" and one.attributor.access == "text" and one.confusion
    ]
    if not found:
        raise UserError(
            f"{result.task.name}, run {result.run.id}: its variants have no distances: there are no likelihoods, and "
            "no attributor was asked which variant wrote a text"
        )
    reference = [one for one in found if result.study and one.attributor.name == result.study.reference]
    best = max(found, key=lambda one: (one.metrics["accuracy"].value, one.attributor.name))
    score = (reference or [best])[0]
    return score, tuple(by_level[name] if target == "level" else name for name in score.classes)


def tree_of(result: Result) -> DrawnTree:
    """Draw the tree of a result's variants, and compare it with their true history.

    Raises UserError as `distances_of`, and for a single variant.
    """
    found = distances_of(result)
    if len(found.variants) < 2:
        raise UserError(f"{result.task.name}, run {result.run.id}: one variant makes no tree")
    matrix = found.matrix
    tree = trees.neighbour_joining(matrix)
    by_name = {of.name: of for of in result.variants}
    kept = [by_name[name] for name in found.variants]
    try:
        histories = [history(settings_of(of)) for of in kept]
    except UserError as error:
        return DrawnTree(found, tree, None, None, str(error).splitlines()[0])
    if not (labels := families(histories)):
        why = "no two of these models have a known ancestor in common that others have not: there is no true tree"
        return DrawnTree(found, tree, None, None, why)
    order = {"level": [of.level for of in kept], "replicate": [str(of.replicate) for of in kept]}
    by_level = _same_groups(labels, order["level"])
    blocks = np.unique(order["replicate" if by_level else "level"], return_inverse=True)[1].astype(np.int64)
    shared = np.array(shared_ancestors(histories), dtype=np.int64)
    agreement = trees.agreement(matrix, shared, np.array(labels, dtype=np.int64), blocks, result.seed)
    why = "" if agreement else "with fewer than two models of two ancestors each, every tree agrees with the history"
    return DrawnTree(found, tree, labels, agreement, why)


def _same_groups(labels: Sequence[int], names: Sequence[str]) -> bool:
    return len({*zip(labels, names, strict=True)}) == len(set(labels)) == len(set(names))


COLUMNS = {
    "task": (pa.string(), "the task"),
    "preset": (pa.string(), "its preset"),
    "run": (pa.string(), "the run that measured the pair, the newest one if there are several"),
    "variant_a": (pa.string(), "one variant, as it is called in this run"),
    "variant_b": (pa.string(), "the other one"),
    "source_a": (pa.string(), "digest of the model with how it is served and sampled: the same in every result"),
    "source_b": (pa.string(), "the same of the other one"),
    "distance": (pa.float64(), "their distance; noise can make a small one negative"),
    "standard_error": (pa.float64(), "its standard error over texts; the texts are those of these models alone"),
    "kind": (pa.string(), "likelihood: mean KL of both directions; classifier: two-sample distance"),
    "unit": (pa.string(), "the unit of distance and error"),
    "attributor": (pa.string(), "the classifier, if there is one"),
}
"""Columns of a table of distances: type and content."""

SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


def distance_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Distances of several results as rows of COLUMNS, pair by pair.

    Models that several results have in common are known by `source_a` and `source_b`. A pair that several results
    measured in one way is there once, from the newest run. Raises UserError as `distances_of`.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in sorted(results, key=lambda of: (of.run.started, of.run.id), reverse=True):
        found = distances_of(result)
        source = {of.name: source_digest(of) for of in result.variants}
        about = {"task": result.task.name, "preset": result.preset, "run": result.run.id}
        how = {"kind": found.kind, "unit": found.unit, "attributor": found.attributor}
        for pair in found.pairs:
            ends = {"variant_a": pair.a, "variant_b": pair.b, "source_a": source[pair.a], "source_b": source[pair.b]}
            row = {**about, **ends, "distance": pair.distance, "standard_error": pair.standard_error, **how}
            rows.setdefault((frozenset({source[pair.a], source[pair.b]}), *how.values()), row)
    return sorted(rows.values(), key=lambda row: (row["task"], row["preset"], row["run"]))


def source_digest(of: VariantResult) -> str:
    """What a variant is in every result: its model, how it is served, and how its texts are drawn."""
    drawn = {name: value for name, value in of.settings.get("sampling", {}).items() if name not in ("texts", "block")}
    return digest([of.key, of.settings.get("serve"), drawn])


def write_distances(results: Sequence[Result], folder: Path) -> int:
    """Write `distances.csv`, `distances.parquet`, and the tree of each result as `TASK-RUN.nwk`; returns the pairs.

    Raises UserError as `distances_of`.
    """
    rows = distance_rows(results)
    out = io.StringIO()
    table = csv.DictWriter(out, SCHEMA.names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    (folder / "distances.csv").write_text(out.getvalue(), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "distances.parquet")
    for result in results:
        drawn = tree_of(result)
        written = drawn.tree.newick(drawn.distances.variants)
        (folder / f"{result.task.name}-{result.run.id}.nwk").write_text(f"{written}\n", encoding="utf-8")
    return len(rows)
