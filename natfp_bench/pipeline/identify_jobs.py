"""What workers do for `identify`: fits without a class, what they see of texts, and how often a stranger is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

from natfp_bench.attributors import registry
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.familiarity import ByteNgrams
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.corpus.tokens import first_bytes
from natfp_bench.plan import split
from natfp_bench.plan.plan import Plan
from natfp_bench.statistics import metrics
from natfp_bench.statistics.metrics import Ints
from natfp_bench.statistics.open_set import Held, Power, Seen, calibrating

from .engine import Context
from .jobs import Labelled
from .store import Store


class Noticed(Record):
    """What the p-value finds of a class that the attributor did not learn, from bundles of `size` of its texts.

    auroc: against held-out bundles of the classes learnt. detected, false_alarms: p below 0.05 of its bundles, and of
    theirs.
    """

    left_out: str
    size: int
    auroc: float
    detected: float
    false_alarms: float


@dataclass(frozen=True)
class Tests:
    """Test texts, variant after variant: the class of each, its prompt, and its length in characters, (texts,) each."""

    __test__ = False  # no test case, whatever pytest makes of the name

    label: Ints
    prompts: Ints
    lengths: Ints

    @staticmethod
    def of(store: Store, labels: Sequence[str], samples: Sequence[Sequence[str]], plan: Plan | Labelled) -> Tests:
        """Look at the test texts of labelled sample sets, as a plan or a job has them split and cut."""
        classes, found = sorted(set(labels)), list[tuple[Ints, Ints, Ints]]()
        for label, of in zip(labels, samples, strict=True):
            texts, prompts = _read(store, of, plan.texts, plan.cut)
            test = split.test_rows(prompts, plan.split)
            lengths = np.array([len(text) for text in texts], dtype=np.int64)
            found.append((np.full(int(test.sum()), classes.index(label)), prompts[test], lengths[test]))
        return Tests(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


class Refit(Labelled):
    """Fit an attributor on all classes but one, or on all, and let it answer for all test texts and for given ones."""

    left_out: str | None
    given: tuple[str, ...]


class Measure(Labelled):
    """Measure what is noticed of a class that a fit, kept as a study, has not seen, from bundles of some sizes."""

    left_out: str
    fit: str
    sizes: tuple[int, ...]


def prior_of(labels: Sequence[str], classes: Sequence[str]) -> metrics.Floats:
    """Share of each class in the training texts: every variant, labelled so, has as many."""
    counts = np.array([labels.count(name) for name in classes], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def refit(job: Refit, context: Context) -> tuple[metrics.Floats, metrics.Floats] | None:
    """Do a job, in a worker: a fit to all classes returns what is seen of texts, any other keeps it in the store."""
    store = Store(Path(job.store), context.warn)
    if job.left_out is None:
        seen = _seen(job, store)
        return seen.proba, seen.familiarity

    def keep(folder: Path) -> dict[str, Any]:
        seen = _seen(job, store)
        safetensors.numpy.save_file({"proba": seen.proba, "familiarity": seen.familiarity}, folder / "seen.safetensors")
        return {}

    store.make(job.kind, job.key, job.label, keep)
    return None


def measure(job: Measure, context: Context) -> None:
    """Do a job, in a worker: keep in the store what is noticed of the class that was left out."""
    store = Store(Path(job.store), context.warn)

    def keep(folder: Path) -> dict[str, Any]:
        seen = Seen(**safetensors.numpy.load_file(store.require("study", job.fit).folder / "seen.safetensors"))
        classes = sorted(set(job.labels))
        others = [name for name in classes if name != job.left_out]
        tests = Tests.of(store, job.labels, job.samples, job)
        # The class that was left out is none of those known.
        known = np.array([others.index(name) if name in others else -1 for name in classes])
        held = Held(seen, known[tests.label], calibrating(tests.prompts, job.seed), prior_of(job.labels, others))
        found = [Noticed(left_out=job.left_out, **vars(Power.of(held, size, job.seed))) for size in job.sizes]
        (folder / "study.json").write_text(canonical_json(found))
        return {}

    store.make(job.kind, job.key, job.label, keep)


def _seen(job: Refit, store: Store) -> Seen:
    """Fit, and answer for the test texts of all variants, one behind another, and for the given ones."""
    train, labels, groups, asked = list[str](), list[str](), list[int](), list[str]()
    for label, of in zip(job.labels, job.samples, strict=True):
        texts, prompts = _read(store, of, job.texts, job.cut)
        test = split.test_rows(prompts, job.split)
        asked += [text for text, out in zip(texts, test, strict=True) if out]
        if label != job.left_out:
            known = [text for text, out in zip(texts, test, strict=True) if not out]
            train, labels, groups = train + known, labels + [label] * len(known), groups + prompts[~test].tolist()
    asked += job.given
    found = attribute(lambda seed: registry.build(job.baseline, seed), job.seed, train, labels, groups, asked)
    return Seen(found.proba, ByteNgrams(train).familiarity(asked))


def _read(store: Store, samples: Sequence[str], texts: int, cut: int | None) -> tuple[list[str], Ints]:
    """Read the texts of a sample set, each cut to so many bytes, and their prompts, (texts,)."""
    paths = [store.require("sample", key).folder / "samples.parquet" for key in samples]
    table = pa.concat_tables([pq.read_table(path, columns=["text", "prompt"]) for path in paths]).slice(0, texts)
    whole = table["text"].to_pylist()
    read = whole if cut is None else [first_bytes(text, cut) for text in whole]
    return read, table["prompt"].to_numpy().astype(np.int64)
