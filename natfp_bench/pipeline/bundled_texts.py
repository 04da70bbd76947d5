"""Fixed texts: sample sets that ship with the package, the same for everybody, with the log-likelihoods of the ceiling.

The project's own models wrote them (preset `quick`, the first rows of each sample set). Attributors are scored on them
without any training. The scores hold for these models and this corpus, and the labels are public: fixed texts rank
attributors, not factors. `benchmarks/fixed_texts.py` makes them.

    manifest.json         how everything was made; digests of the other files; metas of corpora and models
    texts.parquet         one row per text: source, row, prompt, text, tokens, ended; tasks share sources
    heldout.parquet       one row per model and held-out document: model, bits, bytes, true_bits
    likelihoods.parquet   one row per task and variant: nats of all test texts of the task under that variant

A run on fixed texts finds them as entries of the store, under their own keys; everything else is as in any run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import safetensors.numpy
from pydantic import Field, ValidationError

from natfp_bench.base import resources
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, digest, file_digest
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.task_files import find, task_files

from . import wanted
from .stages.sample import KnownSample
from .stages.stage import KnownCorpus, KnownModel, Stage
from .stages.variant import VariantStages
from .store import Store

PRESET, TEXTS = "submission", 1000
"""The preset of the models that wrote the texts, and the number of texts per variant."""


class FixedVariant(Record):
    """The corpus, the model and the sample set of a variant, by their names in the manifest."""

    name: str
    corpus: str
    model: str
    source: str


class FixedTask(Record):
    """The texts of one task. asked: digest of the plan that they answer. digest: of texts and log-likelihoods."""

    asked: str
    digest: str
    variants: tuple[FixedVariant, ...]


class Manifest(Record):
    """Everything that was written, and how."""

    schema_: int = Field(1, alias="schema")
    command: tuple[str, ...]
    environment: dict[str, str | int]
    files: dict[str, str]
    corpora: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    tasks: dict[str, FixedTask]


@functools.cache
def read_manifest(folder: Path) -> Manifest:
    """Read the manifest, once per process; raises UserError if the fixed texts are missing or damaged."""
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_text(encoding="utf-8"))
        damaged = [name for name, known in manifest.files.items() if file_digest(folder / name) != known]
    except OSError as error:
        raise UserError(
            f"no fixed texts in {folder} ({error.strerror})\n"
            "  natfp-bench run without --fixed-texts trains models; benchmarks/fixed_texts.py makes fixed texts"
        ) from None
    except ValidationError as error:
        raise UserError(f"{folder / 'manifest.json'}: damaged ({error.errors()[0]['msg']})") from None
    if damaged:
        raise UserError(f"{folder / damaged[0]}: changed since it was written\n  reinstall natfp_bench")
    return manifest


def check_offered(task: str, include: Sequence[Path] = ()) -> None:
    """Raise UserError for an unknown task, and for one that has no fixed texts."""
    known = read_manifest(resources.fixed_texts()).tasks
    if task not in known:
        find("task", task, task_files(include))
        raise UserError(
            f"task {task!r} has no fixed texts\n  with fixed texts: {', '.join(known)}\n"
            f"  natfp-bench run --task {task}   trains its models"
        )


def make_fixed_plan(task: str, *, include: Sequence[Path] = ()) -> Plan:
    """Plan a run of one task on its fixed texts.

    Raises UserError if there are none for the task, or if the task or the preset has changed since they were made.
    """
    check_offered(task, include)
    known = read_manifest(resources.fixed_texts()).tasks
    plan = make_plan(task, PRESET, limit=TEXTS, include=include)
    if asked_digest(plan) != known[task].asked:
        raise UserError(
            f"the fixed texts of {task} have another recipe: the task or the preset {PRESET} has changed since\n"
            "  natfp-bench run without --fixed-texts trains models of the present recipe"
        )
    return plan.model_copy(update={"fixed_texts": known[task].digest})


def asked_digest(plan: Plan) -> str:
    """Digest of everything that determines a plan's texts, and of nothing else."""
    return digest([plan.task.factor, plan.variants, plan.split, plan.texts, plan.seed])


def install(plan: Plan, store: Store) -> list[VariantStages]:
    """Put a plan's fixed texts and their likelihoods into the store, unless they are there; returns the variants."""
    folder = resources.fixed_texts()
    manifest = read_manifest(folder)
    found, label = [], f"fixed texts, {plan.task.name}"

    def make(stage: Stage, fill: Callable[[Path], dict[str, Any]]) -> None:
        store.make(stage.kind, stage.key, label, fill)

    for fixed, variant in zip(manifest.tasks[plan.task.name].variants, plan.variants, strict=True):
        corpus = KnownCorpus(digest({"fixed corpus": fixed.corpus}))
        model = KnownModel(digest({"fixed model": fixed.model}), corpus)
        sample = KnownSample(digest({"fixed texts": fixed.source}))
        make(corpus, functools.partial(_corpus, manifest, fixed))
        make(model, functools.partial(_model, folder, manifest, fixed))
        make(sample, functools.partial(_sample, folder, fixed))
        found.append(VariantStages(variant, model, (sample,)))
    for of in found:
        make(wanted.text_score(plan, of, found), functools.partial(_score, folder, plan.task.name, of.name))
    return found


def _corpus(manifest: Manifest, fixed: FixedVariant, _: Path) -> dict[str, Any]:
    return manifest.corpora[fixed.corpus]


def _model(folder: Path, manifest: Manifest, fixed: FixedVariant, entry: Path) -> dict[str, Any]:
    table = pq.read_table(folder / "heldout.parquet", filters=[("model", "==", fixed.model)])
    pq.write_table(table.drop_columns("model"), entry / "heldout.parquet")
    return manifest.models[fixed.model]


def _sample(folder: Path, fixed: FixedVariant, entry: Path) -> dict[str, Any]:
    table = pq.read_table(folder / "texts.parquet", filters=[("source", "==", fixed.source)]).drop_columns("source")
    pq.write_table(table, entry / "samples.parquet")
    return {"texts": len(table), "tokens": int(table["tokens"].to_numpy().sum())}


def _score(folder: Path, task: str, variant: str, entry: Path) -> dict[str, Any]:
    where = [("task", "==", task), ("variant", "==", variant)]
    (nats,) = pq.read_table(folder / "likelihoods.parquet", filters=where)["nats"]
    totals = np.asarray(nats.values.to_numpy(), dtype=np.float32)[:, None]
    safetensors.numpy.save_file({"token_log_likelihood": totals}, entry / "scores.safetensors")
    return {"texts": len(totals)}
