"""From a plan to a result: jobs are done in their order, and what the finished entries say is put together.

This side never trains or samples: it hands jobs to an engine, reads what they left in the store, and does the
statistics. What the store already holds costs no job, and a run that finds everything there starts no worker.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.attributors import registry
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import AttributorError, JobError, UserError
from natfp_bench.base.records import digest
from natfp_bench.plan import sources as source
from natfp_bench.plan.plan import Plan, Target

from . import analysis, keys
from . import bundled_texts as fixed_texts
from .engine import Engine, Event, Job, Outcome, Watch
from .evidence import Evidence
from .resolve import VariantKeys, resolve_keys
from .result import Result, RunInfo
from .steps import Step, Steps
from .store import Store, storage_faults


@dataclass
class Run:
    """One run of one plan: what it is given, and what it has found so far.

    parity: tasks of lm-eval that models are scored by beside the held-out documents; None where they are not scored.
    """

    plan: Plan
    baselines: Sequence[Baseline]
    store: Store
    engine: Engine
    device: str
    watch: Watch
    command: tuple[str, ...] = ()
    parity: tuple[str, ...] | None = None
    metas: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> Steps:
        """The jobs that the plan takes."""
        return Steps(self.plan, self.baselines, self.store, self.device)

    def execute(self) -> tuple[Result, pa.Table]:
        """Do all jobs and build the result and the table of predictions."""
        started, clock = datetime.now(UTC), time.perf_counter()
        reference = self._reference()
        # By name from here on: where its folder lies is part of no key and no digest.
        named = self.plan.analysis.model_copy(update={"reference": reference.name})
        self.plan = self.plan.model_copy(update={"analysis": named})
        evidence = self.gather()
        if self.parity is not None:
            evidence = self._parity(evidence, self.parity)
        if evidence.attributed:
            evidence = self._attribute(evidence, reference)
        attributors: dict[str, dict[str, float]] = {}
        memory: dict[str, int] = {}
        for (name, target, _), key in evidence.predictions.items():
            total = attributors.setdefault(f"{target}/{name}", {"fit": 0.0, "predict": 0.0})
            for part in total:
                total[part] = round(total[part] + self.metas[key][f"{part}_seconds"], 3)
            memory[f"{target}/{name}"] = max(memory.get(f"{target}/{name}", 0), self.metas[key].get("peak_mb", 0))
        info = RunInfo(
            id=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            command=self.command,
            started=started.isoformat(timespec="seconds"),
            seconds={stage: round(spent, 3) for stage, spent in sorted(self.seconds.items())},
            work={stage: round(spent, 3) for stage, spent in sorted(self.work.items())},
            attributors=attributors,
            memory_mb=memory,
            environment=environment(),
        )
        result, predictions = analysis.result(evidence, info)
        # The statistics just done are part of the total.
        seconds = {"total": round(time.perf_counter() - clock, 3), **info.seconds}
        return result.model_copy(update={"run": info.model_copy(update={"seconds": seconds})}), predictions

    def gather(self) -> Evidence:
        """Make models and texts, or find them."""
        variants = fixed_texts.install(self.plan, self.store) if self.plan.fixed_texts else resolve_keys(self.plan)
        if self.plan.source.kind == "checkpoint":
            source.require(of.variant.settings.source for of in variants)
        steps = self.steps
        self._drive([*steps.corpora(variants), *steps.models(variants), *steps.samples(variants)])
        self._heed(variants)
        kept = analysis.without_diverged(
            [of.variant for of in variants], {of.variant.name: self.metas[of.model]["status"] for of in variants}
        )
        return Evidence(
            plan=self.plan,
            store=self.store,
            metas=self.metas,
            variants=variants,
            kept=[of for of in variants if of.variant.name in kept],
            baselines=self.baselines,
            predictions={},
            failed={},
            scores={},
            studies={},
            failed_studies={},
            protocol=protocol_digest(self.plan, variants, self.metas),
        )

    def _heed(self, variants: Sequence[VariantKeys]) -> None:
        """Look at what sources turned out to be; raises UserError where their figures would mean something else."""
        if self.plan.given and (copies := self.metas[variants[0].corpus]["copies"]):
            what = f"{copies} test texts stood in training too, word for word, and were removed"
            self.watch(Event("warning", self.steps.corpora(variants)[0].job, text=what))
        if self.plan.source.kind == "checkpoint" and self.plan.shared_tokenizer:
            readers = {self.metas[of.model]["tokenizer"] for of in variants}
            if len(readers) > 1:
                raise UserError(
                    f"the models read text as {len(readers)} kinds of tokens, so that likelihoods bound nobody\n"
                    "  --set source.shared_tokenizer=false compares the same bytes, as likelihood_reference"
                )

    def score(self, evidence: Evidence) -> Evidence:
        """Score the texts under every model, and do nothing else with them; nothing at all without likelihoods."""
        jobs = self.steps.scores(evidence)
        self._drive(list({job.payload.key: Step(job) for job in jobs.values()}.values()))
        return replace(evidence, scores={name: job.payload.key for name, job in jobs.items()})

    def _parity(self, evidence: Evidence, tasks: tuple[str, ...]) -> Evidence:
        """Score the models by lm-eval; raises UserError where there are none."""
        if not self.plan.source.has_likelihood or self.plan.fixed_texts:
            raise UserError("--parity scores models, and here there are only texts\n  leave it out")
        jobs = self.steps.parity(evidence, tasks)
        self._drive(list({job.payload.key: Step(job) for job in jobs.values()}.values()))
        return replace(evidence, parity={name: self.metas[job.payload.key]["scores"] for name, job in jobs.items()})

    def _attribute(self, evidence: Evidence, reference: Baseline) -> Evidence:
        """Do the jobs on finished sample sets: scores, predictions, studies."""
        scores, predictions = self.steps.scores(evidence), self.steps.predictions(evidence)
        studies = self.steps.studies(evidence, reference)
        steps = [Step(job) for job in (*studies.values(), *predictions.values(), *scores.values())]
        # Two variants may ask for one score, as those of one model do.
        self._drive(list({step.job.payload.key: step for step in steps}.values()))
        failed: dict[tuple[str, Target], str] = {
            (name, target): self.failed[job.payload.key]
            for (name, target, _), job in predictions.items()
            if job.payload.key in self.failed
        }
        return replace(
            evidence,
            scores={name: job.payload.key for name, job in scores.items()},
            predictions={at: job.payload.key for at, job in predictions.items() if (at[0], at[1]) not in failed},
            failed=failed,
            studies={name: job.payload.key for name, job in studies.items() if job.payload.key not in self.failed},
            failed_studies={
                name: self.failed[job.payload.key] for name, job in studies.items() if job.payload.key in self.failed
            },
        )

    def _drive(self, steps: Sequence[Step]) -> None:
        """Do each step once what it needs is there; those whose entry the store holds are done at once."""
        waiting = list(steps)

        def ready() -> list[Job]:
            """Take the jobs that can be done now, noting those that need not be."""
            jobs: list[Job] = []
            progress = True
            while progress:
                progress = False
                for step in list(waiting):
                    if not step.needs <= self.metas.keys():
                        continue
                    waiting.remove(step)
                    if step.sound and self.metas[step.sound]["status"] != "ok":
                        continue
                    payload = step.job.payload
                    if entry := self.store.open(payload.kind, payload.key):
                        self._note(Outcome(step.job, value=(entry.meta, entry.made)), fresh=False)
                        progress = True
                    else:
                        jobs.append(step.job)
            return jobs

        def follow(outcome: Outcome) -> list[Job]:
            self._note(outcome)
            return ready()

        if first := ready():
            self.engine.run(first, self.watch, follow)

    def _note(self, outcome: Outcome, *, fresh: bool = True) -> None:
        payload = outcome.job.payload
        if outcome.error is None:
            meta, made = outcome.value
            self.metas[payload.key] = meta
            for spent in (self.work, self.seconds) if fresh else (self.work,):
                spent[outcome.job.stage] = spent.get(outcome.job.stage, 0.0) + made["seconds"]
            if meta.get("status") == "diverged":
                self.watch(Event("warning", outcome.job, text=f"{outcome.job.name} diverged: {meta['reason']}"))
        elif payload.kind in ("prediction", "study") and isinstance(outcome.error, AttributorError | JobError):
            self.failed[payload.key] = str(outcome.error)
            self.watch(Event("warning", outcome.job, text=f"{outcome.job.name} failed: {outcome.error}"))
        elif payload.kind == "sample" and payload.index is None and type(outcome.error) is UserError:
            # Too few held-out documents to draw test texts in this way: the study of them falls away, and no more.
            what = f"{outcome.job.name} is left out: {str(outcome.error).splitlines()[0]}"
            self.watch(Event("warning", outcome.job, text=what))
        else:
            raise outcome.error

    def _reference(self) -> Baseline:
        """Find the baseline that studies refit; raises UserError where the plan does not name exactly one."""
        name = self.plan.analysis.reference
        if len(found := registry.find(name)) > 1:
            raise UserError(f"analysis.reference {name!r} names {len(found)} baselines, and takes one")
        return found[0]


def protocol_digest(plan: Plan, variants: Sequence[VariantKeys], metas: dict[str, dict[str, Any]]) -> str:
    """Digest of everything that a figure depends on, attributors apart: results of one protocol rank together."""
    if plan.fixed_texts:
        # What made the texts is in them; how attributors are asked is not.
        return digest({"fixed_texts": plan.fixed_texts, "seed": plan.seed, "stage": keys.VERSIONS["prediction"]})
    return digest(
        {
            "task": [plan.task.name, plan.task.version],
            "factor": plan.task.factor,
            "split": plan.split,
            "analysis": plan.analysis,
            "seed": plan.seed,
            "texts": plan.texts,
            "variants": [[of.variant.name, of.model, of.samples, metas[of.corpus]["digest"]] for of in variants],
            "stages": keys.VERSIONS,
        }
    )


def run_plan(
    plan: Plan,
    baselines: Sequence[Baseline],
    *,
    store: Store,
    engine: Engine,
    output: Path,
    device: str = "auto",
    command: Sequence[str] = (),
    parity: Sequence[str] | None = None,
    watch: Watch = lambda _: None,
) -> tuple[Result, Path]:
    """Run a plan and write its result; returns the result and its folder.

    parity: score the models by lm-eval, on the held-out documents and these of its tasks; None does not. Work that the
    store holds is not done again, so an interrupted run goes on where it stopped. Raises UserError for
    input that turns out wrong on the way, StoreError for a disk that is full or read-only, JobError for a job that
    failed of a bug.
    """
    output = output.absolute()
    with storage_faults(output, "output folder"):
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK):
            raise PermissionError(13, "Permission denied")
    asked = None if parity is None else tuple(parity)
    run = Run(plan, baselines, store, engine, device, watch, tuple(command), asked)
    result, predictions = run.execute()
    # First, so that no result ever stands without what keeps its entries; without a result it ages like any other.
    store.refer(result.run.id, _folder(result, output) / "result.json", sorted(run.metas))
    return result, write(result, predictions, output)


def _folder(result: Result, output: Path) -> Path:
    return output / result.task.name / result.preset / result.run.id


def write(result: Result, predictions: pa.Table, output: Path) -> Path:
    """Write a result and its predictions into a folder of their own, which is returned."""
    folder = _folder(result, output)
    with storage_faults(output, "output folder"):
        folder.mkdir(parents=True)
        pq.write_table(predictions, folder / "predictions.parquet")
        # Last, and by rename: a folder with a result.json is whole.
        fresh = folder / "result.json.new"
        fresh.write_text(result.to_json(), encoding="utf-8")
        fresh.rename(folder / "result.json")
    return folder
