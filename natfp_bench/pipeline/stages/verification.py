"""Verification of descent: what fits say of descendants that they have not met, and of strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import safetensors.numpy

from natfp_bench.pipeline.engine import Context
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.ancestors import STRANGER, levels_are_ancestors
from natfp_bench.plan.split import UNSEEN_REPLICATE, folds
from natfp_bench.statistics.intervals import Floats, Ints

from .prediction import LabelledTexts
from .sample import SampleStage
from .stage import Workplace
from .studies import Ground, Study, StudyMeta


class FoldAnswers(NamedTuple):
    """Answers of one fit: proba (n, k), the model that wrote each text, and the class of its ancestor, -1 for none.

    Models are numbered in the order of the sample sets, strangers behind all variants.
    """

    proba: Floats
    model: Ints
    truth: Ints


@dataclass(frozen=True, eq=False)
class VerificationStudy(Study):
    """Answers for the held-out descendants of each fold, and for all strangers.

    strangers: their sample sets, of which the test texts are asked about.
    """

    name = "verification"

    strangers: tuple[tuple[SampleStage, ...], ...]

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Only where levels are ancestors, and their descendants are held out."""
        able = levels_are_ancestors(ground.plan.task) and ground.fold == UNSEEN_REPLICATE
        return cls(**common, strangers=tuple(of.samples for of in ground.strangers)) if able else None

    def run(self, at: Workplace) -> StudyMeta:
        """Fit once for each fold, and keep all answers."""
        parts = [*self.read_texts(at.store)]
        beyond = self.read_strangers(at.store)
        replicates, found = np.array(self.replicates, dtype=np.int64), dict[str, Any]()
        with self.box(at.store, at.context) as box:
            for fold in folds(self.fold, replicates):
                shown = [part for part, known in zip(parts, fold.known.tolist(), strict=True) if known]
                tested = np.flatnonzero(fold.tested).tolist()
                asked = [parts[index] for index in tested] + beyond
                numbers = [*tested, *range(len(parts), len(parts) + len(beyond))]
                texts = [part.side(test=True) for part in asked]
                found[f"proba{fold.number}"] = self.answers(box, shown, [text for own in texts for text in own]).proba
                found[f"model{fold.number}"] = np.repeat(np.array(numbers), [len(own) for own in texts])
        safetensors.numpy.save_file(found, at.folder / "answers.safetensors")
        return StudyMeta()

    def read_strangers(self, store: Store) -> list[LabelledTexts]:
        """Read the texts of all strangers."""
        return [*replace(self, labels=(STRANGER,) * len(self.strangers), samples=self.strangers).read_texts(store)]

    def read_answers(self, store: Store) -> list[FoldAnswers]:
        """Read the answers of each fold."""
        found = safetensors.numpy.load_file(self.folder(store) / "answers.safetensors")
        return [
            FoldAnswers(found[f"proba{fold.number}"], model := found[f"model{fold.number}"], self.truth[model])
            for fold in folds(self.fold, np.array(self.replicates, dtype=np.int64))
        ]

    @property
    def truth(self) -> Ints:
        """Class of the ancestor of each model, -1 for strangers."""
        classes = sorted(set(self.labels))
        return np.array([*map(classes.index, self.labels), *(-1 for _ in self.strangers)], dtype=np.int64)

    def written(self, store: Store) -> list[list[str]]:
        """Test texts of each stranger; none is blank, since no blank text is given."""
        return [[text for text in part.side(test=True) if text.strip()] for part in self.read_strangers(store)]

    def asked(self, store: Store, context: Context, given: Sequence[str], size: int) -> tuple[Floats, Floats]:
        """Fit to all descendants, and answer for the first texts of each stranger, (m * size, k), and given ones."""
        beyond = [text for texts in self.written(store) for text in texts[:size]]
        with self.box(store, context) as box:
            proba = self.answers(box, [*self.read_texts(store)], [*beyond, *given]).proba
        return proba[: len(beyond)], proba[len(beyond) :]


@dataclass(frozen=True)
class WhoseDescendant:
    """Given texts, and a fit to all descendants that is asked about them; nothing of it is kept in the store."""

    fit: VerificationStudy
    store: str
    given: tuple[str, ...]
    size: int


def answer(question: WhoseDescendant, context: Context) -> tuple[Floats, Floats]:
    """Fit in a worker; returns probabilities for strangers' texts, and for the given ones."""
    store = Store(Path(question.store), context.warn)
    return question.fit.asked(store, context, question.given, question.size)
