"""Hidden texts: the tasks of the fixed texts trained anew, with seeds that follow from a secret.

Models, texts and labels exist nowhere in public, so nothing about them can be looked up. Only scores, digests and
intervals are published. When a secret is replaced, it is published with its texts, and anybody can check the scores.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import disk, resources, streams
from natfp_bench.base.errors import JobError, UserError
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.pipeline import bundled_texts, ladder, wanted
from natfp_bench.pipeline.engine import Engine, Watch
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.run import Run, run_plan
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.canaries import Canaries, Canary
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan, no_trace
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT
from natfp_bench.statistics import paired
from natfp_bench.statistics.intervals import Interval

from . import submission, suspicion
from .over_models import TaskAccuracy, mean_over_models
from .submission import TaskScore

TASKS = (
    "seed_id",
    "lr_id",
    "batch_size_id",
    "weight_decay_id",
    "dropout_id",
    "optimizer_id",
    "token_budget_id",
    "null_id",
)
"""What is trained unless tasks are named: seeds, the factors that are found, and a control."""

CANARIES = 8
"""Public texts of a task that a fit on hidden texts learns with a wrong label, and is asked about."""

STREAM = "sampling.stream"

FORM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Secret:
    """64 hexadecimal digits, from which all seeds are computed."""

    text: str

    @property
    def digest(self) -> str:
        """What is published of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def seed(self) -> int:
        """Seed of the hidden experiment."""
        return int.from_bytes(hmac.digest(self.text.encode(), b"seed", "sha256")[:6], "big")

    def seal(self, content: str) -> str:
        """Sign a content; only the secret can make the same seal."""
        return hmac.digest(self.text.encode(), content.encode(), "sha256").hex()


def new_secret(path: Path) -> Secret:
    """Draw a secret, and write it to a new file that its owner alone can read; raises UserError if that fails."""
    made = Secret(secrets.token_hex(32))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(f"{path}: no secret can be written there ({error.strerror})") from None
    with open(handle, "w", encoding="ascii") as file:
        file.write(made.text + "\n")
    return made


def read_secret(path: Path) -> Secret:
    """Read a secret; raises UserError if there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file\n  natfp-bench hidden make --secret {path}   draws a new secret"
        ) from None
    except (OSError, UnicodeDecodeError):
        text = ""
    if not FORM.fullmatch(text):
        raise UserError(f"{path}: no secret; a secret has 64 hexadecimal digits")
    return Secret(text)


def make_hidden_plan(task: str, secret: Secret) -> Plan:
    """Plan the training of a task with seeds of the secret; raises UserError for an unknown task.

    Tasks share models. Each has texts of its own from them: to have met a text in another task must tell nothing.
    """
    asked: dict[str, Any] = {"limit": bundled_texts.TEXTS, "seed": secret.seed}
    plan = make_plan(task, bundled_texts.PRESET, **asked)
    if STREAM not in plan.task.factor.fields:
        own = int.from_bytes(hmac.digest(secret.text.encode(), task.encode(), "sha256")[:3], "big")
        plan = make_plan(task, bundled_texts.PRESET, **asked, overrides={STREAM: str(1 + own)})
    # Studies are about factors, and hidden texts are there to rank classifiers.
    return plan.model_copy(update={"analysis": plan.analysis.model_copy(update={"transfer": False, "permutations": 0})})


@dataclass(frozen=True)
class Workshop:
    """Where hidden models are trained and classifiers are asked."""

    store: Store
    engine: Engine
    watch: Watch
    device: str = "auto"

    @property
    def schedule(self) -> Schedule:
        """A schedule of jobs there."""
        return Schedule(self.store, self.engine, self.device, self.watch)


def make(secret: Secret, tasks: Sequence[str], at: Workshop) -> int:
    """Train the hidden models, and sample and score their texts; returns the number of texts."""
    return sum(_gathered(task, secret, at).samples.texts for task in tasks)


def _gathered(task: str, secret: Secret, at: Workshop) -> Evidence:
    run = Run(make_hidden_plan(task, secret), (), at.schedule)
    evidence = run.gather()
    stages = wanted.text_scores(evidence)
    run.schedule.drive(Wanted(stage, f"score under {name}") for name, stage in stages.items())
    return replace(evidence, text_scores=stages)


class Known(Record):
    """What a baseline answered to canaries: public texts of which it learnt a wrong label. p: of so many true ones.

    expected: true answers of an honest classifier, at most. p is one-sided, of the binomial distribution.
    """

    asked: int
    true: int
    expected: float
    p: float


class HiddenScore(Record):
    """Scores of a baseline; unseen and seen: mean identifiability over tasks without controls."""

    version: str
    digest: str
    tasks: dict[str, TaskScore]
    unseen: Interval | None
    seen: Interval
    canaries: Known | None
    suspicions: tuple[str, ...]


class HiddenScores(Record):
    """The whole of `hidden.json`; secret: digest of the secret; seal: signature of everything else by the secret."""

    schema_: Literal[1] = Field(1, alias="schema")
    secret: str
    preset: str
    scores: dict[str, HiddenScore]
    seal: str = ""

    def sealed(self, secret: Secret) -> HiddenScores:
        """Sign the scores."""
        return self.model_copy(update={"seal": secret.seal(self.content)})

    def sealed_by(self, secret: Secret) -> bool:
        """Whether a secret, published later, signed these scores."""
        return self.secret == secret.digest and hmac.compare_digest(self.seal, secret.seal(self.content))

    @property
    def content(self) -> str:
        """What is signed."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude={"seal"}))


def score(
    baselines: Sequence[Baseline],
    secret: Secret,
    tasks: Sequence[str],
    at: Workshop,
    output: Path,
    *,
    sandbox: str = "on",
) -> HiddenScores:
    """Score baselines on hidden texts, which are made first if they are missing.

    output: folder for the results, which tell which text is whose, and must not be published. Raises JobError if a
    baseline fails, UserError for one that asks for knowledge.
    """
    for baseline in baselines:
        ladder.require_texts(baseline, "hidden texts come with labels alone")
    shared: dict[str, Any] = {"store": at.store, "engine": at.engine, "watch": at.watch, "device": at.device}
    shared |= {"output": output, "sandbox": sandbox}
    found = {task: run_plan(make_hidden_plan(task, secret), baselines, **shared) for task in tasks}
    scores = {}
    for baseline in baselines:
        own = submission.submission(baseline, [result for result, _ in found.values()])
        known = _canaries(baseline, secret, [result for result, _ in found.values()], at)
        suspected = suspicion.suspicions(baseline.name, list(found.values()))
        if known and known.p < suspicion.LEVEL:
            suspected.append(f"it knows public labels: {known.true} of {known.asked} canaries, p = {known.p:.1g}")
        results = [result for result, _ in found.values() if result.task.control is None]
        scores[baseline.name] = HiddenScore(
            version=baseline.card.version,
            digest=baseline.digest,
            tasks=own.scores,
            unseen=_mean(own.scores, results, "unseen"),
            seen=_mean(own.scores, results, "seen") or next(iter(own.scores.values())).seen.identifiability,
            canaries=known,
            suspicions=tuple(suspected),
        )
    made = HiddenScores(schema=1, secret=secret.digest, preset=bundled_texts.PRESET, scores=scores)
    return made.sealed(secret)


def _mean(scores: Mapping[str, TaskScore], results: Sequence[Result], side: str) -> Interval | None:
    """Mean identifiability over the tasks that have a side, with an interval over models."""
    tasks = []
    for result in results:
        found = getattr(scores[result.task.name], side)
        if found is not None:
            variants = [variant for variant in result.variants if variant.name in found.by_variant]
            accuracy = [found.by_variant[variant.name] for variant in variants]
            keys, levels = [variant.key for variant in variants], [variant.level for variant in variants]
            tasks.append(TaskAccuracy(found.chance, accuracy, keys, levels))
    return mean_over_models(tasks) if tasks else None


def _canaries(baseline: Baseline, secret: Secret, results: Sequence[Result], at: Workshop) -> Known | None:
    """Let a baseline learn public texts with wrong labels among the hidden ones, and ask it about them."""
    true, expected = 0, list[float]()
    for result in results:
        if result.task.control is not None or baseline.card.floor:
            continue
        task, boxed = result.task.name, baseline.name in result.run.sandboxed
        evidence = replace(_gathered(task, secret, at), sandboxed=[baseline.name] if boxed else [])
        given = canaries_of(evidence.plan, secret)
        stage = Canaries(**wanted.labelled(evidence, baseline, tuple(evidence.levels)), canaries=given)
        schedule = at.schedule
        schedule.drive([Wanted(stage, f"canaries of {task} for {baseline.name}")])
        if stage in schedule.failed:
            raise JobError(f"{baseline.name} fails on canaries of {task}: {schedule.failed[stage]}")
        classes, proba = sorted(set(evidence.levels)), stage.read(at.store)
        answers = [classes[int(row.argmax())] for row in proba]
        true += sum(answer == one.public for answer, one in zip(answers, given, strict=True))
        # Labels of seeds mean nothing for models of other seeds. Others are known no better than those of seen models.
        sides = (SEEN_REPLICATE, UNSEEN_PROMPT)
        own = next(s for s in result.scores if s.attributor.name == baseline.name and s.split in sides)
        likely = 1 / len(classes) if no_trace(evidence.plan.task) else own.metrics["accuracy"].high or 1.0
        expected += [max(1 / len(classes), likely)] * len(given)
    if not expected:
        return None
    p = 10.0 ** paired.binomial_log10_p(true, len(expected), float(np.mean(expected)))
    return Known(asked=len(expected), true=true, expected=float(np.sum(expected)), p=p)


def canaries_of(plan: Plan, secret: Secret) -> tuple[Canary, ...]:
    """Choose public texts of a task, each with a wrong label to learn; raises UserError if there are none."""
    folder = resources.fixed_texts()
    manifest = bundled_texts.read_manifest(folder)
    if plan.task.name not in manifest.tasks:
        return ()
    levels = sorted({variant.level for variant in plan.variants})
    variants = manifest.tasks[plan.task.name].variants
    table = pq.read_table(folder / "texts.parquet", filters=[("source", "in", [of.source for of in variants])])
    label = {of.source: of.name.rpartition("/r")[0] for of in variants}
    order = streams.permutation(len(table), "canaries", secret.seed, plan.task.name)[: CANARIES * 4]
    chosen = [table.slice(int(row), 1).to_pylist()[0] for row in order]
    found = []
    for row in [row for row in chosen if row["text"].strip()][:CANARIES]:
        public = label[row["source"]]
        wrong = levels[(levels.index(public) + 1) % len(levels)]
        found.append(Canary(text=row["text"], shown=wrong, public=public))
    return tuple(found)


def write(made: HiddenScores, folder: Path) -> Path:
    """Write `hidden.json`; raises StoreError if that is impossible."""
    path = disk.usable_folder(folder, "output folder") / "hidden.json"
    with disk.disk_faults(path.parent, "output folder"), disk.whole(path) as fresh:
        fresh.write_text(made.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> HiddenScores:
    """Read a `hidden.json`; raises UserError if it is missing or damaged."""
    try:
        return HiddenScores.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})\n  natfp-bench hidden score writes it") from None
    except (ValidationError, UnicodeDecodeError):
        raise UserError(f"{path}: damaged, or not a file of hidden scores") from None


def rotate(path: Path, tasks: Sequence[str], at: Workshop, folder: Path) -> Path:
    """Publish a secret with its texts in a folder of its own, and put a new secret into the old one's place.

    Returns the folder of what is published.
    """
    old = read_secret(path)
    place = disk.usable_folder(folder / old.digest[:12], "output folder")
    tables = []
    for task in tasks:
        evidence = _gathered(task, old, at)
        for of in evidence.kept:
            table = evidence.sample_table(of).select(["row", "prompt", "text"])
            names = {"task": task, "variant": of.name, "level": of.variant.level}
            for number, (name, value) in enumerate(names.items()):
                table = table.add_column(number, name, pa.array([value] * len(table)))
            tables.append(table)
    with disk.disk_faults(place, "output folder"):
        with disk.whole(place / "texts.parquet") as fresh:
            pq.write_table(pa.concat_tables(tables), fresh)
        with disk.whole(place / "secret.txt") as fresh:
            fresh.write_text(old.text + "\n", encoding="ascii")
        # The new one is whole before the old one is gone.
        new_secret(beside := path.with_name(f"{path.name}.new"))
        disk.move(beside, path)
    return place
