"""Make the fixed texts: train the models of tasks at the preset `quick`, sample and score texts, and write them.

python benchmarks/fixed_texts.py [-o tasks/fixed_texts] [--store FOLDER] [--workers N] [TASK...]

Without a task it makes those of all bundled tasks whose models are trained here. Work that the store holds is not
repeated, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench import api
from natfp_bench.base import resources
from natfp_bench.base.environment import environment
from natfp_bench.base.records import canonical_json, digest, file_digest
from natfp_bench.pipeline import bundled_texts, wanted
from natfp_bench.pipeline.bundled_texts import FixedTask, FixedVariant, Manifest
from natfp_bench.pipeline.engine import Event
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.run import Run
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.pipeline.store import Store, default_root
from natfp_bench.plan import task_files
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan

TABLES = ("texts.parquet", "heldout.parquet", "likelihoods.parquet")

SHORT = 16
"""Hexadecimal digits of a key that name a corpus, a model or a sample set in the manifest."""


def source_plan(task: str) -> Plan:
    """Plan the run that the fixed texts of a task come from."""
    plan = make_plan(task, bundled_texts.PRESET, limit=bundled_texts.TEXTS)
    # Texts that are drawn in other ways are for studies, and fixed texts have no studies.
    return plan.model_copy(update={"analysis": plan.analysis.model_copy(update={"transfer": False})})


def gather(run: Run) -> Evidence:
    """Make models and texts, and score the texts under every model."""
    evidence = run.gather()
    stages = wanted.text_scores(evidence)
    run.schedule.drive(Wanted(stage, f"score under {name}") for name, stage in stages.items())
    return replace(evidence, text_scores=stages)


def write(
    folder: Path, gathered: Sequence[Evidence], *, command: Sequence[str], environment: Mapping[str, str | int]
) -> Manifest:
    """Write the texts and log-likelihoods of several tasks into a folder; raises ValueError if a variant diverged."""
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
                name=of.name,
                corpus=of.corpus.key[:SHORT],
                model=of.model.key[:SHORT],
                source=digest(of.samples)[:SHORT],
            )
            variants.append(fixed)
            sources.setdefault(fixed.source, _source(evidence, of))
            models.setdefault(fixed.model, evidence.heldout(of))
            metas["corpora"][fixed.corpus] = evidence.corpus_meta(of).model_dump(mode="json")
            metas["models"][fixed.model] = evidence.model_meta(of).model_dump(mode="json")
            likelihoods.append({"task": name, "variant": fixed.name, "nats": totals[:, index]})
        written = [digest(sources[fixed.source].to_pydict()) for fixed in variants]
        content = digest([written, totals.tobytes().hex()])
        asked = bundled_texts.asked_digest(evidence.plan)
        tasks[name] = FixedTask(asked=asked, digest=content, variants=tuple(variants))
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {name: [row[name] for row in likelihoods] for name in ("task", "variant", "nats")}
    columns["nats"] = pa.array(columns["nats"], pa.list_(pa.float32()))
    found = (_joined(sources, "source"), _joined(models, "model"), pa.table(columns))
    for name, table in zip(TABLES, found, strict=True):
        # One row group per source: a row group is read whole, and a task needs only its own sources.
        size = bundled_texts.TEXTS
        pq.write_table(table, folder / name, compression="zstd", compression_level=19, row_group_size=size)
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


def _source(evidence: Evidence, of: VariantStages) -> pa.Table:
    """Texts of a variant, with the number of tokens of each instead of the tokens."""
    table = evidence.sample_table(of)
    tokens = pa.array(np.asarray(table["ids"].combine_chunks().value_lengths(), dtype=np.int16))
    narrow = {name: table[name].cast(pa.int32()) for name in ("row", "prompt")}
    return pa.table({**narrow, "text": table["text"], "tokens": tokens, "ended": table["ended"]})


def _joined(tables: Mapping[str, pa.Table], name: str) -> pa.Table:
    """Concatenate tables in the order of their names, with a column that names the table of each row."""
    parts = []
    for key, table in sorted(tables.items()):
        parts.append(table.add_column(0, name, pa.array([key] * len(table)).dictionary_encode()))
    return pa.concat_tables(parts).unify_dictionaries()


def _print(event: Event) -> None:
    if event.kind in ("end", "warning"):
        print(event.job.name, event.text, flush=True)


def main() -> None:
    """Write the fixed texts of some tasks, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("-o", "--output", type=Path, default=resources.fixed_texts())
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    store, engine = Store(options.store, print), api.local_engine(options.workers)
    gathered = []
    try:
        for task in options.tasks or task_files.trained_tasks():
            gathered.append(gather(Run(source_plan(task), (), Schedule(store, engine, "cpu", _print))))
            print(f"{task}: done", flush=True)
    finally:
        engine.close()
    command = ["python", "benchmarks/fixed_texts.py", *options.tasks]
    write(options.output, gathered, command=command, environment=environment())
    for file in sorted(options.output.iterdir()):
        print(f"{file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
