"""From a plan of a curve to its result: longer sample sets, fits to more and more of their texts, and fitted laws.

Models, test texts and likelihoods are those of the ordinary run; what the store has of them is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from natfp_bench.attributors import sandbox
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import disk
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.plan import split
from natfp_bench.plan.curve import CurvePlan
from natfp_bench.statistics import discrimination, per_text
from natfp_bench.statistics.intervals import Floats, Interval, Ints
from natfp_bench.statistics.power_law import FEWEST, LawFit, Points, law_of
from natfp_bench.statistics.texts_needed import TextsNeeded, texts_needed

from . import ladder, wanted
from . import store as stores
from .assemble import factor_result, task_id
from .curve_result import FIGURES, NAME, AttributorCurve, CurveCeiling, CurvePoint, CurveResult
from .engine import Engine, Watch
from .evidence import Evidence
from .overview import Overview, overview
from .result import RunInfo
from .run import Run, run_info, with_reference
from .schedule import Schedule, Wanted
from .scoring import CEILING, PARTS, REFERENCE, Answers, View, answers, identity, likelihood_answers, score
from .stages.curve import CurvePrediction
from .stages.stage import Stage
from .store import Store
from .variants import longer, resolve

HALF = 0.5
"""Share of the ceiling's bits for which the number of texts is looked for."""

Fits = Mapping[tuple[str, int, int], CurvePrediction]
"""Predictions by baseline, number of training texts per variant, and fold."""


@dataclass(frozen=True)
class Units:
    """What laws leave out one of at a time: held-out replicates, else tenths of the prompts."""

    evidence: Evidence
    held_out: bool

    @property
    def name(self) -> str:
        """What they are called."""
        return "replicates" if self.held_out else f"tenths of the {self.evidence.plan.units}"

    def of(self, given: Answers) -> Ints:
        """The unit of each answer; all answers to one text, and to texts of one prompt, are of one unit."""
        if self.held_out:
            return self.evidence.replicates[self.evidence.texts.source[given.rows]]
        prompts, number = np.unique(given.prompts, return_inverse=True)
        return np.asarray(number % min(PARTS, len(prompts)), dtype=np.int64)

    def bits_without(self, given: Answers) -> tuple[float, ...]:
        """Mean bits per text, without each unit."""
        bits, unit = per_text.bits(given.proba, given.truth), self.of(given)
        names = np.unique(unit)
        return tuple(float(bits[unit != one].mean()) for one in names) if len(names) > 1 else ()


@dataclass
class CurveRun:
    """One run of a curve. sandbox: which baselines are in a sandbox (`attributors.sandbox`)."""

    curve: CurvePlan
    baselines: Sequence[Baseline]
    schedule: Schedule
    command: Sequence[str] = ()
    sandbox: str = "auto"
    fits: Fits = field(default_factory=dict)

    def execute(self) -> tuple[CurveResult, list[str]]:
        """Make all stages; returns the result, and the keys of what it rests on.

        Raises UserError if so many variants diverged that there is nothing to tell apart.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        # As in the ordinary run, so that both have one protocol digest.
        self.curve = self.curve.model_copy(update={"plan": with_reference(self.curve.plan)[0]})
        self.baselines, left_out = ladder.able(self.curve.plan, self.baselines)
        for one in left_out:
            self.schedule.warn(f"left out: {one}")
        evidence = Run(self.curve.plan, self.baselines, self.schedule).gather(transfer=False)
        if not evidence.attributed:
            lost = ", ".join(of.name for of in evidence.variants if of not in evidence.kept)
            raise UserError(
                f"fewer than two levels are left to tell apart: {lost} diverged\n  take a lower optimizer.lr"
            )
        boxed = [one.name for one in self.baselines if sandbox.applies(self.sandbox, one)]
        evidence = self._attribute(replace(evidence, sandboxed=boxed))
        done = [(f"{name}/{texts}", fit) for (name, texts, _), fit in self.fits.items() if fit in self.schedule.metas]
        info = run_info(self.schedule, self.command, started, done, boxed)
        made = self._result(evidence, info)
        seconds = {"total": round(time.perf_counter() - clock, 3), **info.seconds}
        made = made.model_copy(update={"run": info.model_copy(update={"seconds": seconds})})
        return made, sorted({stage.key for stage in self.schedule.metas})

    def _attribute(self, evidence: Evidence) -> Evidence:
        """Draw the further texts, fit to more and more of them, and score the test texts under the models."""
        scores, self.fits = wanted.text_scores(evidence), wanted.curve_predictions(evidence, self.curve)
        further = [Wanted(stage, label) for stage, label in self._further(evidence)]
        # The largest fits first: they take longest.
        fits = [Wanted(fit, _fitting(*at, fit)) for at, fit in sorted(self.fits.items(), key=lambda one: -one[0][1])]
        first = ladder.first(self.fits.values())
        self.schedule.drive(
            [*further, *first, *fits, *(Wanted(stage, f"score under {of}") for of, stage in scores.items())]
        )
        return replace(evidence, text_scores=scores)

    def _further(self, evidence: Evidence) -> Iterator[tuple[Stage, str]]:
        """The blocks of the longer sample sets, first blocks first, so that small fits start early."""
        blocks = [
            [*dict.fromkeys(block for fit in self.fits.values() for block in fit.further[place])]
            for place in range(len(evidence.kept))
        ]
        for number in range(max(map(len, blocks))):
            for of, own in zip(evidence.kept, blocks, strict=True):
                if number < len(own):
                    yield own[number], f"sample {of.name} {number + 1}/{len(own)}"

    def _result(self, evidence: Evidence, info: RunInfo) -> CurveResult:
        plan, kept = self.curve.plan, {of.name for of in evidence.kept}
        main, n_test = evidence.splits("level")[0], len(evidence.texts)
        view, units = View(evidence, "level", main), Units(evidence, main == split.UNSEEN_REPLICATE)
        ceiling = _ceiling(evidence, units) if evidence.text_scores else None
        return CurveResult(
            schema=1,
            protocol_digest=evidence.protocol,
            overrides=plan.overrides,
            seed=plan.seed,
            task=task_id(plan),
            preset=plan.preset,
            factor=factor_result(plan),
            corpus=plan.variants[0].settings.corpus.name,
            variants=tuple(evidence.names),
            diverged=tuple(of.name for of in evidence.variants if of.name not in kept),
            target="level",
            split=main,
            classes=view.classes,
            chance=1 / len(view.classes),
            n_test=n_test,
            own_texts=plan.texts - n_test // len(kept),
            sampled=max(self.curve.rows(self.curve.texts[-1]), plan.texts),
            units=units.name,
            ceiling=ceiling,
            curves=tuple(self._curve(view, units, one, ceiling) for one in self.baselines),
            run=info,
        )

    def _curve(self, view: View, units: Units, baseline: Baseline, ceiling: CurveCeiling | None) -> AttributorCurve:
        points = [self._point(view, units, baseline, texts, ceiling) for texts in self.curve.texts]
        law, half = fitted(points, ceiling, units.name)
        return AttributorCurve(attributor=identity(baseline), points=tuple(points), law=law, half=half)

    def _point(
        self, view: View, units: Units, baseline: Baseline, texts: int, ceiling: CurveCeiling | None
    ) -> CurvePoint:
        fits = {fold.number: self.fits[baseline.name, texts, fold.number] for fold in view.folds}
        failed = [why for fit in fits.values() if (why := self.schedule.failed.get(fit))]
        if failed:
            return CurvePoint(texts=texts, status="failed", error=failed[0])
        given = answers(view, {number: fit.read(self.schedule.store) for number, fit in fits.items()})
        found = score(view.frame, identity(baseline), given)
        known = _bound(ceiling)
        return CurvePoint(
            texts=texts,
            status="ok",
            n_train=min(self.schedule.metas[fit].n_train for fit in fits.values()),
            metrics={name: found.metrics[name] for name in FIGURES},
            extraction=discrimination.extraction(found.metrics["bits"], known) if known else None,
            bits_without=units.bits_without(given),
        )


def _fitting(name: str, texts: int, fold: int, fit: CurvePrediction) -> str:
    """What people call a fit."""
    which = "" if all(fit.known) else f" (without replicate {fold})"
    return f"attribute by {name}, {texts:,} texts{which}"


def _ceiling(evidence: Evidence, units: Units) -> CurveCeiling:
    """The ceiling of the ordinary run: on seen replicates where the attributors are tested on unseen ones."""
    name = split.SEEN_REPLICATE if units.held_out else split.UNSEEN_PROMPT
    view = View(evidence, "level", name)
    given = likelihood_answers(view)
    found = score(view.frame, CEILING if view.bounded else REFERENCE, given)
    metrics = {name: found.metrics[name] for name in FIGURES}
    return CurveCeiling(
        attributor=found.attributor, split=name, metrics=metrics, bits_without=units.bits_without(given)
    )


def _bound(ceiling: CurveCeiling | None) -> Interval | None:
    """Bits of the ceiling; None if no bound on attributors is known."""
    return ceiling.metrics["bits"] if ceiling and ceiling.attributor == CEILING else None


def fitted(
    points: Sequence[CurvePoint], ceiling: CurveCeiling | None, units: str
) -> tuple[LawFit | None, TextsNeeded | None]:
    """Fit a law to the bits of the points that did not fail, and find where they are half of the ceiling's."""
    sound = [point for point in points if point.status == "ok"]
    if len(sound) < 2:
        return None, None
    x = np.array([point.texts for point in sound], dtype=np.float64)
    y: Floats = np.array([point.metrics["bits"].value for point in sound])
    left_out = [(x, np.array(column)) for column in zip(*(point.bits_without for point in sound), strict=True)]
    all_points = Points(x, y, left_out, units)
    law = law_of(all_points, "settles") if len(sound) >= FEWEST else None
    most = _bound(ceiling)
    if most is None or ceiling is None or most.low is None or most.low <= discrimination.LEAST_BITS:
        return law, None
    heights = [HALF * bits for bits in ceiling.bits_without] if left_out else []
    return law, texts_needed(all_points, HALF * most.value, heights, law)


def run_curve(
    curve: CurvePlan,
    baselines: Sequence[Baseline],
    *,
    store: Store,
    engine: Engine,
    output: Path,
    device: str = "auto",
    command: Sequence[str] = (),
    sandbox: str = "auto",
    watch: Watch = lambda _: None,
) -> tuple[CurveResult, Path]:
    """Run a curve and write its result; returns the result and its folder.

    Work that the store holds is not done again, so an interrupted run goes on where it stopped. Raises UserError for
    input that turns out wrong on the way, StoreError for a disk that is full or read-only, JobError for a job that
    failed of a bug.
    """
    output = disk.usable_folder(output, "output folder")
    run = CurveRun(curve, baselines, Schedule(store, engine, device, watch), command, sandbox)
    result, keys = run.execute()
    folder = output / result.task.name / result.preset / result.run.id
    # First, so that no result stands in a folder while the cleaning of the store may remove what it rests on.
    store.refer(result.run.id, folder / NAME, keys)
    with disk.disk_faults(output, "output folder"), disk.whole(folder / NAME) as fresh:
        fresh.write_text(result.to_json(), encoding="utf-8")
    return result, folder


class CurveOverview(Record):
    """A curve in figures: the ordinary plan's, and what the curve adds.

    rows: texts drawn from each variant in all. texts_to_sample: of all variants, in blocks that the store lacks. fits:
    those that the store has are not done again. disk_bytes: in total.
    """

    plan: Overview
    texts: tuple[int, ...]
    attributors: tuple[str, ...]
    rows: int
    texts_to_sample: int
    fits: int
    disk_bytes: int


def curve_overview(curve: CurvePlan, baselines: Sequence[Baseline], root: Path) -> CurveOverview:
    """Describe a curve against the store at `root`, which need not exist. Nothing is written."""
    plan, found = curve.plan, overview(curve.plan, root, baselines=baselines)
    rows = max(curve.rows(curve.texts[-1]), plan.texts)
    blocks = {block for of in resolve(plan) for block in longer(of, plan, rows)}
    lacking = sum(not stores.entry_folder(root, block.kind, block.key).is_dir() for block in blocks)
    sampling = plan.variants[0].settings.sampling
    folds = plan.replicates if plan.holds_out_replicates else 1
    # As of the ordinary plan: about twelve bytes a sampled token.
    more = len(plan.variants) * (rows - plan.texts) * sampling.max_tokens * 12
    return CurveOverview(
        plan=found,
        texts=curve.texts,
        attributors=tuple(one.name for one in baselines),
        rows=rows,
        texts_to_sample=lacking * sampling.block,
        fits=len(curve.texts) * len(baselines) * folds,
        disk_bytes=found.disk_bytes + more,
    )
