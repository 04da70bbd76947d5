"""From a plan to a result: stages are made in their order, and what the finished ones say is put together.

This side never trains or samples: it hands jobs to an engine, reads what they left in the store, and does the
statistics. A run that finds everything in the store starts no worker.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.attributors import registry, sandbox
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import disk
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import digest
from natfp_bench.plan.plan import Plan, Target

from . import assemble, bundled_texts, ladder, wanted
from .engine import Engine, Watch
from .evidence import Evidence, without_diverged
from .result import Result, RunInfo
from .schedule import Schedule, Wanted
from .sources.kind import SourceKind, source_kind
from .stages.prediction import Prediction, PredictionMeta
from .stages.score import TextScores
from .stages.stage import Stage
from .stages.variant import VariantStages
from .store import Store
from .variants import resolve, resolve_strangers, rewriter

NO_STRANGERS = "all models that were trained for it with other seeds diverged"
"""Why an attributor that takes strangers fails where there are none."""


@dataclass
class Run:
    """One run of one plan.

    parity: tasks of lm-eval that models are scored by beside the held-out documents; None if they are not scored.
    sandbox: which baselines are in a sandbox (`attributors.sandbox`).
    """

    plan: Plan
    baselines: Sequence[Baseline]
    schedule: Schedule
    command: Sequence[str] = ()
    parity: Sequence[str] | None = None
    sandbox: str = "auto"

    def execute(self) -> tuple[Result, pa.Table]:
        """Make all stages, and build the result and the table of predictions."""
        started, clock = datetime.now(UTC), time.perf_counter()
        self.plan, reference = with_reference(self.plan)
        self.baselines, left_out = ladder.able(self.plan, self.baselines)
        for one in left_out:
            self.schedule.warn(f"left out: {one}")
        evidence = self.gather()
        if self.parity is not None:
            evidence = self._parity(evidence, self.parity)
        if evidence.attributed:
            evidence = self._attribute(evidence, reference)
        info = self._info(evidence, started)
        result, predictions = assemble.result(evidence, info)
        # The statistics just done are part of the total.
        seconds = {"total": round(time.perf_counter() - clock, 3), **info.seconds}
        return result.model_copy(update={"run": info.model_copy(update={"seconds": seconds})}), predictions

    def gather(self, *, transfer: bool = True) -> Evidence:
        """Make models and texts, or find them; transfer: also what only studies read.

        These are the test rows that are drawn in other ways, and the texts of models that descend from no level.
        """
        source = source_kind(self.plan.source.kind)
        if self.plan.fixed_texts:
            variants = bundled_texts.install(self.plan, self.schedule.store)
        else:
            variants = resolve(self.plan)
            source.require([of.variant.settings for of in variants])
        if not transfer:
            variants = [replace(of, transfer={}) for of in variants]
        if source.reviewed_early:
            self.schedule.drive(wanted.models(self.plan, variants))
            self._review(source, variants)
        strangers = ladder.strangers(self.plan, variants) if ladder.wants(self.baselines, "recipe") else []
        twins = ladder.twins(self.plan, variants) if ladder.wants(self.baselines, "origin") else {}
        more = ladder.further(self.plan, variants) if ladder.wants(self.baselines, "unlabelled") else ()
        unrelated = resolve_strangers(self.plan) if transfer else []
        writer = rewriter(self.plan) if transfer else None
        apart = [*strangers, *twins.values(), *([writer] if writer else [])]
        made = wanted.texts(self.plan, [*variants, *unrelated])
        self.schedule.drive([*made, *wanted.models(self.plan, apart), *more])
        if not source.reviewed_early:
            self._review(source, variants)
        metas = self.schedule.metas
        ladder.check_strangers([*apart, *unrelated], variants, metas)
        statuses = {of.name: metas[of.model].status for of in variants}
        kept = without_diverged([of.variant for of in variants], statuses)
        return Evidence(
            plan=self.plan,
            store=self.schedule.store,
            metas=metas,
            variants=variants,
            kept=[of for of in variants if of.name in kept],
            baselines=self.baselines,
            protocol=protocol_digest(self.plan, variants, metas),
            strangers=[of for of in strangers if metas[of.model].status == "ok"],
            twins={name: of for name, of in twins.items() if metas[of.model].status == "ok"},
            unrelated=[of for of in unrelated if metas[of.model].status == "ok"],
        )

    def _review(self, source: SourceKind, variants: Sequence[VariantStages]) -> None:
        for warning in source.review(self.plan, variants, self.schedule.metas):
            self.schedule.warn(warning)

    def _parity(self, evidence: Evidence, tasks: Sequence[str]) -> Evidence:
        """Score the models by lm-eval; raises UserError if there are none."""
        if not self.plan.source.has_likelihood or self.plan.fixed_texts:
            raise UserError("--parity scores models, and this run has only texts\n  leave it out")
        stages = wanted.parity(evidence, tuple(tasks))
        self.schedule.drive(Wanted(stage, f"parity of {name}") for name, stage in stages.items())
        metas = self.schedule.metas
        return replace(evidence, parity={name: metas[stage].scores for name, stage in stages.items()})

    def _attribute(self, evidence: Evidence, reference: Baseline) -> Evidence:
        """Make the stages that read finished sample sets: studies, predictions, scores."""
        boxed = [one.name for one in (*self.baselines, reference) if sandbox.applies(self.sandbox, one)]
        evidence = replace(evidence, sandboxed=boxed)
        scores, asked = wanted.text_scores(evidence), wanted.predictions(evidence)
        beyond = wanted.stranger_scores(evidence)
        unmet = ladder.unmet(evidence)
        predictions = {at: stage for at, stage in asked.items() if at[0] not in unmet}
        studies = wanted.studies(evidence, reference)
        self.schedule.drive(
            [
                *ladder.first(predictions.values()),
                *(Wanted(stage, f"study {name}") for name, stage in studies.items()),
                *(Wanted(stage, _attribution(at, stage)) for at, stage in predictions.items()),
                *(Wanted(stage, f"score under {name}") for name, stage in scores.items()),
                *(Wanted(stage, f"score strangers under {name}") for name, stage in beyond.items()),
            ]
        )
        why = self.schedule.failed
        failed: dict[tuple[str, Target], str] = {
            (name, target): why[stage] for (name, target, _), stage in predictions.items() if stage in why
        }
        failed |= {(name, target): NO_STRANGERS for name, target, _ in asked if name in unmet}
        return replace(
            evidence,
            text_scores=scores,
            stranger_scores=beyond,
            predictions={at: stage for at, stage in predictions.items() if at[:2] not in failed},
            failed=failed,
            studies={name: stage for name, stage in studies.items() if stage not in why},
            failed_studies={name: why[stage] for name, stage in studies.items() if stage in why},
        )

    def _info(self, evidence: Evidence, started: datetime) -> RunInfo:
        """Everything volatile; says so, once, if stages were made by different versions."""
        fits = [(f"{target}/{name}", stage) for (name, target, _), stage in evidence.predictions.items()]
        return run_info(self.schedule, self.command, started, fits, evidence.sandboxed)


def with_reference(plan: Plan) -> tuple[Plan, Baseline]:
    """Find the baseline that studies refit; raises UserError if the plan does not name exactly one.

    The plan that is returned has its name: the place of its folder is part of no key and no digest.
    """
    name = plan.analysis.reference
    if len(found := registry.find(name)) > 1:
        raise UserError(f"analysis.reference {name!r} names {len(found)} baselines, and takes one")
    ladder.require_texts(found[0], "studies refit a baseline that reads labelled texts alone")
    named = plan.analysis.model_copy(update={"reference": found[0].name})
    return plan.model_copy(update={"analysis": named}), found[0]


def run_info(
    schedule: Schedule,
    command: Sequence[str],
    started: datetime,
    fits: Sequence[tuple[str, Stage]],
    sandboxed: Collection[str],
) -> RunInfo:
    """Everything volatile; says so, once, if stages were made by different versions.

    fits: finished predictions, each with the name under which its time and memory are noted.
    """
    seconds: dict[str, dict[str, float]] = {}
    memory: dict[str, int] = {}
    for at, stage in fits:
        meta: PredictionMeta = schedule.metas[stage]
        spent = seconds.setdefault(at, {"fit": 0.0, "predict": 0.0})
        spent["fit"] = round(spent["fit"] + meta.fit_seconds, 3)
        spent["predict"] = round(spent["predict"] + meta.predict_seconds, 3)
        memory[at] = max(memory.get(at, 0), meta.peak_mb)
    mixed = schedule.mixed()
    if mixed:
        listed = "; ".join(f"{package} {' and '.join(versions)}" for package, versions in mixed.items())
        schedule.warn(f"this result mixes what different versions made: {listed}")
    return RunInfo(
        id=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        command=tuple(command),
        started=started.isoformat(timespec="seconds"),
        seconds={stage: round(spent, 3) for stage, spent in sorted(schedule.seconds.items())},
        work={stage: round(spent, 3) for stage, spent in sorted(schedule.work.items())},
        attributors=seconds,
        memory_mb=memory,
        environment=environment(),
        sandboxed=tuple(sorted(set(sandboxed))),
        mixed_versions=mixed,
    )


def _attribution(at: tuple[str, Target, int], stage: Prediction) -> str:
    """What people call a prediction."""
    name, target, fold = at
    which = "" if all(stage.known) else f" (without replicate {fold})"
    return f"attribute {target} by {name}{which}"


def protocol_digest(plan: Plan, variants: Sequence[VariantStages], metas: Mapping[Stage, Any]) -> str:
    """Digest of everything that a figure depends on, attributors apart: results of one protocol rank together."""
    if plan.fixed_texts:
        # What made the texts is in them; how attributors are asked is not.
        return digest({"fixed_texts": plan.fixed_texts, "seed": plan.seed, "stage": Prediction.version})
    return digest(
        {
            "task": [plan.task.name, plan.task.version],
            "factor": plan.task.factor,
            "split": plan.split,
            "analysis": plan.analysis,
            "seed": plan.seed,
            "texts": plan.texts,
            "variants": [[of.name, of.model, of.samples, getattr(metas[of.corpus], "digest", "")] for of in variants],
            "stages": [TextScores.version, Prediction.version],
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
    sandbox: str = "auto",
    watch: Watch = lambda _: None,
) -> tuple[Result, Path]:
    """Run a plan and write its result; returns the result and its folder.

    parity: score the models by lm-eval, on the held-out documents and these of its tasks; None does not. sandbox: see
    `attributors.sandbox`. Work that the store holds is not done again, so an interrupted run goes on where it stopped.
    Raises UserError for input that turns out wrong on the way, StoreError for a disk that is full or read-only,
    JobError for a job that failed of a bug.
    """
    output = disk.usable_folder(output, "output folder")
    run = Run(plan, baselines, Schedule(store, engine, device, watch), command, parity, sandbox)
    result, predictions = run.execute()
    # First, so that no result stands in a folder while the cleaning of the store may remove what it rests on.
    keys = sorted({stage.key for stage in run.schedule.metas})
    store.refer(result.run.id, _folder(result, output) / "result.json", keys)
    return result, write(result, predictions, output)


def _folder(result: Result, output: Path) -> Path:
    return output / result.task.name / result.preset / result.run.id


def write(result: Result, predictions: pa.Table, output: Path) -> Path:
    """Write a result and its predictions into a folder of their own, which is returned."""
    output = disk.usable_folder(output, "output folder")
    folder = _folder(result, output)
    with disk.disk_faults(output, "output folder"):
        with disk.whole(folder / "predictions.parquet") as fresh:
            pq.write_table(predictions, fresh)
        # Last: a folder with a result.json is whole.
        with disk.whole(folder / "result.json") as fresh:
            fresh.write_text(result.to_json(), encoding="utf-8")
    return folder
