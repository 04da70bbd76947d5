"""Fixed texts: sample sets that ship with the package, the same for everybody, with the log-likelihoods of the ceiling.

The project's own models wrote them (the `quick` preset, a prefix of each sample set), and attributors are scored on
them with no training. They are conditional on these models and this corpus, and their labels are public: they rank
attributors, not factors.

    manifest.json         what was made how; the digests of the other files; the metas of corpora and models
    texts.parquet         one row a text: source, row, prompt, text, tokens, ended; a source is shared between tasks
    heldout.parquet       one row a model and held-out document: model, bits, bytes, true_bits
    likelihoods.parquet   one row a task and variant: nats of all the task's test texts under that variant

A run on fixed texts finds them as entries of the store, under keys of their own; all else goes as in any run.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from pydantic import Field, ValidationError

from natfp_bench.base import resources
from natfp_bench.base.errors import UserError, unknown
from natfp_bench.base.records import Record, canonical_json, digest, file_digest
from natfp_bench.plan.plan import Plan, make_plan

from . import keys
from .evidence import Evidence
from .resolve import VariantKeys
from .store import Store

PRESET, TEXTS = "quick", 1000
"""The preset of the models that wrote the texts, and how many texts a variant there are."""

TABLES = ("texts.parquet", "heldout.parquet", "likelihoods.parquet")

SHORT = 16
"""Hexadecimal digits of a key that name a corpus, model or sample set here."""


class FixedVariant(Record):
    """Which corpus, model and sample set of the manifest a variant is."""

    name: str
    corpus: str
    model: str
    source: str


class FixedTask(Record):
    """The texts of one task; asked: digest of what was asked for; digest: of that and of what was written."""

    asked: str
    digest: str
    variants: tuple[FixedVariant, ...]


class Manifest(Record):
    """All that was written, and how."""

    schema_: int = Field(1, alias="schema")
    command: tuple[str, ...]
    environment: dict[str, str | int]
    files: dict[str, str]
    corpora: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    tasks: dict[str, FixedTask]


@functools.cache
def read_manifest(folder: Path) -> Manifest:
    """Read what fixed texts there are, once a process; raises UserError where they are missing or damaged."""
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_text())
        damaged = [name for name, known in manifest.files.items() if file_digest(folder / name) != known]
    except OSError as error:
        raise UserError(
            f"no fixed texts in {folder} ({error.strerror})\n"
            "  natfp-bench run without --fixed-texts trains models; benchmarks/fixed_texts.py makes fixed texts of them"
        ) from None
    except ValidationError as error:
        raise UserError(f"{folder / 'manifest.json'}: damaged ({error.errors()[0]['msg']})") from None
    if damaged:
        raise UserError(f"{folder / damaged[0]}: changed since it was written\n  reinstall natfp_bench")
    return manifest


def make_fixed_plan(task: str, *, include: Sequence[Path] = (), folder: Path | None = None) -> Plan:
    """Plan a run of one task on its fixed texts.

    Raises UserError where there are none, or none of the task and the preset as they are now.
    """
    known = read_manifest(folder or resources.fixed_texts()).tasks
    if task not in known:
        raise unknown("task with fixed texts", task, known)
    plan = make_plan(task, PRESET, limit=TEXTS, include=include)
    if _asked(plan) != known[task].asked:
        raise UserError(
            f"the fixed texts of {task} are of another recipe: the task, or the preset {PRESET}, has changed since\n"
            "  natfp-bench run without --fixed-texts trains what is asked now"
        )
    return plan.model_copy(update={"fixed_texts": known[task].digest})


def make_source_plan(task: str) -> Plan:
    """Plan the run that the fixed texts of a task are taken from."""
    plan = make_plan(task, PRESET, limit=TEXTS)
    # Texts that are drawn in other ways serve studies, which fixed texts have none of.
    return plan.model_copy(update={"analysis": plan.analysis.model_copy(update={"transfer": False})})


def _asked(plan: Plan) -> str:
    """Digest of all that shapes a plan's texts, and of nothing else."""
    return digest([plan.task.factor, plan.variants, plan.split, plan.texts, plan.seed])


def install(plan: Plan, store: Store, *, folder: Path | None = None) -> list[VariantKeys]:
    """Put the entries of a plan's fixed texts into the store, as far as they are not there; returns their keys."""
    folder = folder or resources.fixed_texts()
    manifest = read_manifest(folder)
    task = manifest.tasks[plan.task.name]
    resolved = []
    for fixed, variant in zip(task.variants, plan.variants, strict=True):
        resolved.append(
            VariantKeys(
                variant=variant,
                corpus=keys.key("corpus", fixed=fixed.corpus),
                model=keys.key("model", fixed=fixed.model),
                base=None,
                start=None,
                samples=(keys.key("sample", fixed=fixed.source),),
                transfer={},
            )
        )
    for fixed, of in zip(task.variants, resolved, strict=True):
        label = f"fixed texts, {plan.task.name} {fixed.name}"
        store.make("corpus", of.corpus, label, functools.partial(_corpus, manifest, fixed))
        store.make("model", of.model, label, functools.partial(_model, folder, manifest, fixed))
        store.make("sample", of.samples[0], label, functools.partial(_sample, folder, fixed))
        score = keys.score_key(of.model, of.variant.settings, [of.samples for of in resolved], plan)
        store.make("score", score, label, functools.partial(_score, folder, plan.task.name, fixed))
    return resolved


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


def _score(folder: Path, task: str, fixed: FixedVariant, entry: Path) -> dict[str, Any]:
    where = [("task", "==", task), ("variant", "==", fixed.name)]
    (nats,) = pq.read_table(folder / "likelihoods.parquet", filters=where)["nats"]
    totals = np.asarray(nats.values.to_numpy(), dtype=np.float32)[:, None]
    safetensors.numpy.save_file({"token_log_likelihood": totals}, entry / "scores.safetensors")
    return {"texts": len(totals)}


def write(
    folder: Path, gathered: Sequence[Evidence], *, command: Sequence[str], environment: Mapping[str, str | int]
) -> Manifest:
    """Write the texts and likelihoods of several tasks into a folder; raises ValueError where a variant diverged."""
    sources: dict[str, pa.Table] = {}
    models: dict[str, pa.Table] = {}
    metas: dict[str, dict[str, dict[str, Any]]] = {"corpora": {}, "models": {}}
    tasks, likelihoods = {}, []
    for evidence in gathered:
        name = evidence.plan.task.name
        if len(evidence.kept) < len(evidence.variants):
            raise ValueError(f"a variant of {name} diverged")
        totals = evidence.log_likelihood().astype(np.float32)
        variants = []
        for index, of in enumerate(evidence.kept):
            fixed = FixedVariant(
                name=of.variant.name,
                corpus=of.corpus[:SHORT],
                model=of.model[:SHORT],
                source=digest(of.samples)[:SHORT],
            )
            variants.append(fixed)
            sources.setdefault(fixed.source, _source(evidence, of))
            models.setdefault(fixed.model, pq.read_table(evidence.model(of) / "heldout.parquet"))
            metas["corpora"][fixed.corpus] = evidence.metas[of.corpus]
            metas["models"][fixed.model] = evidence.metas[of.model]
            likelihoods.append({"task": name, "variant": fixed.name, "nats": totals[:, index]})
        asked = _asked(evidence.plan)
        written = [_content(sources[fixed.source]) for fixed in variants]
        whole = digest([asked, written, totals.tobytes().hex()])
        tasks[name] = FixedTask(asked=asked, digest=whole, variants=tuple(variants))
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {name: [row[name] for row in likelihoods] for name in ("task", "variant", "nats")}
    columns["nats"] = pa.array(columns["nats"], pa.list_(pa.float32()))
    found = (_joined(sources, "source"), _joined(models, "model"), pa.table(columns))
    for name, table in zip(TABLES, found, strict=True):
        # A row group is read whole: one a source, so that a task's texts are found without reading the others.
        pq.write_table(table, folder / name, compression="zstd", compression_level=19, row_group_size=TEXTS)
    manifest = Manifest(
        schema=1,
        command=tuple(command),
        environment=dict(environment),
        files={name: file_digest(folder / name) for name in TABLES},
        tasks=tasks,
        **metas,
    )
    text = json.dumps(json.loads(canonical_json(manifest)), indent=1, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def _source(evidence: Evidence, of: VariantKeys) -> pa.Table:
    table = evidence.sample_table(of)
    tokens = pa.array(np.asarray(table["ids"].combine_chunks().value_lengths(), dtype=np.int16))
    narrow = {name: table[name].cast(pa.int32()) for name in ("row", "prompt")}
    return pa.table({**narrow, "text": table["text"], "tokens": tokens, "ended": table["ended"]})


def _joined(tables: Mapping[str, pa.Table], name: str) -> pa.Table:
    """Put tables one behind another, in the order of their names, each row with its table's name."""
    parts = []
    for key, table in sorted(tables.items()):
        parts.append(table.add_column(0, name, pa.array([key] * len(table)).dictionary_encode()))
    return pa.concat_tables(parts).unify_dictionaries()


def _content(source: pa.Table) -> str:
    return digest(source.to_pydict())
