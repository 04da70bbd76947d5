"""Orders for workers: what entry to make of which keys. Data alone, so that they travel to any process."""

from __future__ import annotations

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.records import Record
from natfp_bench.plan.settings import Settings, TextsSpec
from natfp_bench.plan.task_files import AnalysisSpec, SplitSpec


class Make(Record):
    """The part common to all jobs: which entry of which store."""

    store: str
    kind: str
    key: str
    label: str
    device: str = "cpu"


class MakeCorpus(Make):
    """Prepare a corpus for some settings."""

    settings: Settings


class MakeTexts(Make):
    """Read texts that exist already; the entry is their corpus."""

    texts: TextsSpec
    test_every: int


class MakeModel(Make):
    """Train a model on a prepared corpus; `start` is the key of the model that it goes on from.

    beside: others of its shape that train in one stack with it, their keys in order and all behind its own.
    """

    settings: Settings
    seed: int
    corpus: str
    start: str | None
    beside: tuple[MakeModel, ...] = ()


class MakeSample(Make):
    """Sample rows from a model: one block of them, or, without an index, all test rows."""

    settings: Settings
    seed: int
    model: str
    corpus: str
    index: int | None
    texts: int
    split: SplitSpec


class MakeScore(Make):
    """Score the test texts of sample sets, one behind another, under one model; `cut`: bytes that texts are cut to."""

    settings: Settings
    model: str
    corpus: str
    samples: tuple[tuple[str, ...], ...]
    texts: int
    split: SplitSpec
    cut: int | None


class MakeParity(Make):
    """Score a model by lm-eval: the held-out documents, and tasks of lm-eval's own."""

    settings: Settings
    model: str
    corpus: str
    tasks: tuple[str, ...]


class Labelled(Make):
    """Sample sets, each with a label, and the attributor that is to learn them."""

    baseline: Baseline
    seed: int
    labels: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]
    texts: int
    split: SplitSpec
    cut: int | None


class MakePrediction(Labelled):
    """Fit an attributor on the sample sets that are `known`, and let it answer for the test texts of all."""

    known: tuple[bool, ...]


class MakeStudy(Labelled):
    """Refit the reference attributor in many ways.

    fold: split whose folds a fit is tested by. transfer: for each condition, keys of the variants' test rows.
    """

    study: str
    fold: str
    replicates: tuple[int, ...]
    analysis: AnalysisSpec
    model: str | None
    transfer: dict[str, tuple[str, ...]]
