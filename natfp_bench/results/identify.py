"""Which variant of a result most likely wrote given texts: from files and a result to a verdict.

Attributors are fitted anew from the sample sets that the result rests on, by the run's seed; nothing is unpickled. What
the verdict's power rests on, fits without each class in turn, is kept in the store as studies are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from natfp_bench.attributors import registry
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.corpus.labelled_plan import plan_of_labels
from natfp_bench.corpus.tokens import first_bytes
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline import scoring
from natfp_bench.pipeline.engine import Engine, Job, Outcome, Watch
from natfp_bench.pipeline.result import AttributorId, Result
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.left_out import HeldOut, LeftOut, Noticed, Question, StrangerPower, prior_of
from natfp_bench.pipeline.stages.sample import SampleStage
from natfp_bench.pipeline.store import Store, Warn
from natfp_bench.plan.plan import Plan, Target, make_plan
from natfp_bench.statistics import metrics
from natfp_bench.statistics.metrics import Ints
from natfp_bench.statistics.open_set import ALPHA, Calibration, Held, Seen, calibrating, outside_p, smallest_p

from .origin import find_result, remake, sample_stages
from .unlabelled_texts import GivenText

SCHEMA = 1

ANSWER = "natfp_bench.pipeline.stages.left_out:answer"


class Verdict(Record):
    """Who most likely wrote a text, or several, if one of the classes did, and whether one of them did.

    posterior: of the classes, in their order, every one as likely before as its share of training texts. p: of its
    being by one of them, whichever it is; below 0.05 it is unlike the texts of every one of them.
    """

    most_likely: str
    posterior: tuple[float, ...]
    p: float


class TextVerdict(Verdict):
    """The verdict on one text: its file, its row there from 1 on (none for a file that is one text), its length."""

    file: str
    row: int | None
    characters: int


class Accuracy(Record):
    """Share of held-out bundles of `size` texts whose most likely class is the true one; what T calibrated them."""

    size: int
    accuracy: float
    temperature: float
    smallest_p: float = Field(description="no p-value of so many texts can be smaller")


class Identification(Record):
    """All that `identify` found: what --json prints.

    pooled: the verdict on all texts together, if one source wrote them all; none of one text. held_out: of single
    texts, then of as many as are given. power: class by class, for the same sizes; none of two classes, of which
    neither could be left out. notes: what to mind in reading it.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    run: str
    task: str
    preset: str
    target: Target
    attributor: AttributorId
    classes: tuple[str, ...]
    prior: tuple[float, ...]
    texts: tuple[TextVerdict, ...]
    pooled: Verdict | None
    held_out: tuple[Accuracy, ...]
    power: tuple[Noticed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A result, the plan that it is of, and the labels and the keys of its variants' sample sets."""

    result: Result
    folder: Path
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
        known = {"baseline": baseline, "seed": plan.seed, "labels": self.labels, "samples": self.samples}
        return {**known, "texts": plan.texts, "split": plan.split, "cut": plan.cut}


def open_source(
    path: Path, target: Target, root: Path, *, include: Sequence[Path] = (), warn: Warn = lambda _: None
) -> Source:
    """Find the result that a path names, and its sample sets in a store.

    Raises UserError where there is none or several, where the task has changed since, or where texts are gone.
    """
    found = find_result(path)
    result = results.read(found)
    kept = [index for index, variant in enumerate(result.variants) if variant.status == "ok"]
    plan = _plan(result, include)
    if plan.fixed_texts is None and not (root / "store.json").is_file():
        raise UserError(
            f"no store at {root}\n  --store names the one of the run; {remake(result)}   makes its texts again"
        )
    store = Store(root, warn)
    samples = sample_stages(result, [result.variants[index] for index in kept], store, include=include)
    labels = tuple(plan.variants[index].label(target) for index in kept)
    if len(set(labels)) < 2:
        raise UserError(f"{found}: there are no two {target}s with texts to choose between")
    return Source(result, found.parent, plan, store, target, labels, tuple(samples))


def _plan(result: Result, include: Sequence[Path]) -> Plan:
    """Plan the run of a result again; raises UserError where that is another one by now."""
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
            plan = plan_of_labels(name, column, labels, result.preset, **options)
        else:
            plan = make_plan(name, result.preset, overrides=overrides, seed=result.seed, limit=limit, include=include)
        planned = [(of.name, of.settings.model_dump(mode="json")) for of in plan.variants]
        same = planned == [(of.name, of.settings) for of in result.variants]
    if not same:
        raise UserError(
            f"the result is of another {name}: the task, the preset {result.preset} or its fixed texts have changed\n"
            f"  natfp-bench run --task {name} --preset {result.preset}   makes one of what they are now"
        )
    return plan


def choose(source: Source) -> Baseline:
    """Choose the baseline of a result that tells its target best: most bits on the test texts that calibrate.

    The other half of the test texts has no say, for p-values compare with it. Fast ones are preferred, for one is
    fitted again for each class; floors, and baselines that are neither bundled nor installed, are passed over. Raises
    UserError where none is left, or where the predictions are gone.
    """
    target: Target = source.target if len(source.plan.targets) > 1 else "level"
    known = {found.name: found for found in [*registry.bundled(), *registry.installed()]}
    scores = {
        score.attributor.name: score
        for score in reversed(source.result.scores)
        if score.target == target and score.status == "ok" and score.attributor.access == "text"
    }
    able = [known[name] for name in scores if name in known and not known[name].card.floor]
    if not able:
        raise UserError("no baseline of this result is at hand\n  --baseline NAME names one")
    able = [baseline for baseline in able if baseline.card.cost == "fast"] or able
    path = source.folder / "predictions.parquet"
    try:
        table = pq.read_table(path, columns=scoring.PREDICTIONS.names, partitioning=None).cast(scoring.PREDICTIONS)
        said = {baseline.name: _bits(table, scores[baseline.name], source.result.seed) for baseline in able}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{path}: missing or damaged ({what})\n  --baseline NAME needs no predictions") from None
    return max(able, key=lambda baseline: said[baseline.name])


def _bits(table: pa.Table, score: results.Score, seed: int) -> float:
    """Mean bits of a score's answers on the texts that calibrate."""
    about = {"attributor": score.attributor.name, "target": score.target, "split": score.split}
    for column, value in about.items():
        table = table.filter(pc.equal(table[column], value))
    lists = table["proba"].combine_chunks()
    whole = len(table) == score.n_test and not any(table[name].null_count for name in table.column_names)
    if not whole or not pc.all(pc.equal(lists.value_lengths(), len(score.classes))).as_py():
        raise ValueError(f"no {score.n_test} answers for {len(score.classes)} classes by {score.attributor.name}")
    proba = lists.flatten().to_numpy().reshape(-1, len(score.classes))
    if not (proba >= 0).all():
        raise ValueError(f"answers by {score.attributor.name} that are no probabilities")
    truth = np.array([score.classes.index(label) for label in table["label"].to_pylist()], dtype=np.int64)
    return float(metrics.bits(proba, truth)[calibrating(table["prompt"].to_numpy(), seed)].mean())


def identify(
    source: Source, baseline: Baseline, given: Sequence[GivenText], engine: Engine, watch: Watch
) -> Identification:
    """Say who most likely wrote given texts, one by one and all together, and how well that can be said.

    The attributor's code runs in workers, within its card's limits. Raises AttributorError where it fails.
    """
    cut = source.plan.cut
    texts = tuple(one.text if cut is None else first_bytes(one.text, cut) for one in given)
    classes, seed, n = source.classes, source.plan.seed, len(texts)
    whole, power = _fits(source, baseline, texts, engine, watch)
    tests = HeldOut.of(LeftOut(**source.labelled(baseline), left_out=None), source.store)
    label = tests.label
    asked = Seen(whole.proba[len(label) :], whole.familiarity[len(label) :])
    held = Held(
        whole.take(np.arange(len(label))), label, calibrating(tests.prompts, seed), prior_of(source.labels, classes)
    )

    sizes = sorted({1, n})
    calibrated = {size: Calibration.of(held, size, seed) for size in sizes}
    verdicts = {size: _verdicts(held, asked, calibrated[size], classes, seed) for size in sizes}
    card = baseline.card
    return Identification(
        schema=1,
        run=source.result.run.id,
        task=source.result.task.name,
        preset=source.result.preset,
        target=source.target,
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
        notes=tuple(_notes(source, texts, tests.lengths, calibrated[n], held)),
    )


def _verdicts(held: Held, asked: Seen, by: Calibration, classes: Sequence[str], seed: int) -> list[Verdict]:
    """Verdicts on given texts, in bundles of the calibration's size, one after another."""
    drawn = np.arange(len(asked.familiarity)).reshape(-1, by.size)
    proba = by.posterior(asked.proba[drawn], held.prior)
    p = outside_p(held, asked, drawn, seed)
    return [
        Verdict(most_likely=classes[int(row.argmax())], posterior=tuple(row.tolist()), p=float(of))
        for row, of in zip(proba, p, strict=True)
    ]


def _notes(source: Source, texts: Sequence[str], lengths: Ints, pooled: Calibration, held: Held) -> list[str]:
    """What to mind: texts of unusual lengths, texts given twice, too few held-out texts, levels told by models."""
    notes = []
    shortest, longest = int(lengths.min()), int(lengths.max())
    if other := sum(not shortest <= len(text) <= longest for text in texts):
        notes.append(
            f"{other} of {len(texts)} texts are shorter or longer than any held-out text ({shortest} to {longest} "
            "characters): neither posterior nor p-value is calibrated for them; cut them to such a length"
        )
    if twice := sum(count - 1 for count in Counter(texts).values()):
        notes.append(f"{twice} texts are given more than once, and count as evidence each time")
    for size in sorted({1, len(texts)}):
        if (least := smallest_p(held, size)) >= ALPHA:
            what = "a single text" if size == 1 else f"{size} texts"
            notes.append(f"so few held-out texts can give {what} no p-value below {least:.2f}: sample more texts")
    if pooled.fitted < pooled.size:
        notes.append(f"there are held-out texts for bundles of {pooled.fitted}: the texts count as evidence of so many")
    if source.target == "level" and len(set(source.labels)) < len(source.labels):
        notes.append(
            "levels are told by the models of this result, and posteriors and p-values speak of their texts: "
            "another model of a level may be told worse, or be none of these"
        )
    return notes


def _fits(
    source: Source, baseline: Baseline, texts: tuple[str, ...], engine: Engine, watch: Watch
) -> tuple[Seen, list[Noticed]]:
    """Fit to all classes, for all test texts and then the given ones, and without each class, to measure the power."""
    shared = source.labelled(baseline)
    question = Question(LeftOut(**shared, left_out=None), str(source.store.root), texts)
    found: list[Any] = []

    def follow(outcome: Outcome) -> list[Job]:
        if outcome.error:
            raise outcome.error
        found.append(outcome.value)
        return []

    job = Job(f"fit {baseline.name} to all", "study", ANSWER, question, baseline.card.limits)
    engine.run([job], watch, follow)
    # If there are two classes, neither can be left out: one class alone is nothing to fit to.
    fits = [LeftOut(**shared, left_out=name) for name in source.classes if len(source.classes) > 2]
    sizes = tuple(sorted({1, len(texts)}))
    powers = {fit: StrangerPower(**shared, fit=fit, sizes=sizes) for fit in fits}
    missing = {fit: power for fit, power in powers.items() if source.store.open(power.kind, power.key) is None}
    wanted = [Wanted(fit, f"fit {baseline.name} without {fit.left_out}") for fit in missing]
    wanted += [Wanted(power, f"is {fit.left_out} noticed?") for fit, power in missing.items()]
    Schedule(source.store, engine, "cpu", watch).drive(wanted)
    return Seen(*found[0]), [row for power in powers.values() for row in power.read(source.store)]
