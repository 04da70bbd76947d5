"""How often an unknown source is noticed: fits that leave out one class, and what is noticed of that class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import safetensors.numpy

from natfp_bench.base.records import Record, canonical_json
from natfp_bench.pipeline.engine import Context
from natfp_bench.pipeline.store import Store
from natfp_bench.statistics.intervals import Floats, Ints
from natfp_bench.statistics.open_set import Held, Power, Seen

from .prediction import Labelled
from .stage import Workplace
from .studies import StudyMeta


class Noticed(Record):
    """What the p-value finds of a class that the attributor did not learn, from bundles of `size` of its texts.

    auroc: against held-out bundles of the classes learnt. detected, false_alarms: share of its bundles, and of theirs,
    with p below 0.05.
    """

    left_out: str
    size: int
    auroc: float
    detected: float
    false_alarms: float


@dataclass(frozen=True)
class HeldOut:
    """Test texts, variant after variant: class, variant, prompt, and length in characters of each, (texts,) each."""

    label: Ints
    variant: Ints
    prompts: Ints
    lengths: Ints

    @staticmethod
    def of(labelled: Labelled, store: Store) -> HeldOut:
        """Look at the test texts of labelled sample sets."""
        classes, parts = sorted(set(labelled.labels)), [*labelled.read_texts(store)]
        return HeldOut(
            label=np.concatenate([np.full(int(part.test.sum()), classes.index(part.label)) for part in parts]),
            variant=np.repeat(np.arange(len(parts)), [int(part.test.sum()) for part in parts]),
            prompts=np.concatenate([part.prompts[part.test] for part in parts]),
            lengths=np.array([len(text) for part in parts for text in part.side(test=True)], dtype=np.int64),
        )


@dataclass(frozen=True, eq=False)
class LeftOut(Labelled):
    """A fit to all classes but one (None: to all), and what it says of all test texts."""

    kind, version, doing, name = "study", 4, "study", "identify"
    meta_type = StudyMeta
    survived = ()

    left_out: str | None

    def run(self, at: Workplace) -> StudyMeta:
        """Fit, and answer for all test texts."""
        seen = self.seen(at.store, at.context)
        found = {"proba": seen.proba, "familiarity": seen.familiarity}
        safetensors.numpy.save_file(found, at.folder / "seen.safetensors")
        return StudyMeta()

    def read(self, store: Store) -> Seen:
        """Read what was said."""
        return Seen(**safetensors.numpy.load_file(self.folder(store) / "seen.safetensors"))

    def seen(self, store: Store, context: Context, given: Sequence[str] = ()) -> Seen:
        """Fit, and answer for the test texts of all variants, one after another, and then for given ones."""
        from natfp_bench.attributors.familiarity import ByteNgrams

        parts = [*self.read_texts(store)]
        shown = [part for part in parts if part.label != self.left_out]
        train = [text for part in shown for text in part.side(test=False)]
        asked = [*(text for part in parts for text in part.side(test=True)), *given]
        with self.box(store, context) as box:
            proba = self.answers(box, shown, asked).proba
        return Seen(proba, ByteNgrams(train).familiarity(asked))


@dataclass(frozen=True, eq=False)
class StrangerPower(Labelled):
    """What is noticed of the class that a fit has not seen, from bundles of some sizes."""

    kind, version, doing, name = "study", 4, "study", "power"
    meta_type = StudyMeta
    survived = ()

    fit: LeftOut
    sizes: tuple[int, ...]

    def run(self, at: Workplace) -> StudyMeta:
        """Compare the bundles of the class that was left out with those of the others."""
        left_out, classes = self.fit.left_out or "", sorted(set(self.labels))
        others = [name for name in classes if name != left_out]
        held_out = HeldOut.of(self, at.store)
        # The class that was left out is none of those known.
        known = np.array([others.index(name) if name in others else -1 for name in classes])
        prior = prior_of(self.labels, others)
        labels = known[held_out.label]
        held = Held.of(self.fit.read(at.store), labels, held_out.variant, held_out.prompts, prior, self.seed)
        found = [Noticed(left_out=left_out, **vars(Power.of(held, size, self.seed))) for size in self.sizes]
        (at.folder / "study.json").write_text(canonical_json(found), encoding="utf-8")
        return StudyMeta()

    def read(self, store: Store) -> list[Noticed]:
        """Read what was noticed."""
        found = json.loads((self.folder(store) / "study.json").read_text(encoding="utf-8"))
        return [Noticed.model_validate(row) for row in found]


def prior_of(labels: Sequence[str], classes: Sequence[str]) -> Floats:
    """Share of each class in the training texts: every variant, labelled so, has as many."""
    counts = np.array([labels.count(name) for name in classes], dtype=np.float64)
    return np.asarray(counts / counts.sum())


@dataclass(frozen=True)
class WhoWrote:
    """Given texts, and a fit to all classes that is asked who wrote them; nothing of it is kept in the store."""

    fit: LeftOut
    store: str
    given: tuple[str, ...]


def answer(question: WhoWrote, context: Context) -> tuple[Floats, Floats]:
    """Fit in a worker; returns probabilities and familiarity of all test texts, and then of the given ones."""
    from pathlib import Path

    seen = question.fit.seen(Store(Path(question.store), context.warn), context, question.given)
    return seen.proba, seen.familiarity
