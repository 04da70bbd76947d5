"""Studies of a task by its reference attributor, which is refitted many times: one stage for each.

To add a study: its function in `attributors.study`, a subclass of `Study` here, and a field in `result.FactorStudy`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from natfp_bench.attributors.box import Box
from natfp_bench.base.limits import Limits
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.plan import Plan, can_be_transposed
from natfp_bench.plan.split import UNSEEN_REPLICATE, folds
from natfp_bench.plan.task_files import TransformName
from natfp_bench.statistics.curves import Curve, Permuted, Robustness, Side, Wording, powers

from .prediction import Labelled
from .sample import SampleStage, read_samples
from .stage import ModelStage, Workplace
from .variant import VariantStages

if TYPE_CHECKING:
    from natfp_bench.attributors.study import Experiment, Texts
    from natfp_bench.models.sample import SampleSet

REFITS = 20
"""Fits of a fold that a study takes at most: robustness takes most, one for each condition."""

MANY = 6
"""From so many instances on, accuracy against their number is a curve."""

Found = TypeVar("Found", bound=Record)


class StudyMeta(Record):
    """Nothing is noted of a study beside what it found."""


@dataclass(frozen=True)
class Ground:
    """What a study can draw on: the plan, its kept variants, and by condition their test rows drawn in another way.

    strangers: models that descend from no level, with their texts.
    """

    plan: Plan
    kept: Sequence[VariantStages]
    fold: str
    transfer: Mapping[str, tuple[SampleStage, ...]]
    strangers: Sequence[VariantStages] = ()

    @property
    def tokens(self) -> ModelStage | None:
        """A model whose tokenizer cuts all texts, None if texts are cut by their bytes."""
        cut = self.plan.cut is not None or not self.plan.source.has_likelihood
        return None if cut else self.kept[0].model


@dataclass(frozen=True, eq=False)
class Study(Labelled):
    """A study of the levels; fold: split whose folds (`split.folds`) test each fit. replicates: of each sample set.

    record: what the study finds; several: a list of these. If `result.FactorStudy` has a field with the name of the
    study, the finding goes there.
    """

    kind, version, doing = "study", 4, "study"
    meta_type = StudyMeta
    record: ClassVar[type[Record]] = Curve
    several: ClassVar[bool] = False
    function: ClassVar[str]

    fold: str
    replicates: tuple[int, ...]

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:  # noqa: ARG003
        """Make the study that a plan takes, given the fields that all studies have; None if it takes none."""
        return cls(**common)

    @property
    def limits(self) -> Limits | None:
        """What the baseline's card allows for one fit, for all fits together."""
        card, fits = self.allowed, REFITS * len(folds(self.fold, np.array(self.replicates)))
        return card.model_copy(update={"seconds": card.seconds * fits})

    def do(self, experiment: Experiment, at: Workplace) -> Record | Sequence[Record]:  # noqa: ARG002
        """Do the study: the function of `attributors.study` that `function` names, if nothing else is said."""
        from natfp_bench.attributors import study

        found: Record = getattr(study, self.function)(experiment)
        return found

    def run(self, at: Workplace) -> StudyMeta:
        """Do the study, and write what it found."""
        with self.box(at.store, at.context) as box:
            found = self.do(self.experiment(at.store, box), at)
        (at.folder / "study.json").write_text(canonical_json(found), encoding="utf-8")
        return StudyMeta()

    def read(self, store: Store, kind: type[Found]) -> list[Found]:
        """Read what the study found, as records of its kind."""
        found = json.loads((self.folder(store) / "study.json").read_text(encoding="utf-8"))
        return [kind.model_validate_json(json.dumps(row)) for row in (found if isinstance(found, list) else [found])]

    def finding(self, store: Store) -> Record | tuple[Record, ...]:
        """Read what the study found."""
        rows = tuple(self.read(store, self.record))
        return rows if self.several else rows[0]

    def experiment(self, store: Store, box: Box) -> Experiment:
        """Read the texts, and say how a fit is made and tested."""
        from natfp_bench.attributors.study import Experiment

        parts = [*self.read_texts(store)]
        train, test = (
            _joined([part.side(test=test) for part in parts], [part.prompts[part.test == test] for part in parts])
            for test in (False, True)
        )
        return Experiment(
            build=box.build,
            seed=self.seed,
            labels=self.labels,
            replicates=np.array(self.replicates, dtype=np.int64),
            split=self.fold,
            train=train,
            test=test,
        )

    def sides(self, store: Store) -> tuple[list[SampleSet], list[SampleSet]]:
        """Read the training and the test texts of each sample set, with their tokens."""
        from natfp_bench.plan.split import test_rows

        whole = [read_samples(store, stages, self.texts, self.cut) for stages in self.samples]
        test = [test_rows(part.prompts, self.split) for part in whole]
        known = [part.take(~out) for part, out in zip(whole, test, strict=True)]
        return known, [part.take(out) for part, out in zip(whole, test, strict=True)]


@dataclass(frozen=True, eq=False)
class Permutation(Study):
    """Does the accuracy on unseen replicates need the right labels? It has a classifier of its own, not the reference.

    permutations: most relabelings; refit_texts: most texts of each variant.
    """

    name = "permutation"
    record = Permuted

    permutations: int
    refit_texts: int

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Only replicates that are held out have labels to exchange."""
        spec = ground.plan.analysis
        held_out = ground.fold == UNSEEN_REPLICATE
        return cls(**common, permutations=spec.permutations, refit_texts=spec.texts) if held_out else None

    def do(self, experiment: Experiment, at: Workplace) -> Record:
        """Permute the labels and refit."""
        from natfp_bench.attributors.factor_test import permutation_test

        return permutation_test(experiment, self.permutations, self.refit_texts, at.context.progress)


@dataclass(frozen=True, eq=False)
class RobustnessStudy(Study):
    """How much of the accuracy survives on transformed texts, and on texts that were drawn in another way?

    refit_texts: most training texts of each variant. mixtures: also on texts whose second half is by another source.
    """

    name = "robustness"
    record, several = Robustness, True

    transforms: tuple[TransformName, ...]
    refit_texts: int
    transfer: Mapping[str, tuple[SampleStage, ...]] = field(default_factory=dict)
    model: ModelStage | None = None
    mixtures: bool = False

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Always; the model's tokenizer cuts texts to the length of shorter ones."""
        spec = ground.plan.analysis
        model = ground.kept[0].model if ground.transfer else None
        return cls(
            **common,
            transforms=spec.transforms,
            refit_texts=spec.texts,
            transfer=ground.transfer,
            model=model,
            mixtures=spec.disguises,
        )

    def do(self, experiment: Experiment, at: Workplace) -> Sequence[Record]:
        """Transform the texts; compare with texts of other conditions at the same length."""
        from natfp_bench.attributors import study

        if self.model is None:
            return study.robustness(experiment, self.transforms, {}, {}, self.refit_texts, mixtures=self.mixtures)
        cut, (known, asked) = _cutter(self.model, at.store), self.sides(at.store)
        drawn = {
            condition: [read_samples(at.store, [stage]) for stage in stages]
            for condition, stages in self.transfer.items()
        }
        longest = max((int(part.lengths.max()) for part in asked), default=0)
        short = {
            condition: (_texts([cut(part, size) for part in known]), _texts([cut(part, size) for part in asked]))
            for condition, parts in drawn.items()
            if (size := max(int(part.lengths.max()) for part in parts)) < longest
        }
        transfer = {condition: _texts(parts) for condition, parts in drawn.items()}
        limit = self.refit_texts
        return study.robustness(experiment, self.transforms, transfer, short, limit, mixtures=self.mixtures)


@dataclass(frozen=True, eq=False)
class LengthStudy(Study):
    """How does accuracy grow with the length of a text? In tokens of a model, or in bytes if there is none."""

    name = "length"

    model: ModelStage | None = None

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Always."""
        return cls(**common, model=ground.tokens)

    def do(self, experiment: Experiment, at: Workplace) -> Record:
        """Cut all texts to one length after another, and refit."""
        from natfp_bench.attributors import study

        if self.model is None:

            def first(size: int) -> tuple[Texts, Texts]:
                train, test = (
                    texts.changed(lambda those: [first_bytes(text, size) for text in those])
                    for texts in (experiment.train, experiment.test)
                )
                return train, test

            longest = self.cut or _usual_bytes(experiment.test.texts)
            return study.length_curve(experiment, first, powers(longest, 8), "bytes")
        cut, (known, asked) = _cutter(self.model, at.store), self.sides(at.store)

        def first_tokens(size: int) -> tuple[Texts, Texts]:
            return _texts([cut(part, size) for part in known]), _texts([cut(part, size) for part in asked])

        longest = max(int(part.lengths.max()) for part in asked)
        return study.length_curve(experiment, first_tokens, powers(longest, 4), "tokens")


class TrainTexts(Study):
    """How does accuracy grow with the number of training texts?"""

    name, function = "train_texts", "training_curve"


class WordingStudy(Study):
    """Which words separate the levels, and how far do their n-grams diverge?"""

    name, function = "wording", "wording"
    record = Wording


class Pooled(Study):
    """How does accuracy grow with the number of test texts of one source that are judged together?"""

    name, function = "pooled", "pooled_curve"


@dataclass(frozen=True, eq=False)
class Classes(Study):
    """How does the accuracy on instances fall with their number?"""

    name = "classes"

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Only if there are many instances, and they are alike: cells of a crossing share seeds with some others."""
        return cls(**common) if len(ground.kept) >= MANY and not ground.plan.task.factor.crossed else None

    def do(self, experiment: Experiment, at: Workplace) -> Record:  # noqa: ARG002
        """Refit on more and more instances."""
        from natfp_bench.attributors import study

        names = [f"{label}/r{replicate}" for label, replicate in zip(self.labels, self.replicates, strict=True)]
        return study.class_curve(experiment, names)


@dataclass(frozen=True, eq=False)
class CrossedStudy(Study):
    """Which value of one seed of a crossing, on models whose other seeds no fit has met? Once for each seed.

    cells: by seed, its value in each variant. permutations, refit_texts: as for the permutation test.
    """

    name = "crossed"
    record, several = Side, True

    cells: Mapping[str, tuple[int, ...]]
    permutations: int
    refit_texts: int

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Only a crossing that is whole: no model of it diverged."""
        factor, spec = ground.plan.task.factor, ground.plan.analysis
        if not factor.crossed or len(ground.kept) < len(ground.plan.variants):
            return None
        at = [factor.values(of.variant.level) for of in ground.kept]
        cells = {path: tuple(int(values[path]) for values in at) for path in factor.crossed}
        return cls(**common, cells=cells, permutations=spec.permutations, refit_texts=spec.texts)

    @property
    def limits(self) -> Limits | None:
        """What the card allows for one fit, for those of all seeds together."""
        card, fits = self.allowed, len(self.cells) * len(self.labels)
        return card.model_copy(update={"seconds": card.seconds * fits})

    def do(self, experiment: Experiment, at: Workplace) -> Sequence[Record]:
        """Look at the crossing from each of its seeds."""
        from natfp_bench.attributors.factor_test import crossed_side

        limits = self.permutations, self.refit_texts, at.context.progress
        return [crossed_side(experiment, seed, self.cells, *limits) for seed in self.cells]


@dataclass(frozen=True, eq=False)
class Transposed(Study):
    """The task turned round: which replicate wrote the text, at a level that no fit has met?

    permutations, refit_texts: as for the permutation test.
    """

    name, record = "transposed", Side

    permutations: int
    refit_texts: int

    @classmethod
    def of(cls, ground: Ground, **common: Any) -> Self | None:
        """Only if the question makes sense for the task, and there are at least two replicates."""
        if not can_be_transposed(ground.plan.task) or len(set(common["replicates"])) < 2:
            return None
        spec = ground.plan.analysis
        return cls(**common, permutations=spec.permutations, refit_texts=spec.texts)

    @property
    def limits(self) -> Limits | None:
        """What the card allows for one fit, for one with each level held out."""
        card = self.allowed
        return card.model_copy(update={"seconds": card.seconds * (1 + len(set(self.labels)))})

    def do(self, experiment: Experiment, at: Workplace) -> Record:
        """Look at the grid of levels and replicates as a crossing, from the side of the replicates."""
        from natfp_bench.attributors.factor_test import crossed_side

        levels = sorted(set(self.labels))
        cells = {"level": [levels.index(label) for label in self.labels], "replicate": self.replicates}
        found = crossed_side(experiment, "replicate", cells, self.permutations, self.refit_texts, at.context.progress)
        return found.model_copy(update={"accuracy": found.accuracy.model_copy(update={"units": "levels"})})


STUDIES: tuple[type[Study], ...] = tuple(Study.__subclasses__())
"""All studies, in the order of this file. The longest come first, so that they start first."""


def _texts(parts: Sequence[SampleSet]) -> Texts:
    return _joined([part.texts for part in parts], [part.prompts for part in parts])


def _joined(texts: Sequence[Sequence[str]], prompts: Sequence[NDArray[np.int64]]) -> Texts:
    """Texts of all variants, variant after variant."""
    from natfp_bench.attributors.study import Texts

    source = np.repeat(np.arange(len(texts)), [len(part) for part in texts])
    return Texts([text for part in texts for text in part], source, np.concatenate(prompts))


def _usual_bytes(texts: Sequence[str]) -> int:
    """Bytes that nine texts in ten do not exceed."""
    return max(8, int(np.quantile([len(text.encode()) for text in texts], 0.9)))


def _cutter(model: ModelStage, store: Store) -> Callable[[SampleSet, int], SampleSet]:
    """How to cut texts to so many tokens."""
    from natfp_bench.corpus import tokens
    from natfp_bench.models import sample

    entry = model.entry(store)
    reader = tokens.reader(entry.folder, entry.meta)
    return lambda part, size: sample.cut_tokens(part, size, reader.tokenizer, reader.end)
