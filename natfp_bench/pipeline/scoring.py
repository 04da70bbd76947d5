"""Scores of every attributor, and of the likelihoods, for one target on one split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from natfp_bench.attributors.registry import Baseline
from natfp_bench.plan import split
from natfp_bench.plan.plan import Target
from natfp_bench.plan.split import Fold
from natfp_bench.plan.task_files import NO_TRACE
from natfp_bench.statistics import candidates, ceiling, discrimination, intervals, metrics, paired, per_text
from natfp_bench.statistics.candidates import CandidateCurve
from natfp_bench.statistics.group_test import group_log10_p
from natfp_bench.statistics.intervals import Floats, Interval, Ints

from .evidence import Evidence
from .prediction_columns import PREDICTIONS
from .result import LIKELIHOOD_REFERENCE, AttributorId, Score

CEILING = AttributorId(name="ceiling", version="1", digest=None, access="likelihood", floor=False, knowledge="weights")
REFERENCE = CEILING.model_copy(update={"name": LIKELIHOOD_REFERENCE})

BINOMIAL = "exact binomial"

PARTS = 10
"""Number of parts of the prompts for which a score has the accuracies, if no replicates are held out."""


@dataclass(frozen=True)
class Frame:
    """What the scores of some answers depend on besides them: target, split, sorted classes, seed of the intervals.

    order: the classes in the order of the task, empty if the levels have no order. units: what intervals are resampled
    by (`Plan.units`). seeds: whether the classes are many and nothing but seeds, so that any of them could be others.
    """

    target: Target
    split: str
    classes: tuple[str, ...]
    order: tuple[str, ...]
    seed: int
    units: str = "prompts"
    seeds: bool = False


@dataclass(frozen=True)
class View:
    """One target on one split: the classes, the class of each variant, and the test texts of each fold."""

    evidence: Evidence
    target: Target
    split: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({of.variant.label(self.target) for of in self.evidence.kept}))

    @property
    def frame(self) -> Frame:
        """The frame of all scores of this view."""
        factor, classes = self.evidence.plan.task.factor, self.classes
        ordered = factor.levels if factor.ordered and self.target == "level" else ()
        order = tuple(name for name in ordered if name in classes)
        plan = self.evidence.plan
        seeds = not factor.crossed and all(path.startswith(NO_TRACE) for path in factor.fields)
        many = seeds and self.target == "level" and not plan.task.control and len(classes) >= candidates.FEWEST
        return Frame(self.target, self.split, classes, order, plan.seed, plan.units, many)

    @property
    def class_of(self) -> Ints:
        """Class of each kept variant."""
        classes = self.classes
        return np.array([classes.index(of.variant.label(self.target)) for of in self.evidence.kept], dtype=np.int64)

    @property
    def folds(self) -> list[Fold]:
        """The folds of the split."""
        return split.folds(self.split, self.evidence.replicates)

    def rows(self, fold: Fold) -> Ints:
        """Indices of the test texts of a fold."""
        return np.flatnonzero(fold.tested[self.evidence.texts.source])

    @property
    def bounded(self) -> bool:
        """Whether the likelihoods bound every attributor: all candidates are known and share a tokenizer."""
        plan = self.evidence.plan
        return self.split != split.UNSEEN_REPLICATE and plan.shared_tokenizer and plan.source.has_likelihood


@dataclass(frozen=True)
class Answers:
    """The answers of one attributor to the test texts of a view, fold after fold; writers: the variant of each text."""

    proba: Floats
    truth: Ints
    writers: NDArray[np.str_]
    prompts: Ints
    rows: Ints
    fold: Ints

    @property
    def credit(self) -> Floats:
        """Credit of each answer."""
        return per_text.credits(self.proba, self.truth)

    def by_fold(self) -> list[tuple[Floats, Ints]]:
        """Probabilities and truth of each fold."""
        return [(self.proba[self.fold == number], self.truth[self.fold == number]) for number in np.unique(self.fold)]


def answers(view: View, proba: Mapping[int, Floats]) -> Answers:
    """Concatenate the answers of a view's folds, each (all test texts, classes)."""
    texts = view.evidence.texts
    rows = [view.rows(fold) for fold in view.folds]
    joined = np.concatenate(rows)
    return Answers(
        proba=np.concatenate([proba[fold.number][mine] for fold, mine in zip(view.folds, rows, strict=True)]),
        truth=view.class_of[texts.source[joined]],
        writers=np.array(view.evidence.names)[texts.source[joined]],
        prompts=texts.prompts[joined],
        rows=joined,
        fold=np.concatenate([np.full(len(mine), f.number) for f, mine in zip(view.folds, rows, strict=True)]),
    )


def likelihood_answers(view: View) -> Answers:
    """Posterior of a view's classes, from the likelihoods of the variants that each fold trains on."""
    log_likelihood = view.evidence.log_likelihood()
    found = {}
    for fold in view.folds:
        known = log_likelihood[:, fold.known]
        if not view.bounded:
            # If no known variant can write a text, all classes are equally likely.
            known[np.isneginf(known).all(axis=1)] = 0.0
        found[fold.number] = ceiling.posterior(known, view.class_of[fold.known])
    return answers(view, found)


def score_view(view: View) -> tuple[list[Score], dict[str, Answers]]:
    """Score every attributor, and the likelihoods if there are any, on one view; returns their answers too."""
    evidence = view.evidence
    given: dict[str, Answers] = {}
    for baseline in evidence.baselines:
        if (baseline.name, view.target) not in evidence.failed:
            proba = {fold.number: evidence.proba(baseline.name, view.target, fold.number) for fold in view.folds}
            given[baseline.name] = answers(view, proba)
    credit = {name: one.credit for name, one in given.items()}
    prompts = next(iter(given.values())).prompts if given else None
    rungs = {baseline.name: baseline.card.knowledge for baseline in evidence.baselines}
    ranks = {} if prompts is None else paired.ranks_within(rungs, credit, prompts, evidence.plan.seed)
    by_likelihood = likelihood_answers(view) if evidence.text_scores else None
    frame, best = view.frame, CEILING if view.bounded else REFERENCE
    top = score(frame, best, by_likelihood) if by_likelihood else None
    scores = []
    for baseline in evidence.baselines:
        who = identity(baseline)
        if baseline.name in given:
            learnt, rank = _n_train(view, baseline), ranks[baseline.name]
            scores.append(score(frame, who, given[baseline.name], n_train=learnt, rank=rank, top=top))
        else:
            scores.append(failed_score(frame, who, evidence.failed[baseline.name, view.target]))
    if top is None or by_likelihood is None:
        return scores, given
    return [*scores, top], {**given, best.name: by_likelihood}


def identity(baseline: Baseline) -> AttributorId:
    """Who answers, as results name it."""
    card = baseline.card
    found = AttributorId(name=card.name, version=card.version, digest=baseline.digest, access="text", floor=card.floor)
    return found.model_copy(update={"knowledge": card.knowledge})


def _n_train(view: View, baseline: Baseline) -> int | None:
    """Number of training texts of a baseline, in the fold with the fewest."""
    predictions, asked = view.evidence.predictions.items(), (baseline.name, view.target)
    found = [prediction for (name, target, _), prediction in predictions if (name, target) == asked]
    return min((view.evidence.prediction_meta(prediction).n_train for prediction in found), default=None)


def _framed(frame: Frame) -> dict[str, Any]:
    chance = 1 / len(frame.classes)
    return {"split": frame.split, "target": frame.target, "classes": frame.classes, "chance": chance}


def failed_score(frame: Frame, who: AttributorId, error: str) -> Score:
    """Score of an attributor that failed."""
    return Score(attributor=who, status="failed", error=error, **_framed(frame))


def score(
    frame: Frame,
    who: AttributorId,
    given: Answers,
    *,
    n_train: int | None = None,
    rank: int | None = None,
    top: Score | None = None,
) -> Score:
    """Score the answers of one attributor; top: the score of the likelihoods, for extraction if that is a ceiling."""
    found = _metrics(frame, given)
    log10_p, p_test = _test(frame, given)
    ceiling_bits = top.metrics["bits"] if top and top.attributor == CEILING else None
    return Score(
        attributor=who,
        status="ok",
        n_train=n_train,
        n_test=len(given.truth),
        log10_p=log10_p,
        p_test=p_test,
        rank=rank,
        metrics=found,
        parts=_parts(frame, given),
        by_variant=_by_variant(given, given.credit),
        bits_by_variant=_by_variant(given, per_text.bits(given.proba, given.truth)),
        candidates=_candidates(given) if frame.seeds else None,
        confusion=tuple(map(tuple, per_text.confusion(given.proba, given.truth).tolist())),
        extraction=discrimination.extraction(found["bits"], ceiling_bits) if ceiling_bits else None,
        **_framed(frame),
    )


def _candidates(given: Answers) -> CandidateCurve:
    """Accuracy among fewer candidates: an attributor that has learnt all classes chooses by what it states for all."""
    return candidates.candidate_curve(candidates.wins(given.proba, given.truth), given.truth)


def _test(frame: Frame, given: Answers) -> tuple[float | None, str | None]:
    """Test the accuracy against chance: its p-value as log10, and which test it is or why there is none."""
    if frame.split != split.UNSEEN_PROMPT:
        return None, None
    if frame.units == "groups":
        return group_log10_p(given.proba, given.truth, given.prompts, frame.seed)
    hits = math.fsum(given.credit)
    return paired.binomial_log10_p(hits, len(given.truth), 1 / len(frame.classes)), BINOMIAL


def _parts(frame: Frame, given: Answers) -> tuple[float, ...]:
    """Accuracy on each part of the test texts; parts share no prompt, or no replicate."""
    if frame.split == split.UNSEEN_REPLICATE:
        return tuple(float(per_text.credits(proba, truth).mean()) for proba, truth in given.by_fold())
    prompts, number = np.unique(given.prompts, return_inverse=True)
    part = number % min(PARTS, len(prompts))
    return tuple((np.bincount(part, given.credit) / np.bincount(part)).tolist())


def _by_variant(given: Answers, values: Floats) -> dict[str, float]:
    """The mean of some values of the answers over the texts of each variant."""
    names, variant = np.unique(given.writers, return_inverse=True)
    mean = np.bincount(variant, values) / np.bincount(variant)
    return dict(zip(names.tolist(), mean.tolist(), strict=True))


def answered(frame: Frame, proba: Floats, truth: Ints) -> metrics.Answered:
    """Answers as metrics need them, with the order of the columns by level."""
    return metrics.Answered(proba, truth, [frame.classes.index(name) for name in frame.order])


def _metrics(frame: Frame, given: Answers) -> dict[str, Interval]:
    """All metrics: over replicates if they are held out, else with intervals by prompts if they have any."""
    if frame.split != split.UNSEEN_REPLICATE:
        found = metrics.score_all(answered(frame, given.proba, given.truth), given.prompts, frame.seed)
        units = {"prompts": frame.units}
        return {name: one.model_copy(update={"units": units.get(one.units, one.units)}) for name, one in found.items()}
    folds = [metrics.fold_values(answered(frame, proba, truth)) for proba, truth in given.by_fold()]
    shared = [name for name in folds[0] if all(name in fold for fold in folds)]
    return {name: intervals.fold_interval([fold[name] for fold in folds]) for name in shared}


def table(view: View, given: Mapping[str, Answers]) -> pa.Table:
    """All answers of a view, as rows of `predictions.parquet`."""
    texts = view.evidence.texts
    classes = np.array(view.classes)
    tables = []
    for attributor, one in given.items():
        n = len(one.truth)
        columns = {
            "variant": one.writers,
            "row": texts.rows[one.rows],
            "prompt": one.prompts,
            "fold": one.fold.astype(np.int32),
            "split": [view.split] * n,
            "target": [view.target] * n,
            "attributor": [attributor] * n,
            "label": classes[one.truth],
            "proba": pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * len(classes), one.proba.ravel()),
        }
        tables.append(pa.table(columns, schema=PREDICTIONS))
    return pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()
