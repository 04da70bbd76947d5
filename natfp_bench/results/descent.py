"""From which ancestor, if any, does the writer of given texts descend: from texts and a result to p-values.

The attributor is fitted again to all descendants of the result, and asked about the given texts and about as many texts
of each stranger (`statistics.verification`). How often a real descendant would be recognised is measured on the
descendants of the result, by the fits that have not met them; these are kept in the store.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import UserError
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline import ladder, scoring
from natfp_bench.pipeline.engine import Engine, Job, Watch, values
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.sample import SampleStage
from natfp_bench.pipeline.stages.verification import VerificationStudy, WhoseDescendant
from natfp_bench.pipeline.variants import resolve_strangers
from natfp_bench.plan.ancestors import levels_are_ancestors
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.verification import ALPHA, descent_p, support, verified

from .identification import Descent, Pair
from .identify import KnownSources
from .origin import remake
from .unlabelled_texts import GivenText

ANSWER = "natfp_bench.pipeline.stages.verification:answer"


def descent(
    known: KnownSources, baseline: Baseline, given: Sequence[GivenText], engine: Engine, watch: Watch
) -> Descent:
    """Find out from which ancestor of a result the writer of given texts descends, if one model wrote them all.

    Raises UserError if the levels of the result are no ancestors, if it has no strangers, or if the store lacks their
    texts; AttributorError if the attributor fails.
    """
    ladder.require_texts(baseline, "identify gives labelled texts alone; --baseline names another")
    study = _study(known, baseline)
    fewest = min(map(len, study.written(known.store)))
    cut = known.plan.cut
    texts = tuple(one.text if cut is None else first_bytes(one.text, cut) for one in given)
    judged = texts[:fewest]
    size, m = len(judged), len(study.strangers)
    label = f"is {baseline.name} right about descendants that it has not met?"
    Schedule(known.store, engine, "cpu", watch).drive([Wanted(study, label)])
    strangers, own = _asked(study, known, judged, engine, watch)
    mean = support(own).mean(axis=0, keepdims=True)
    p, adjusted = descent_p(mean, support(strangers).reshape(m, size, -1).mean(axis=1))
    pairs = [
        Pair(ancestor=name, support=float(mean[0, at]), p=float(p[0, at]), p_adjusted=float(adjusted[0, at]))
        for at, name in enumerate(known.classes)
    ]
    folds = study.read_answers(known.store)
    # The descendants of the result may have fewer texts than the strangers.
    least = min(int(np.unique(fold.model, return_counts=True)[1].min()) for fold in folds)
    power = verified(baseline.name, folds, min(size, least))
    return Descent(
        schema=1,
        run=known.result.run.id,
        task=known.result.task.name,
        preset=known.result.preset,
        attributor=scoring.identity(baseline),
        texts=len(texts),
        judged=size,
        strangers=m,
        smallest_p=1 / (1 + m),
        pairs=tuple(sorted(pairs, key=lambda one: -one.support)),
        recognised=power.recognised,
        false_alarms=power.false_alarms,
        notes=tuple(_notes(known, study, texts, fewest)),
    )


def _study(known: KnownSources, baseline: Baseline) -> VerificationStudy:
    """What is asked of an attributor; raises UserError if the result does not have what it takes."""
    result, plan = known.result, known.plan
    name = result.task.name
    if not levels_are_ancestors(plan.task):
        raise UserError(
            f"--descent: the levels of {name} are no ancestors\n"
            "  it takes a result of base_id, base_far_id, teacher_id or teacher_same_init_id"
        )
    command = f"{remake(result)} --set analysis.strangers={round(1 / ALPHA) - 1}"
    if not plan.analysis.strangers or result.fixed_texts:
        raise UserError(f"--descent: this result of {name} has no strangers to compare with\n  {command}   makes some")
    replicates = tuple(of.replicate for of in result.variants if of.status == "ok")
    if len(set(replicates)) < 2:
        raise UserError(f"--descent: descendants of one replicate alone are left in this result of {name}")
    shared = {**known.labelled(baseline), "fold": UNSEEN_REPLICATE, "replicates": replicates}
    return VerificationStudy(**shared, strangers=tuple(_strangers(known)))


def _strangers(known: KnownSources) -> list[tuple[SampleStage, ...]]:
    """Sample sets of the strangers that did not diverge; raises UserError if the store lacks some."""
    found = []
    for of in resolve_strangers(known.plan):
        model = known.store.open(of.model.kind, of.model.key)
        if model is not None and model.meta.get("status") != "ok":
            continue
        if any(known.store.open(stage.kind, stage.key) is None for stage in of.samples):
            raise UserError(
                f"the texts of {of.name} are not in the store {known.store.root}\n"
                f"  {remake(known.result)}   makes them again; --store names another store"
            )
        found.append(of.samples)
    if not found:
        raise UserError("all strangers of this result diverged, so that there is nothing to compare with")
    return found


def _asked(
    study: VerificationStudy, known: KnownSources, given: tuple[str, ...], engine: Engine, watch: Watch
) -> tuple[Floats, Floats]:
    """Probabilities of the ancestors for the texts of strangers, and for the given ones."""
    question = WhoseDescendant(study, str(known.store.root), given, len(given))
    job = Job(f"fit {study.baseline.name} to all", "study", ANSWER, question, study.baseline.card.limits)
    strangers, own = values(engine, [job], watch)[job.name]
    return strangers, own


def _notes(known: KnownSources, study: VerificationStudy, texts: Sequence[str], fewest: int) -> list[str]:
    """Limits of the answer: lengths, repetitions, more texts than strangers have, too few strangers."""
    notes = [
        "p holds if the writer was made as the strangers were: the same recipe, and the same kind of descent, from an "
        "ancestor of its own; and if one model wrote all texts, in the same way of sampling"
    ]
    if len(texts) > fewest:
        notes.append(f"strangers have {fewest} texts each, so the first {fewest} of {len(texts)} texts are judged")
    lengths = [len(text) for own in study.written(known.store) for text in own]
    if other := sum(not min(lengths) <= len(text) <= max(lengths) for text in texts[:fewest]):
        notes.append(
            f"{other} texts are shorter or longer than any text of a stranger ({min(lengths)} to {max(lengths)} "
            "characters): p does not hold for them; cut texts to such a length"
        )
    if twice := len(texts[:fewest]) - len(set(texts[:fewest])):
        notes.append(f"{twice} texts are repetitions, and each repetition counts as evidence")
    if (m := len(study.strangers)) < (need := round(1 / ALPHA) - 1):
        notes.append(
            f"{m} strangers are too few for any p of {ALPHA}: run the task again with --set analysis.strangers={need}"
        )
    return notes
