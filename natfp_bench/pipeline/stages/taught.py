"""Documents that are texts of another model: what a student reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.corpus.documents import HELDOUT_ONE_IN, Texts
from natfp_bench.corpus.metas import CorpusMeta
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models.metas import TrainMeta
from natfp_bench.plan.settings import CorpusSpec, Recipe, Settings

from .sample import Block, SampleMeta, read_table
from .stage import Located, Stage, Workplace
from .trained import BlocksCorpus, PackedCorpus, TrainedModel, packing

LESSONS = 1_000_000
"""Number of the random stream that lessons are drawn from; a sample set has another one."""


@dataclass(frozen=True, eq=False)
class Lesson(Block):
    """A block of texts that a student learns from."""

    def possible(self, metas: Mapping[Stage, Any]) -> bool:  # noqa: ARG002
        """Without its teacher, a student cannot be left out alone: the run ends, and says why."""
        return True

    def run(self, at: Workplace) -> SampleMeta:
        """Draw the texts; raises UserError if the teacher diverged."""
        meta = TrainMeta.model_validate(self.model.entry(at.store).meta, strict=False)
        if meta.status != "ok":
            raise UserError(f"a teacher diverged, so there is nothing to learn from it: {meta.reason}")
        return super().run(at)


@dataclass(frozen=True, eq=False)
class TaughtCorpus(BlocksCorpus):
    """A teacher's texts packed into blocks of its tokens; held-out documents are those of the teacher's corpus.

    lessons: the texts. The other fields are those of `PackedCorpus`.
    """

    teacher: TrainedModel
    lessons: tuple[Lesson, ...]
    whole: Located[CorpusSpec]
    context: int
    heldout: int
    blocks: int
    reads: int

    name = "taught"

    @property
    def documents(self) -> CorpusSpec:
        """What names the documents in the digest of a run."""
        return self.whole.where.model_copy(update={"name": f"texts of {self.teacher.key}"})

    @property
    def lineage(self) -> dict[str, object]:
        """The documents and how they are packed, in the words of `pipeline.lineage`."""
        packed = {"context": self.context, "heldout": self.heldout, "blocks": self.blocks, "reads": self.reads}
        return {"teacher": self.teacher.lineage, "lessons": len(self.lessons), "whole": self.whole.content, **packed}

    def run(self, at: Workplace) -> CorpusMeta:
        """Pack the texts."""
        from natfp_bench.corpus import tokens

        texts = read_table(at.store, self.lessons)["text"].to_pylist()
        return tokens.prepare(
            Texts(tuple(texts)),
            tokens.reader(self.teacher.corpus.folder(at.store), {}),
            context=self.context,
            heldout=self.heldout,
            folder=at.folder,
            whole=open_corpus(self.whole.where),
            blocks=self.blocks,
            reads=self.reads,
            progress=at.context.progress,
        )


def taught(teacher: TrainedModel, packed: PackedCorpus, recipe: Recipe, settings: Settings) -> TaughtCorpus:
    """The corpus of a student: as many texts as fill its blocks if each has its full length, and the held-out ones."""
    wanted, serve, draw = packing(recipe), settings.serve, settings.sampling.draw
    draw = draw.model_copy(update={"stream": LESSONS})
    tokens = wanted["blocks"] * recipe.model.context * HELDOUT_ONE_IN / (HELDOUT_ONE_IN - 1)
    number = math.ceil(tokens / draw.max_tokens / draw.block)
    lessons = [Lesson(teacher, serve, recipe.numerics.threads, draw, teacher.seed, index) for index in range(number)]
    whole, context, heldout = packed.whole, packed.context, packed.heldout
    return TaughtCorpus(teacher, tuple(lessons), whole, context, heldout, wanted["blocks"], wanted["reads"])
