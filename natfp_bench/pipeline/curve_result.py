"""`curve.json`: accuracy and bits of attributors against the number of training texts, as a public, versioned record.

As in `result.json`, everything volatile is under `run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.base.rungs import named
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.power_law import LawFit
from natfp_bench.statistics.texts_needed import TextsNeeded

from .result import AttributorId, FactorResult, RunInfo, TaskId
from .result_files import parsed, read_json

SCHEMA = 1

NAME = "curve.json"
"""Name of a curve's file."""

FIGURES = ("accuracy", "identifiability", "bits")
"""The metrics that a point states."""


class CurvePoint(Record):
    """An attributor that learnt from so many texts of each variant."""

    texts: int = Field(description="training texts of each variant that a fit learns from")
    status: Literal["ok", "failed"]
    error: str | None = None
    n_train: int | None = Field(None, description="training texts in all, in the fold with the fewest")
    metrics: dict[str, Interval] = Field({}, json_schema_extra={"propertyNames": {"enum": list(FIGURES)}})
    extraction: float | None = Field(None, description="bits divided by the ceiling's, if the ceiling has enough")
    bits_without: tuple[float, ...] = Field((), description="bits without each unit (see units of the curve)")


class AttributorCurve(Record):
    """The points of one attributor.

    law: a power law of the bits, tested on the point with the most texts; null with fewer than four points. half: the
    number of texts with which it has half of the ceiling's bits; null if the ceiling has too few bits for that, or if
    no bound on attributors is known.
    """

    attributor: AttributorId
    points: tuple[CurvePoint, ...]
    law: LawFit | None
    half: TextsNeeded | None

    @property
    def name(self) -> str:
        """The attributor's name, with what it knows beside texts."""
        return named(self.attributor.name, self.attributor.knowledge)

    @property
    def sound(self) -> tuple[CurvePoint, ...]:
        """The points that did not fail."""
        return tuple(point for point in self.points if point.status == "ok")


class CurveCeiling(Record):
    """What the likelihoods of the models say about the test texts; it does not depend on training texts.

    split: of its scores. Where attributors are tested on unseen replicates, this is the ceiling on seen
    ones: the likelihoods know the model that wrote each text.
    """

    attributor: AttributorId
    split: str
    metrics: dict[str, Interval]
    bits_without: tuple[float, ...]


class CurveResult(Record):
    """The whole of `curve.json`.

    protocol_digest: that of the ordinary run of the same task, whose test texts these are. own_texts: training texts of
    each variant in that run. units: what the laws and the numbers of texts leave out one of at a time.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    kind: Literal["curve"] = "curve"
    protocol_digest: str
    overrides: dict[str, str | int | float | bool]
    seed: int
    task: TaskId
    preset: str
    factor: FactorResult
    corpus: str
    variants: tuple[str, ...]
    diverged: tuple[str, ...] = Field((), description="variants that diverged, and those left out beside one")
    target: Literal["level", "instance"]
    split: str
    classes: tuple[str, ...]
    chance: float
    n_test: int
    own_texts: int
    sampled: int = Field(description="texts drawn from each variant for all of this, test texts included")
    units: str
    ceiling: CurveCeiling | None
    curves: tuple[AttributorCurve, ...]
    run: RunInfo

    @property
    def failures(self) -> list[str]:
        """One line for each variant that is left out, and each fit that failed."""
        lost = [f"{name} diverged, or stands beside a variant that did; left out" for name in self.diverged]
        fits = [
            f"{curve.attributor.name} failed with {point.texts:,} texts: {point.error}"
            for curve in self.curves
            for point in curve.points
            if point.error
        ]
        return [*lost, *fits]

    def to_json(self) -> str:
        """Serialise with the keys in the order of the schema."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"

    def stable_json(self) -> str:
        """Serialise all but the volatile part."""
        return json.dumps(self.model_dump(mode="json", exclude={"run"}), sort_keys=True)


def schema() -> dict[str, Any]:
    """JSON Schema of `curve.json`."""
    found = CurveResult.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def is_curve(path: Path) -> bool:
    """Whether a file is a curve, going by what it says that it is."""
    if path.suffix != ".json" or not path.is_file():
        return False
    data = read_json(path)
    return isinstance(data, dict) and data.get("kind") == "curve"


def read(path: Path) -> CurveResult:
    """Read a `curve.json`; raises UserError if it is damaged, or has another schema."""
    found = parsed(path, CurveResult, read_json(path), SCHEMA)
    if not found.curves or any(not curve.points for curve in found.curves):
        raise UserError(f"{path}: damaged, a curve has no points")
    return found


def read_all(paths: Iterable[Path]) -> tuple[list[CurveResult], list[str]]:
    """Read curves, by task, preset and time; and a message for each that cannot be used."""
    found, faults = list[CurveResult](), list[str]()
    for path in paths:
        try:
            found.append(read(path))
        except UserError as error:
            faults.append(str(error))
    return sorted(found, key=lambda of: (of.task.name, of.preset, of.run.started, of.run.id)), faults


def find(paths: Iterable[Path]) -> list[Path]:
    """Find every curve among files and below folders, sorted; what is no curve is passed over."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(path.rglob(NAME))
        elif path.name == NAME and path.is_file():
            found.add(path)
    return sorted(found)
