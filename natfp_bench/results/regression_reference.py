"""Answers to compare: those of the current results, and those of a reference file.

A reference is one Parquet file with one row per score: its task and attributor, digests of its texts, and the
probabilities for all test texts in steps of 1/65535. Current answers are rounded to the same steps when they are read:
equal answers stay equal, ties included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.base import disk
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, canonical_json, digest
from natfp_bench.pipeline.result import AttributorId, Result, Score
from natfp_bench.statistics.intervals import Ints

from .predictions import PredictionFiles, ScoredAnswers
from .protocols import ProtocolId, read_protocols

STEPS = 65535
"""Probabilities are kept as multiples of 1/65535: two bytes each, and finer than any difference that matters."""

MARK, SCHEMA = b"natfp_bench.reference", b"1"
"""Key and value in the metadata of the file: its kind and its version."""


class RegressionSetup(ProtocolId):
    """What a score is about, with all digests that its texts depend on; `texts` is the digest of the texts."""

    task_version: int
    task_digest: str
    corpus_digest: str
    overrides: str
    seed: int
    fixed_texts: str | None
    texts: str | None

    @classmethod
    def of(cls, result: Result) -> RegressionSetup:
        """Take it from a result."""
        return cls(
            **cls.fields_of(result),
            task_version=result.task.version,
            task_digest=result.task.digest,
            corpus_digest=result.corpus.digest,
            overrides=canonical_json(result.overrides),
            seed=result.seed,
            fixed_texts=result.fixed_texts,
            texts=result.samples.digest if result.samples else None,
        )


class ScorePlace(Record):
    """Which score it is; the whole task if no attributor is named."""

    task: str
    preset: str
    protocol_digest: str
    target: str = ""
    split: str = ""
    attributor: str = ""

    def __str__(self) -> str:
        """Name it in a line."""
        task = f"{self.task} ({self.preset})"
        return f"{self.attributor} on {task}, {self.target}, {self.split}" if self.attributor else task

    @property
    def order(self) -> tuple[str, ...]:
        """Key to sort by."""
        return (self.task, self.preset, self.protocol_digest, self.target, self.split, self.attributor)


@dataclass(frozen=True)
class SteppedAnswers:
    """What one attributor answered for n texts, sorted by variant, row and fold: steps (n, k) uint16.

    rows: digest of the classes and of each text's variant, row, prompt, fold and true label.
    """

    setup: RegressionSetup
    place: ScorePlace
    who: AttributorId
    rows: str
    steps: NDArray[np.uint16]


@dataclass(frozen=True)
class Current:
    """Current results: answers, the true class and the prompt of each text, and the errors of failed attributors."""

    setups: Mapping[str, RegressionSetup]
    answers: Mapping[ScorePlace, SteppedAnswers]
    texts: Mapping[ScorePlace, tuple[Ints, Ints]]
    failed: Mapping[ScorePlace, str]


def read_current(paths: Sequence[Path]) -> Current:
    """Read the newest score of each attributor from `result.json` files; raises UserError if one is damaged."""
    protocols, faults = read_protocols(paths)
    if faults:
        raise UserError("\n".join([*faults, "  run these tasks again, or remove the files"]))
    setups: dict[str, RegressionSetup] = {}
    answers: dict[ScorePlace, SteppedAnswers] = {}
    texts: dict[ScorePlace, tuple[Ints, Ints]] = {}
    failed: dict[ScorePlace, str] = {}
    files = PredictionFiles()
    for protocol in protocols:
        setup_of = {path: RegressionSetup.of(result) for path, result in protocol.results}
        setups[protocol.newest.protocol_digest] = setup_of[protocol.results[-1][0]]
        for path, score in (pair for view in protocol.scores.values() for pair in view.values()):
            setup = setup_of[path]
            place = _place(setup, score.target, score.split, score.attributor.name)
            if score.status == "failed":
                failed[place] = score.error or "failed"
                continue
            steps, texts[place], rows = _stepped(files.of(path, score), score)
            answers[place] = SteppedAnswers(setup, place, score.attributor, rows, steps)
    return Current(setups, answers, texts, failed)


def _place(setup: RegressionSetup, target: str, split: str, attributor: str) -> ScorePlace:
    return ScorePlace(
        task=setup.task,
        preset=setup.preset,
        protocol_digest=setup.protocol_digest,
        target=target,
        split=split,
        attributor=attributor,
    )


def _stepped(found: ScoredAnswers, score: Score) -> tuple[NDArray[np.uint16], tuple[Ints, Ints], str]:
    """Steps (n, k), true classes and prompts (n,), and the digest of the rows, sorted by variant, row and fold."""
    order = pc.sort_indices(found.rows, [(name, "ascending") for name in ("variant", "row", "fold")])
    table, place = found.rows.take(order), order.to_numpy()
    columns = {name: table[name].to_pylist() for name in ("label", "variant", "row", "prompt", "fold")}
    rows = digest({"target": score.target, "split": score.split, "classes": score.classes, **columns})
    steps = np.rint(np.minimum(found.proba[place], 1.0) * STEPS).astype(np.uint16)
    return steps, (found.truth[place], found.prompts[place]), rows


NAMING = (
    *("task", "task_version", "task_digest", "preset", "corpus", "corpus_digest", "overrides", "seed", "fixed_texts"),
    *("texts", "protocol_digest", "target", "split", "rows", "name", "version", "digest", "access"),
)

REFERENCE = pa.schema(
    [
        *((name, pa.int64() if name in ("task_version", "seed") else pa.string()) for name in NAMING),
        ("floor", pa.bool_()),
        ("classes", pa.int64()),
        ("proba", pa.list_(pa.uint16())),
    ],
    metadata={MARK: SCHEMA},
)
"""Columns: the fields of RegressionSetup, ScorePlace and AttributorId; `classes`: how many; `proba`: steps, flat.

The rung of an attributor is left out: it follows from its digest, and older references have none.
"""


def write(path: Path, answers: Iterable[SteppedAnswers]) -> None:
    """Write a reference, whole or not at all; the same answers give the same bytes.

    Raises UserError for a path that holds anything but a reference, StoreError if it cannot be written.
    """
    refuse_to_overwrite(path)
    disk.usable_folder(path.parent, "folder")
    rows: list[dict[str, Any]] = [
        {
            **one.setup.model_dump(),
            **one.who.model_dump(),
            "target": one.place.target,
            "split": one.place.split,
            "rows": one.rows,
            "classes": one.steps.shape[1],
            "proba": one.steps.ravel(),
        }
        for one in sorted(answers, key=lambda one: one.place.order)
    ]
    columns = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in REFERENCE}
    with disk.disk_faults(path.parent, "folder"), disk.whole(path) as fresh:
        pq.write_table(
            pa.table(columns, schema=REFERENCE),
            fresh,
            compression="zstd",
            compression_level=9,
            use_dictionary=[field.name for field in REFERENCE if field.type == pa.string()],
            # All high bytes, then all low ones: zstd can compress only the high ones.
            column_encoding={"proba.list.element": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        )


def read(path: Path) -> dict[ScorePlace, SteppedAnswers]:
    """Read a reference; raises UserError if it does not exist, is damaged, or has another version."""
    _refuse_folder(path)
    remove = "remove it, or name another file; then: "
    remake = f"natfp-bench regress --reference {path} --update   writes one from results"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            mark = (file.schema_arrow.metadata or {}).get(MARK)
            if mark != SCHEMA:
                what = f"a reference of schema {mark.decode(errors='replace')}" if mark else "not a reference"
                raise UserError(f"{path}: {what}; this version reads schema {SCHEMA.decode()}\n  {remove}{remake}")
            table = file.read()
        if not table.schema.equals(REFERENCE):
            raise ValueError("other columns")
        found = [
            _row(row, proba) for row, proba in zip(table.drop_columns("proba").to_pylist(), table["proba"], strict=True)
        ]
    except FileNotFoundError:
        raise UserError(f"no reference at {str(path)!r}\n  {remake}") from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{path}: damaged reference ({' '.join(str(error).split())})\n  {remove}{remake}") from None
    return {one.place: one for one in found}


def _row(row: Mapping[str, Any], proba: pa.ListScalar) -> SteppedAnswers:
    """Answers of one row; raises ValueError if the row is damaged."""
    setup = RegressionSetup.model_validate({name: row[name] for name in RegressionSetup.model_fields})
    who = AttributorId.model_validate({name: row[name] for name in AttributorId.model_fields if name in row})
    place = _place(setup, row["target"], row["split"], who.name)
    return SteppedAnswers(setup, place, who, row["rows"], proba.values.to_numpy().reshape(-1, row["classes"]))


def refuse_to_overwrite(path: Path) -> None:
    """Raise UserError if a path holds anything but a reference, which a new one may replace."""
    _refuse_folder(path)
    if path.exists() and not (path.is_file() and (path.stat().st_size == 0 or _marked(path))):
        raise UserError(
            f"{path} is not a reference, or a damaged one, so it is not overwritten\n"
            "  remove it, or name another file with --reference"
        )


def _marked(path: Path) -> bool:
    try:
        return MARK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder, but a reference is one file\n  --reference {path / 'reference.parquet'}")
