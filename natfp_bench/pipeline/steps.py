"""Which jobs a plan takes, and what each needs to be there first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from natfp_bench.attributors.registry import Baseline, Limits
from natfp_bench.base.records import digest
from natfp_bench.plan import split
from natfp_bench.plan.plan import Plan, Target
from natfp_bench.plan.settings import Settings

from . import analysis, keys, scoring
from .engine import Job
from .evidence import Evidence
from .jobs import Make, MakeCorpus, MakeModel, MakeParity, MakePrediction, MakeSample, MakeScore, MakeStudy, MakeTexts
from .needs import Needs, model_needs
from .resolve import VariantKeys, transfers
from .store import Store

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


@dataclass(frozen=True)
class Steps:
    """The jobs of one plan, from corpora to studies; each is known by the key of the entry that it makes."""

    plan: Plan
    baselines: Sequence[Baseline]
    store: Store
    device: str

    def corpora(self, variants: Sequence[VariantKeys]) -> list[Step]:
        """Prepare each corpus that variants read."""
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

    def models(self, variants: Sequence[VariantKeys]) -> list[Step]:
        """Train each model, or measure it, or find it; those that stack train together."""
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

    def samples(self, variants: Sequence[VariantKeys]) -> list[Step]:
        """Draw each block of texts, and the test texts that are drawn in other ways."""
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

    def scores(self, evidence: Evidence) -> dict[str, Job]:
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

    def parity(self, evidence: Evidence, tasks: tuple[str, ...]) -> dict[str, Job]:
        """Jobs by variant: each is scored by lm-eval."""
        jobs = {}
        for of in evidence.kept:
            key = keys.parity_key(of.model, of.variant.settings, tasks)
            payload: dict[str, Any] = {"settings": of.variant.settings, "model": of.model}
            payload |= {"corpus": of.corpus, "tasks": tasks}
            jobs[of.variant.name] = self._job(MakeParity, "parity", key, f"parity of {of.variant.name}", **payload)
        return jobs

    def predictions(self, evidence: Evidence) -> dict[tuple[str, Target, int], Job]:
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

    def studies(self, evidence: Evidence, reference: Baseline) -> dict[str, Job]:
        """Jobs by study."""
        samples = tuple(of.samples for of in evidence.kept)
        labels, fold = tuple(evidence.levels), evidence.splits("level")[0]
        jobs = {}
        ways = {how: tuple(of.transfer[how] for of in evidence.kept) for how in evidence.kept[0].transfer}
        transfer = {how: drawn for how, drawn in ways.items() if evidence.metas.keys() >= set(drawn)}
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

    def _job(
        self, make: type[Make], kind: str, key: str, label: str, limits: Limits | None = None, **payload: Any
    ) -> Job:
        order = make(store=str(self.store.root), kind=kind, key=key, label=label, device=self.device, **payload)
        needs = model_needs(payload["settings"], self.device) if kind in MODELS else Needs()
        call = "natfp_bench.pipeline.stages:make"
        return Job(name=label, stage=STAGES[kind], call=call, payload=order, limits=limits, needs=needs)

    def _texts(self) -> dict[str, Any]:
        return {"texts": self.plan.texts, "split": self.plan.split, "cut": self.plan.cut}
