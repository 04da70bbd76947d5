"""From a plan to a result: which jobs there are, what follows from what, and what the finished entries say.

This side never trains or samples: it hands jobs to an engine, reads what they left in the store, and does the
statistics. What the store already holds costs no job, and a run that finds everything there starts no worker.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from . import analysis, keys
from .analysis import VariantKeys
from .corpus import open_corpus
from .engine import Engine, Event, Job, Outcome, Watch
from .errors import AttributorError, JobError
from .jobs import Make, MakeCorpus, MakeModel, MakePrediction, MakeSample, MakeScore
from .plan import Plan, Target, Variant
from .records import digest
from .registry import Baseline
from .results import Result, RunInfo
from .store import Store, storage_faults

STAGES = {"corpus": "corpus", "model": "train", "sample": "sample", "score": "score", "prediction": "attribute"}
"""The stage that makes each kind of entry, as people are told of it."""


@dataclass
class Run:
    """One run of one plan: what it is given, and what it has found so far."""

    plan: Plan
    baselines: Sequence[Baseline]
    store: Store
    engine: Engine
    device: str
    watch: Watch
    command: tuple[str, ...] = ()
    metas: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[tuple[str, Target], str] = field(default_factory=dict)

    def execute(self) -> tuple[Result, pa.Table]:
        """Do all jobs and build the result and the table of predictions."""
        started, clock = datetime.now(UTC), time.perf_counter()
        variants = resolve_keys(self.plan)
        self._drive(self._corpus_jobs(variants), self._after(variants))
        kept = analysis.without_diverged([of.variant for of in variants], self._statuses(variants))
        kept_variants = [of for of in variants if of.variant.name in kept]
        predictions: dict[tuple[str, Target], str] = {}
        scores: dict[tuple[str, str], str] = {}
        if len({of.variant.level for of in kept_variants}) > 1:
            jobs = [*self._prediction_jobs(kept_variants, predictions), *self._score_jobs(kept_variants, scores)]
            self._drive(jobs, lambda _: ())
        evidence = analysis.Evidence(
            plan=self.plan,
            store=self.store,
            metas=self.metas,
            variants=variants,
            kept=kept_variants,
            baselines=self.baselines,
            predictions={name: key for name, key in predictions.items() if name not in self.failed},
            scores=scores,
            failed=self.failed,
            protocol=protocol_digest(self.plan, variants, self.metas),
        )
        attributors = {
            f"{target}/{name}": {part: self.metas[key][f"{part}_seconds"] for part in ("fit", "predict")}
            for (name, target), key in evidence.predictions.items()
        }
        info = RunInfo(
            id=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            command=self.command,
            started=started.isoformat(timespec="seconds"),
            seconds={stage: round(spent, 3) for stage, spent in sorted(self.seconds.items())},
            attributors=attributors,
            environment=environment(),
        )
        result, predictions = analysis.result(evidence, info)
        # The statistics just done are part of the total.
        seconds = {"total": round(time.perf_counter() - clock, 3), **info.seconds}
        return result.model_copy(update={"run": info.model_copy(update={"seconds": seconds})}), predictions

    def _drive(self, jobs: Iterable[Job], follow: Callable[[Outcome], Iterable[Job]]) -> None:
        """Run jobs and what follows from them; those whose entry the store holds are done at once."""

        def settle(outcome: Outcome) -> list[Job]:
            """Note an outcome and return the jobs that are left to do because of it."""
            self._note(outcome)
            return found_or_left(follow(outcome))

        def found_or_left(fresh: Iterable[Job]) -> list[Job]:
            left, queue = [], deque(fresh)
            while queue:
                job = queue.popleft()
                entry = self.store.open(job.payload.kind, job.payload.key)
                if entry is None:
                    left.append(job)
                    continue
                outcome = Outcome(job, value=(entry.meta, None))
                self._note(outcome)
                queue.extend(follow(outcome))
            return left

        if left := found_or_left(jobs):
            self.engine.run(left, self.watch, settle)

    def _note(self, outcome: Outcome) -> None:
        payload = outcome.job.payload
        if outcome.error is None:
            meta, made = outcome.value
            self.metas[payload.key] = meta
            if made:
                self.seconds[outcome.job.stage] = self.seconds.get(outcome.job.stage, 0.0) + made["seconds"]
            if meta.get("status") == "diverged":
                self.watch(Event("warning", outcome.job, text=f"{outcome.job.name} diverged: {meta['reason']}"))
        elif payload.kind == "prediction" and isinstance(outcome.error, AttributorError | JobError):
            self.failed[payload.baseline.name, payload.target] = str(outcome.error)
            self.watch(Event("warning", outcome.job, text=f"{outcome.job.name} failed: {outcome.error}"))
        else:
            raise outcome.error

    def _after(self, variants: Sequence[VariantKeys]) -> Callable[[Outcome], Iterable[Job]]:
        def follow(outcome: Outcome) -> Iterable[Job]:
            payload = outcome.job.payload
            if payload.kind == "corpus":
                return self._model_jobs([of for of in variants if of.corpus == payload.key])
            if payload.kind == "model" and self.metas[payload.key]["status"] == "ok":
                return self._sample_jobs([of for of in variants if of.model == payload.key])
            return ()

        return follow

    def _statuses(self, variants: Sequence[VariantKeys]) -> dict[str, str]:
        return {of.variant.name: self.metas[of.model]["status"] for of in variants}

    def _job(self, payload: Make) -> Job:
        return Job(name=payload.label, stage=STAGES[payload.kind], call="natfp_bench.stages:make", payload=payload)

    def _common(self, kind: str, key: str, label: str) -> dict[str, Any]:
        return {"store": str(self.store.root), "kind": kind, "key": key, "label": label, "device": self.device}

    def _corpus_jobs(self, variants: Sequence[VariantKeys]) -> list[Job]:
        distinct: dict[str, Variant] = {}
        for of in variants:
            distinct.setdefault(of.corpus, of.variant)
        jobs = []
        for key, variant in distinct.items():
            # Where the factor shapes the blocks, one corpus is prepared in several ways: names must differ.
            of_whom = f" for {variant.name}" if len(distinct) > 1 else ""
            common = self._common("corpus", key, f"prepare {variant.settings.corpus.name}{of_whom}")
            jobs.append(self._job(MakeCorpus(**common, settings=variant.settings)))
        return jobs

    def _model_jobs(self, variants: Sequence[VariantKeys]) -> list[Job]:
        distinct: dict[str, VariantKeys] = {}
        for of in variants:
            distinct.setdefault(of.model, of)
        return [
            self._job(
                MakeModel(
                    **self._common("model", key, f"train {of.variant.name}"),
                    settings=of.variant.settings,
                    seed=self.plan.seed,
                    corpus=of.corpus,
                )
            )
            for key, of in distinct.items()
        ]

    def _sample_jobs(self, variants: Sequence[VariantKeys]) -> list[Job]:
        return [
            self._job(
                MakeSample(
                    **self._common("sample", key, f"sample {of.variant.name} {index + 1}/{len(of.samples)}"),
                    settings=of.variant.settings,
                    seed=self.plan.seed,
                    model=of.model,
                    corpus=of.corpus,
                    index=index,
                )
            )
            for of in variants
            for index, key in enumerate(of.samples)
        ]

    def _prediction_jobs(self, variants: Sequence[VariantKeys], found: dict[tuple[str, Target], str]) -> list[Job]:
        samples = tuple(of.samples for of in variants)
        jobs = []
        for target in self.plan.targets:
            labels = tuple(analysis.label(of.variant, target) for of in variants)
            for baseline in self.baselines:
                key = keys.prediction_key(baseline.digest, target, labels, samples, self.plan)
                found[baseline.name, target] = key
                order = MakePrediction(
                    **self._common("prediction", key, f"attribute {target} by {baseline.name}"),
                    baseline=baseline,
                    target=target,
                    seed=self.plan.seed,
                    labels=labels,
                    samples=samples,
                    texts=self.plan.texts,
                    split=self.plan.split,
                )
                jobs.append(self._job(order))
        return jobs

    def _score_jobs(self, variants: Sequence[VariantKeys], found: dict[tuple[str, str], str]) -> list[Job]:
        jobs: dict[str, Job] = {}
        for scorer in variants:
            for source in variants:
                spec = scorer.variant.settings.sampling
                key = keys.score_key(scorer.model, spec, source.samples, self.plan)
                found[scorer.variant.name, source.variant.name] = key
                order = MakeScore(
                    **self._common("score", key, f"score {source.variant.name} under {scorer.variant.name}"),
                    settings=scorer.variant.settings,
                    model=scorer.model,
                    corpus=scorer.corpus,
                    samples=source.samples,
                    texts=self.plan.texts,
                    split=self.plan.split,
                )
                # Variants with the same weights and sampler (other streams) score a text alike: once is enough.
                jobs.setdefault(key, self._job(order))
        return list(jobs.values())


def resolve_keys(plan: Plan) -> list[VariantKeys]:
    """Keys of all variants; text files are hashed for it. Raises UserError for a corpus that cannot be read."""
    identities: dict[str, dict[str, Any]] = {}
    resolved = []
    for variant in plan.variants:
        spec = variant.settings.corpus
        if (name := digest(spec)) not in identities:
            identities[name] = open_corpus(spec).identity()
        corpus = keys.corpus_key(variant.settings, identities[name])
        model = keys.model_key(variant.settings, plan.seed, corpus)
        resolved.append(VariantKeys(variant, corpus, model, tuple(keys.sample_keys(variant, plan, model))))
    return resolved


def protocol_digest(plan: Plan, variants: Sequence[VariantKeys], metas: dict[str, dict[str, Any]]) -> str:
    """Digest of everything that a figure depends on, attributors apart: results of one protocol rank together."""
    return digest(
        {
            "task": [plan.task.name, plan.task.version],
            "factor": plan.task.factor,
            "split": plan.split,
            "seed": plan.seed,
            "texts": plan.texts,
            "variants": [[of.variant.name, of.model, of.samples, metas[of.corpus]["digest"]] for of in variants],
            "stages": keys.VERSIONS,
        }
    )


def environment() -> dict[str, str | int]:
    """Describe the machine and the versions that floats depend on."""
    packages = ("natfp_bench", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def run_plan(
    plan: Plan,
    baselines: Sequence[Baseline],
    *,
    store: Store,
    engine: Engine,
    output: Path,
    device: str = "auto",
    command: Sequence[str] = (),
    watch: Watch = lambda _: None,
) -> tuple[Result, Path]:
    """Run a plan and write its result; returns the result and its folder.

    Work that the store holds is not done again, so an interrupted run goes on where it stopped. Raises UserError for
    input that turns out wrong on the way, StoreError for a disk that is full or read-only, JobError for a job that
    failed of a bug.
    """
    output = output.absolute()
    with storage_faults(output, "output folder"):
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK):
            raise PermissionError(13, "Permission denied")
    run = Run(plan, baselines, store, engine, device, watch, tuple(command))
    result, predictions = run.execute()
    folder = output / plan.task.name / plan.preset / result.run.id
    # First, so that no result ever stands without what keeps its entries; without a result it ages like any other.
    store.refer(result.run.id, folder / "result.json", sorted(run.metas))
    with storage_faults(output, "output folder"):
        folder.mkdir(parents=True)
        pq.write_table(predictions, folder / "predictions.parquet")
        # Last, and by rename: a folder with a result.json is whole.
        fresh = folder / "result.json.new"
        fresh.write_text(result.to_json(), encoding="utf-8")
        fresh.rename(folder / "result.json")
    return result, folder
