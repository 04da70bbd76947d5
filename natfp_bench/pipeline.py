"""From a plan to a result: which jobs there are, what follows from what, and what the finished entries say.

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

from . import analysis, fixed_texts, keys, registry, scoring, source, split
from .engine import Engine, Event, Job, Outcome, Watch
from .environment import environment
from .errors import AttributorError, JobError, UserError
from .evidence import Evidence
from .jobs import Make, MakeCorpus, MakeModel, MakeParity, MakePrediction, MakeSample, MakeScore, MakeStudy, MakeTexts
from .needs import Needs, model_needs
from .plan import Plan, Target
from .records import digest
from .registry import Baseline, Limits
from .resolve import VariantKeys, resolve_keys, transfers
from .results import Result, RunInfo
from .settings import Settings
from .store import Store, storage_faults

STAGES = {
    "corpus": "corpus",
    "model": "train",
    "sample": "sample",
    "score": "score",
    "prediction": "attribute",
    "study": "study",
    "parity": "parity",
}
"""The stage that makes each kind of entry, as people are told of it."""

MODELS = ("model", "sample", "score", "parity")
"""Kinds of entry whose making runs a model."""


REFITS = 20
"""Fits of a fold that a study takes at most, permutations apart: robustness takes most, one for each condition."""


@dataclass(frozen=True)
class Step:
    """A job, and the keys of the entries that must be there first; `sound`: of a model that must not have diverged."""

    job: Job
    needs: frozenset[str] = frozenset()
    sound: str | None = None


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
        self._drive([*self._corpus_steps(variants), *self._model_steps(variants), *self._sample_steps(variants)])
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
            self.watch(Event("warning", self._corpus_steps(variants)[0].job, text=what))
        if self.plan.source.kind == "checkpoint" and self.plan.shared_tokenizer:
            readers = {self.metas[of.model]["tokenizer"] for of in variants}
            if len(readers) > 1:
                raise UserError(
                    f"the models read text as {len(readers)} kinds of tokens, so that likelihoods bound nobody\n"
                    "  --set source.shared_tokenizer=false compares the same bytes, as likelihood_reference"
                )

    def score(self, evidence: Evidence) -> Evidence:
        """Score the texts under every model, and do nothing else with them; nothing at all without likelihoods."""
        jobs = self._scores(evidence)
        self._drive(list({job.payload.key: Step(job) for job in jobs.values()}.values()))
        return replace(evidence, scores={name: job.payload.key for name, job in jobs.items()})

    def _parity(self, evidence: Evidence, tasks: tuple[str, ...]) -> Evidence:
        """Score the models by lm-eval; raises UserError where there are none."""
        if not self.plan.source.has_likelihood or self.plan.fixed_texts:
            raise UserError("--parity scores models, and here there are only texts\n  leave it out")
        jobs = {}
        for of in evidence.kept:
            key = keys.parity_key(of.model, of.variant.settings, tasks)
            payload: dict[str, Any] = {"settings": of.variant.settings, "model": of.model}
            payload |= {"corpus": of.corpus, "tasks": tasks}
            jobs[of.variant.name] = self._job(MakeParity, "parity", key, f"parity of {of.variant.name}", **payload)
        self._drive(list({job.payload.key: Step(job) for job in jobs.values()}.values()))
        return replace(evidence, parity={name: self.metas[job.payload.key]["scores"] for name, job in jobs.items()})

    def _attribute(self, evidence: Evidence, reference: Baseline) -> Evidence:
        """Do the jobs on finished sample sets: scores, predictions, studies."""
        scores, predictions = self._scores(evidence), self._predictions(evidence)
        studies = self._studies(evidence, reference)
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

    def _job(
        self, make: type[Make], kind: str, key: str, label: str, limits: Limits | None = None, **payload: Any
    ) -> Job:
        order = make(store=str(self.store.root), kind=kind, key=key, label=label, device=self.device, **payload)
        needs = model_needs(payload["settings"], self.device) if kind in MODELS else Needs()
        call = "natfp_bench.stages:make"
        return Job(name=label, stage=STAGES[kind], call=call, payload=order, limits=limits, needs=needs)

    def _corpus_steps(self, variants: Sequence[VariantKeys]) -> list[Step]:
        distinct: dict[str, Settings] = {}
        for of in variants:
            distinct.setdefault(of.corpus, of.variant.settings)
            if of.base:
                distinct.setdefault(of.base.corpus, of.base.settings)
        steps = []
        for number, (key, settings) in enumerate(distinct.items()):
            # Where the factor shapes the blocks, one corpus is prepared in several ways: names must differ.
            which = f" ({number + 1} of {len(distinct)})" if len(distinct) > 1 else ""
            if given := self.plan.given:
                label, every = f"read {', '.join(given.paths)}", self.plan.split.test_every
                steps.append(Step(self._job(MakeTexts, "corpus", key, label, texts=given, test_every=every)))
                continue
            label = f"prepare {settings.corpus.name}{which}"
            steps.append(Step(self._job(MakeCorpus, "corpus", key, label, settings=settings)))
        return steps

    def _model_steps(self, variants: Sequence[VariantKeys]) -> list[Step]:
        models: dict[str, Step] = {}
        for of in variants:
            doing = {"train": "train", "checkpoint": "measure"}.get(self.plan.source.kind, "find")
            wanted = [(f"{doing} {of.variant.name}", of.model, of.start, of.corpus, of.variant.settings)]
            if of.base:
                wanted.append(
                    (f"train base of {of.variant.name}", of.base.model, None, of.base.corpus, of.base.settings)
                )
            for label, key, start, corpus, settings in wanted:
                payload: dict[str, Any] = {"settings": settings, "seed": self.plan.seed}
                payload |= {"corpus": corpus, "start": start}
                job = self._job(MakeModel, "model", key, label, **payload)
                models.setdefault(key, Step(job, frozenset({corpus, *([start] if start else [])})))
        return self._stacked(list(models.values()))

    def _stacked(self, steps: Sequence[Step]) -> list[Step]:
        """Let models of one shape that are still to be made train together, as many as their stacks take."""
        alone, shapes = [], dict[str, list[Step]]()
        for step in steps:
            settings, key = step.job.payload.settings, step.job.payload.key
            if settings.source.kind == "train" and settings.stacks and not self.store.open("model", key):
                shape = [settings.model, settings.tokenizer.vocabulary, settings.budget, settings.numerics]
                shapes.setdefault(digest(shape), []).append(step)
            else:
                alone.append(step)
        stacks = []
        for same in shapes.values():
            # By key, so that two runs take the locks of their stacks in one order.
            same.sort(key=lambda step: str(step.job.payload.key))
            size = same[0].job.payload.settings.numerics.stack
            stacks += [same[start : start + size] for start in range(0, len(same), size)]
        for first, *others in stacks:
            beside = tuple(step.job.payload for step in others)
            name = f"{first.job.name} and {len(others)} beside it" if others else first.job.name
            job = replace(first.job, name=name, payload=first.job.payload.model_copy(update={"beside": beside}))
            alone.append(Step(job, frozenset().union(first.needs, *(step.needs for step in others))))
            # The first makes them all, so that they are found.
            alone += [replace(step, needs=step.needs | {first.job.payload.key}) for step in others]
        return alone

    def _sample_steps(self, variants: Sequence[VariantKeys]) -> list[Step]:
        steps: dict[str, Step] = {}
        for of in variants:
            settings, name = of.variant.settings, of.variant.name
            blocks = [
                (f"sample {name} {index + 1}/{len(of.samples)}", key, settings, index)
                for index, key in enumerate(of.samples)
            ]
            conditions = transfers(self.plan, settings)
            others = [(f"sample {name} {how}", key, conditions[how], None) for how, key in of.transfer.items()]
            for label, key, drawn, index in [*blocks, *others]:
                payload: dict[str, Any] = {"settings": drawn, "seed": self.plan.seed}
                payload |= {
                    "model": of.model,
                    "corpus": of.corpus,
                    "index": index,
                    "texts": self.plan.texts,
                    "split": self.plan.split,
                }
                job = self._job(MakeSample, "sample", key, label, **payload)
                steps.setdefault(key, Step(job, frozenset({of.corpus, of.model}), sound=of.model))
        return list(steps.values())

    def _reference(self) -> Baseline:
        """Find the baseline that studies refit; raises UserError where the plan does not name exactly one."""
        name = self.plan.analysis.reference
        if len(found := registry.find(name)) > 1:
            raise UserError(f"analysis.reference {name!r} names {len(found)} baselines, and takes one")
        return found[0]

    def _texts(self) -> dict[str, Any]:
        return {"texts": self.plan.texts, "split": self.plan.split, "cut": self.plan.cut}

    def _scores(self, evidence: Evidence) -> dict[str, Job]:
        """Jobs by variant: each scores all test texts."""
        samples = tuple(of.samples for of in evidence.kept)
        jobs: dict[str, Job] = {}
        for of in evidence.kept if self.plan.source.has_likelihood else ():
            settings, name = of.variant.settings, of.variant.name
            key = keys.score_key(of.model, settings, samples, self.plan)
            payload = {
                "settings": settings,
                "model": of.model,
                "corpus": of.corpus,
                "samples": samples,
                **self._texts(),
            }
            jobs[name] = self._job(MakeScore, "score", key, f"score under {name}", **payload)
        return jobs

    def _predictions(self, evidence: Evidence) -> dict[tuple[str, Target, int], Job]:
        """Jobs by baseline, target and fold."""
        samples = tuple(of.samples for of in evidence.kept)
        jobs = {}
        for target in self.plan.targets:
            labels = tuple(scoring.label(of.variant, target) for of in evidence.kept)
            folds = split.folds(evidence.splits(target)[0], evidence.replicates)
            for baseline in self.baselines:
                for fold in folds:
                    known = tuple(fold.known.tolist())
                    key = keys.prediction_key(baseline.digest, labels, samples, known, self.plan)
                    which = f" (without replicate {fold.number})" if len(folds) > 1 else ""
                    label = f"attribute {target} by {baseline.name}{which}"
                    payload = {"baseline": baseline, "seed": self.plan.seed, "labels": labels, "samples": samples}
                    payload |= {"known": known, **self._texts()}
                    job = self._job(MakePrediction, "prediction", key, label, baseline.card.limits, **payload)
                    jobs[baseline.name, target, fold.number] = job
        return jobs

    def _studies(self, evidence: Evidence, reference: Baseline) -> dict[str, Job]:
        """Jobs by study."""
        samples = tuple(of.samples for of in evidence.kept)
        labels, fold = tuple(evidence.levels), evidence.splits("level")[0]
        jobs = {}
        ways = {how: tuple(of.transfer[how] for of in evidence.kept) for how in evidence.kept[0].transfer}
        transfer = {how: drawn for how, drawn in ways.items() if self.metas.keys() >= set(drawn)}
        # A card speaks of one fit, and a study makes many.
        fits = (REFITS + self.plan.analysis.permutations) * len(split.folds(fold, evidence.replicates))
        card = reference.card.limits
        limits = card.model_copy(update={"seconds": card.seconds * fits})
        for study in analysis.studies(evidence):
            used = {"analysis": self.plan.analysis, "replicates": evidence.replicates.tolist(), "fold": fold}
            used |= {"transfer": transfer if study == "robustness" else {}}
            key = keys.study_key(study, reference.digest, labels, samples, self.plan, **used)
            payload = {"baseline": reference, "seed": self.plan.seed, "labels": labels, "samples": samples, **used}
            reader = evidence.kept[0].model if self.plan.source.has_likelihood else None
            payload |= {"study": study, "model": reader, **self._texts()}
            payload["replicates"] = tuple(used["replicates"])
            jobs[study] = self._job(MakeStudy, "study", key, f"study {study}", limits, **payload)
        return jobs


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
