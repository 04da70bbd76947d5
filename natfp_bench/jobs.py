"""Orders for workers: what entry to make of which keys. Data alone, so that they travel to any process."""

from __future__ import annotations

from .plan import Target
from .records import Record
from .registry import Baseline
from .spec import Settings, SplitSpec


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


class MakeModel(Make):
    """Train a model on a prepared corpus."""

    settings: Settings
    seed: int
    corpus: str


class MakeSample(Make):
    """Sample one block of rows from a model."""

    settings: Settings
    seed: int
    model: str
    corpus: str
    index: int


class MakeScore(Make):
    """Score the test texts of one sample set under one model."""

    settings: Settings
    model: str
    corpus: str
    samples: tuple[str, ...]
    texts: int
    split: SplitSpec


class MakePrediction(Make):
    """Fit one attributor on labelled sample sets, and let it answer for their test texts."""

    baseline: Baseline
    target: Target
    seed: int
    labels: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]
    texts: int
    split: SplitSpec
