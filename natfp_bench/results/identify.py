"""Which variant of a result most likely wrote given texts: from files and a result to a verdict.

The attributor is fitted again to the sample sets of the result, with the run's seed; nothing is unpickled. To measure
the power of the verdict, it is also fitted without each class in turn; these fits are kept in the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from natfp_bench.attributors import registry, sandbox
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import canonical_json
from natfp_bench.base.text import first_bytes
from natfp_bench.corpus.plan_from_texts import plan_from_labels
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline import ladder
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.engine import Engine, Job, Watch, values
from natfp_bench.pipeline.result import AttributorId, Result
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.left_out import HeldOut, LeftOut, Noticed, StrangerPower, WhoWrote, prior_of
from natfp_bench.pipeline.stages.sample import SampleStage
from natfp_bench.pipeline.store import Store, Warn
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.models_plan import TRACE, models_plan
from natfp_bench.plan.plan import Plan, Target
from natfp_bench.statistics import per_text
from natfp_bench.statistics.intervals import Ints
from natfp_bench.statistics.open_set import ALPHA, Calibration, Held, Seen, calibrating, outside_p, smallest_p

from .identification import Accuracy, Identification, TextVerdict, Verdict
from .origin import find_result, remake, sample_stages
from .predictions import read_predictions
from .unlabelled_texts import GivenText

ANSWER = "natfp_bench.pipeline.stages.left_out:answer"


@dataclass(frozen=True)
class KnownSources:
    """The sources that a text may be from: a result with its file and its plan, and the sample sets of its variants.

    labels: of the variants that did not diverge; samples: their sample sets.
    """

    result: Result
    path: Path
    plan: Plan
    store: Store
    target: Target
    labels: tuple[str, ...]
    samples: tuple[tuple[SampleStage, ...], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(set(self.labels)))

    def labelled(self, baseline: Baseline) -> dict[str, Any]:
        """The fields of every stage that shows the sample sets to a baseline."""
        plan = self.plan
        sandboxed = sandbox.applies("auto", baseline)
        known = {"baseline": baseline, "sandboxed": sandboxed, "seed": plan.seed}
        return {
            **known,
            "labels": self.labels,
            "samples": self.samples,
            "texts": plan.texts,
            "split": plan.split,
            "cut": plan.cut,
        }


def open_source(
    path: Path, target: Target, root: Path, *, include: Sequence[Path] = (), warn: Warn = lambda _: None
) -> KnownSources:
    """Find the result at a path, and its sample sets in a store.

    Raises UserError if there is no result or several, if the task has changed since, or if texts are missing.
    """
    found = find_result(path)
    result = results.read(found)
    kept = [index for index, variant in enumerate(result.variants) if variant.status == "ok"]
    plan = _plan(result, include)
    if plan.fixed_texts is None and not (root / "store.json").is_file():
        raise UserError(
            f"no store at {root}\n  --store names the store of the run; {remake(result)}   makes its texts again"
        )
    store = Store(root, warn)
    samples = sample_stages(result, [result.variants[index] for index in kept], store, include=include)
    labels = tuple(plan.variants[index].label(target) for index in kept)
    if len(set(labels)) < 2:
        raise UserError(f"{found}: fewer than two {target}s have texts")
    return KnownSources(result, found, plan, store, target, labels, tuple(samples))


def _plan(result: Result, include: Sequence[Path]) -> Plan:
    """Plan the run of a result again; raises UserError if the plan has changed since."""
    name = result.task.name
    if result.fixed_texts:
        plan = fixed_texts.make_fixed_plan(name, include=include)
        same = plan.fixed_texts == result.fixed_texts
    else:
        overrides = {path: canonical_json(value) for path, value in result.overrides.items()}
        limit = result.samples.per_variant if result.samples else None
        if result.variants[0].source == "texts":
            labels, column = result.factor.levels, result.factor.name
            options: dict[str, Any] = {"overrides": overrides, "seed": result.seed, "texts": limit or 0}
            plan = plan_from_labels(name, column, labels, result.preset, **options)
        elif TRACE in result.task.tags:
            models = [of.settings["source"]["model"] for of in result.variants]
            plan = models_plan(models, result.preset, overrides=overrides, seed=result.seed, limit=limit)
        else:
            plan = make_plan(name, result.preset, overrides=overrides, seed=result.seed, limit=limit, include=include)
        planned = [(of.name, of.settings.model_dump(mode="json")) for of in plan.variants]
        same = planned == [(of.name, of.settings) for of in result.variants]
    if not same:
        raise UserError(
            f"the result is outdated: the task {name}, the preset {result.preset} or the fixed texts have changed\n"
            f"  natfp-bench run --task {name} --preset {result.preset}   makes a new one"
        )
    return plan


def choose(known: KnownSources) -> Baseline:
    """Choose the baseline of a result with the most bits about its target, on the test texts that calibrate.

    The other half of the test texts is not used, because p-values compare with it. Fast baselines are preferred, since
    one is fitted again for each class. Floors, and baselines that are neither bundled nor installed, are excluded.
    Raises UserError if none is left, or if the predictions are missing or damaged.
    """
    target: Target = known.target if len(known.plan.targets) > 1 else "level"
    at_hand = {found.name: found for found in [*registry.bundled(), *registry.installed()]}
    scores = {
        score.attributor.name: score
        for score in reversed(known.result.scores)
        if score.target == target and score.status == "ok" and score.attributor.access == "text"
    }
    able = [at_hand[name] for name in scores if name in at_hand]
    able = [baseline for baseline in able if not baseline.card.floor and baseline.card.knowledge == "texts"]
    if not able:
        raise UserError("no baseline of this result is bundled or installed\n  --baseline NAME names one")
    able = [baseline for baseline in able if baseline.card.cost == "fast"] or able
    try:
        predictions = read_predictions(known.path)
        answers = {baseline.name: predictions.of(scores[baseline.name]) for baseline in able}
    except UserError as error:
        raise UserError(f"{error}\n  --baseline NAME needs no predictions") from None

    def bits(baseline: Baseline) -> float:
        own = answers[baseline.name]
        return float(per_text.bits(own.proba, own.truth)[calibrating(own.prompts, known.result.seed)].mean())

    return max(able, key=bits)


def identify(
    known: KnownSources, baseline: Baseline, given: Sequence[GivenText], engine: Engine, watch: Watch
) -> Identification:
    """Find out who most likely wrote given texts, one by one and all together, and how reliable that is.

    The attributor's code runs in workers, within the limits of its card. Raises AttributorError if it fails.
    """
    ladder.require_texts(baseline, "identify gives labelled texts alone; --baseline names another")
    cut = known.plan.cut
    texts = tuple(one.text if cut is None else first_bytes(one.text, cut) for one in given)
    classes, seed, n = known.classes, known.plan.seed, len(texts)
    whole, power = _fits(known, baseline, texts, engine, watch)
    tests = HeldOut.of(LeftOut(**known.labelled(baseline), left_out=None), known.store)
    label = tests.label
    asked = Seen(whole.proba[len(label) :], whole.familiarity[len(label) :])
    seen, prior = whole.take(np.arange(len(label))), prior_of(known.labels, classes)
    held = Held.of(seen, label, tests.variant, tests.prompts, prior, seed)

    sizes = sorted({1, n})
    calibrated = {size: Calibration.of(held, size, seed) for size in sizes}
    verdicts = {size: _verdicts(held, asked, calibrated[size], classes, seed) for size in sizes}
    card = baseline.card
    return Identification(
        schema=1,
        run=known.result.run.id,
        task=known.result.task.name,
        preset=known.result.preset,
        target=known.target,
        attributor=AttributorId(
            name=card.name, version=card.version, digest=baseline.digest, access="text", floor=card.floor
        ),
        classes=classes,
        prior=tuple(held.prior.tolist()),
        texts=tuple(
            TextVerdict(file=one.file, row=one.row, characters=len(one.text), **dict(verdict))
            for one, verdict in zip(given, verdicts[1], strict=True)
        ),
        pooled=verdicts[n][0] if n > 1 else None,
        held_out=tuple(
            Accuracy(size=size, accuracy=of.accuracy, temperature=of.temperature, smallest_p=smallest_p(held, size))
            for size, of in calibrated.items()
        ),
        power=tuple(power),
        notes=tuple(_notes(known, texts, tests.lengths, calibrated[n], held)),
    )


def _verdicts(held: Held, asked: Seen, by: Calibration, classes: Sequence[str], seed: int) -> list[Verdict]:
    """Verdicts on given texts, in consecutive bundles of the calibration's size."""
    drawn = np.arange(len(asked.familiarity)).reshape(-1, by.size)
    proba = by.posterior(asked.proba[drawn], held.prior)
    p = outside_p(held, asked, drawn, seed)
    return [
        Verdict(most_likely=classes[int(row.argmax())], posterior=tuple(row.tolist()), p=float(of))
        for row, of in zip(proba, p, strict=True)
    ]


def _notes(known: KnownSources, texts: Sequence[str], lengths: Ints, pooled: Calibration, held: Held) -> list[str]:
    """Limits of the verdicts: unusual lengths, repeated texts, too few held-out texts, levels known from few models."""
    notes = []
    if len(texts) > 1:
        notes.append(
            "the p-value of all texts together holds if no two of them continue one prompt or come from one group: "
            "such texts are alike, and would look like another source"
        )
    shortest, longest = int(lengths.min()), int(lengths.max())
    if other := sum(not shortest <= len(text) <= longest for text in texts):
        notes.append(
            f"{other} of {len(texts)} texts are shorter or longer than any held-out text ({shortest} to {longest} "
            "characters): posteriors and p-values are not calibrated for them; cut texts to such a length"
        )
    if twice := sum(count - 1 for count in Counter(texts).values()):
        notes.append(f"{twice} of {len(texts)} texts are repetitions, and each repetition counts as evidence")
    for size in sorted({1, len(texts)}):
        if (least := smallest_p(held, size)) >= ALPHA:
            what = "a single text" if size == 1 else f"{size} texts"
            notes.append(
                f"there are too few held-out texts for a p-value below {least:.2f} for {what}: sample more texts"
            )
    if pooled.fitted < pooled.size:
        notes.append(
            f"held-out texts suffice only for bundles of {pooled.fitted}: the texts count as only so much evidence"
        )
    if known.target == "level" and len(set(known.labels)) < len(known.labels):
        notes.append(
            "levels are known only from the models of this result, and posteriors and p-values are about their texts: "
            "another model of the same level may be identified less well, or seem to be none of these"
        )
    return notes


def _fits(
    known: KnownSources, baseline: Baseline, texts: tuple[str, ...], engine: Engine, watch: Watch
) -> tuple[Seen, list[Noticed]]:
    """Fit to all classes, for all test texts and then the given ones, and without each class, to measure the power."""
    shared = known.labelled(baseline)
    question = WhoWrote(LeftOut(**shared, left_out=None), str(known.store.root), texts)
    job = Job(f"fit {baseline.name} to all", "study", ANSWER, question, baseline.card.limits)
    seen = Seen(*values(engine, [job], watch)[job.name])
    # If there are two classes, neither can be left out: one class alone is nothing to fit to.
    fits = [LeftOut(**shared, left_out=name) for name in known.classes if len(known.classes) > 2]
    sizes = tuple(sorted({1, len(texts)}))
    powers = {fit: StrangerPower(**shared, fit=fit, sizes=sizes) for fit in fits}
    missing = {fit: power for fit, power in powers.items() if known.store.open(power.kind, power.key) is None}
    wanted = [Wanted(fit, f"fit {baseline.name} without {fit.left_out}") for fit in missing]
    wanted += [Wanted(power, f"is {fit.left_out} noticed?") for fit, power in missing.items()]
    Schedule(known.store, engine, "cpu", watch).drive(wanted)
    return seen, [row for power in powers.values() for row in power.read(known.store)]
