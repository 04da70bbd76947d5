"""Answers to compare: those that results hold now, and those of a reference.

A reference is one Parquet file with a row for each score: what it is about, digests of its texts, and the probabilities
of all test texts, in steps of 1/65535. Answers of now are put on the same steps when they are read, so that the same
answers are the same, ties included.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, canonical_json, digest
from natfp_bench.pipeline.result import AttributorId, Result, Score
from natfp_bench.pipeline.scoring import PREDICTIONS
from natfp_bench.pipeline.store import storage_faults
from natfp_bench.statistics.metrics import Ints

from .protocols import read_protocols

STEPS = 65535
"""A probability is kept as a number of these: two bytes, and finer than any difference that matters."""

MARK, SCHEMA = b"natfp_bench.reference", b"1"
"""Key and value in the file's metadata: what the file is, in which version."""


class Setup(Record):
    """What a score is about, with all digests that its texts depend on; `texts` is the digest of the texts."""

    task: str
    task_version: int
    task_digest: str
    preset: str
    corpus: str
    corpus_digest: str
    overrides: str
    seed: int
    fixed_texts: str | None
    texts: str | None
    protocol_digest: str


class Place(Record):
    """Where a score stands; a whole task where no attributor is named."""

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
class Answers:
    """What one attributor said of n texts, sorted by variant, row and fold: steps (n, k) uint16.

    rows: digest of the classes and of each text's variant, row, prompt, fold and truth.
    """

    setup: Setup
    place: Place
    who: AttributorId
    rows: str
    steps: NDArray[np.uint16]


@dataclass(frozen=True)
class Current:
    """What results hold: answers, the truth and the prompt of each of their texts, and the errors of who failed."""

    setups: Mapping[str, Setup]
    answers: Mapping[Place, Answers]
    texts: Mapping[Place, tuple[Ints, Ints]]
    failed: Mapping[Place, str]


def read_current(paths: Sequence[Path]) -> Current:
    """Read the newest score of each attributor from `result.json` files; raises UserError where one is damaged."""
    protocols, faults = read_protocols(paths)
    if faults:
        raise UserError("\n".join([*faults, "  run these tasks again, or remove the files"]))
    setups: dict[str, Setup] = {}
    answers: dict[Place, Answers] = {}
    texts: dict[Place, tuple[Ints, Ints]] = {}
    failed: dict[Place, str] = {}
    for protocol in protocols:
        setup_of, tables = {path: _setup(result) for path, result in protocol.results}, dict[Path, pa.Table]()
        setups[protocol.newest.protocol_digest] = setup_of[protocol.results[-1][0]]
        for path, score in (pair for view in protocol.scores.values() for pair in view.values()):
            setup = setup_of[path]
            place = _place(setup, score.target, score.split, score.attributor.name)
            if score.status == "failed":
                failed[place] = score.error or "failed"
                continue
            file = path.parent / "predictions.parquet"
            try:
                if file not in tables:
                    tables[file] = pq.read_table(file, columns=PREDICTIONS.names, partitioning=None).cast(PREDICTIONS)
                steps, texts[place], rows = _answers(tables[file], score)
            except (OSError, ValueError, KeyError, pa.ArrowException) as error:
                raise UserError(f"{file}: missing or damaged ({_line(error)})\n  run {place.task} again") from None
            answers[place] = Answers(setup, place, score.attributor, rows, steps)
    return Current(setups, answers, texts, failed)


def _place(setup: Setup, target: str, split: str, attributor: str) -> Place:
    return Place(
        task=setup.task,
        preset=setup.preset,
        protocol_digest=setup.protocol_digest,
        target=target,
        split=split,
        attributor=attributor,
    )


def _setup(result: Result) -> Setup:
    return Setup(
        task=result.task.name,
        task_version=result.task.version,
        task_digest=result.task.digest,
        preset=result.preset,
        corpus=result.corpus.name,
        corpus_digest=result.corpus.digest,
        overrides=canonical_json(result.overrides),
        seed=result.seed,
        fixed_texts=result.fixed_texts,
        texts=result.samples.digest if result.samples else None,
        protocol_digest=result.protocol_digest,
    )


def _answers(table: pa.Table, score: Score) -> tuple[NDArray[np.uint16], tuple[Ints, Ints], str]:
    """Steps (n, k), truth and prompts (n,), and the digest of the rows; raises ValueError where they are no answers."""
    about = {"attributor": score.attributor.name, "target": score.target, "split": score.split}
    masks = [pc.equal(table[column], value) for column, value in about.items()]
    table = table.filter(functools.reduce(pc.and_, masks)).sort_by(
        [(name, "ascending") for name in ("variant", "row", "fold")]
    )
    lists, k = table["proba"].combine_chunks(), len(score.classes)
    proba = lists.flatten().to_numpy(zero_copy_only=False)
    if len(table) != score.n_test or not pc.all(pc.equal(lists.value_lengths(), k)).as_py():
        raise ValueError(f"no {score.n_test} answers for {k} classes by {score.attributor.name}")
    if any(table[name].null_count for name in table.column_names) or not ((proba >= 0) & (proba <= 1 + 1e-6)).all():
        raise ValueError(f"answers by {score.attributor.name} that are no probabilities")
    labels = table["label"].to_pylist()
    truth = np.array([score.classes.index(label) for label in labels], dtype=np.int64)
    columns = {name: table[name].to_pylist() for name in ("variant", "row", "prompt", "fold")}
    rows = digest({"target": score.target, "split": score.split, "classes": score.classes, "label": labels, **columns})
    steps = np.rint(np.minimum(proba, 1.0) * STEPS).astype(np.uint16).reshape(-1, k)
    return steps, (truth, table["prompt"].to_numpy()), rows


REFERENCE = pa.schema(
    {
        "task": pa.string(),
        "task_version": pa.int64(),
        "task_digest": pa.string(),
        "preset": pa.string(),
        "corpus": pa.string(),
        "corpus_digest": pa.string(),
        "overrides": pa.string(),
        "seed": pa.int64(),
        "fixed_texts": pa.string(),
        "texts": pa.string(),
        "protocol_digest": pa.string(),
        "target": pa.string(),
        "split": pa.string(),
        "rows": pa.string(),
        "name": pa.string(),
        "version": pa.string(),
        "digest": pa.string(),
        "access": pa.string(),
        "floor": pa.bool_(),
        "classes": pa.int64(),
        "proba": pa.list_(pa.uint16()),
    },
    metadata={MARK: SCHEMA},
)
"""Columns of a reference: of Setup, Place and AttributorId; `classes`: how many; `proba`: all texts' steps in a row."""


def write(path: Path, answers: Iterable[Answers]) -> None:
    """Write a reference, whole or not at all; the same answers make the same bytes.

    Raises UserError for a path that is a folder, StoreError where it cannot be written.
    """
    _refuse_folder(path)
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
    fresh = path.with_name(f"{path.name}.new")
    with storage_faults(path.parent, "folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(
                pa.table(columns, schema=REFERENCE),
                fresh,
                compression="zstd",
                compression_level=9,
                use_dictionary=[field.name for field in REFERENCE if field.type == pa.string()],
                # All high bytes, then all low ones: of numbers, zstd can shorten only the high ones.
                column_encoding={"proba.list.element": "BYTE_STREAM_SPLIT"},
                write_page_checksum=True,
            )
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def read(path: Path) -> dict[Place, Answers]:
    """Read a reference; raises UserError where there is none, a damaged one, or one of another version."""
    _refuse_folder(path)
    remake = f"natfp-bench regress --reference {path} --update   writes one from results"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            mark = (file.schema_arrow.metadata or {}).get(MARK)
            if mark != SCHEMA:
                what = f"a reference of schema {mark.decode(errors='replace')}" if mark else "no reference"
                raise UserError(f"{path}: {what}; this version reads schema {SCHEMA.decode()}\n  {remake}")
            table = file.read()
        if not table.schema.equals(REFERENCE):
            raise ValueError("other columns")
        found = [
            _row(row, proba) for row, proba in zip(table.drop_columns("proba").to_pylist(), table["proba"], strict=True)
        ]
    except FileNotFoundError:
        raise UserError(f"no reference at {str(path)!r}\n  {remake}") from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{path}: damaged, no reference ({_line(error)})\n  {remake}") from None
    return {one.place: one for one in found}


def _row(row: Mapping[str, Any], proba: pa.ListScalar) -> Answers:
    """Answers of one row; raises ValueError where they are none."""
    setup = Setup.model_validate({name: row[name] for name in Setup.model_fields})
    who = AttributorId.model_validate({name: row[name] for name in AttributorId.model_fields})
    place = _place(setup, row["target"], row["split"], who.name)
    return Answers(setup, place, who, row["rows"], proba.values.to_numpy().reshape(-1, row["classes"]))


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder; a reference is one file\n  --reference {path / 'reference.parquet'}")


def _line(error: Exception) -> str:
    """Put an error on one line."""
    return " ".join(str(error).split())
