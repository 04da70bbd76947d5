"""Sample sets: texts of a model, block by block, and the reading of those that are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.store import Store
from natfp_bench.plan import split
from natfp_bench.plan.task_files import SplitSpec
from natfp_bench.plan.text_settings import DrawSpec, SamplerSpec, ServeSpec

from .stage import Known, Loaded, ModelStage, Stage, Workplace

if TYPE_CHECKING:
    from natfp_bench.models.metas import Prefix
    from natfp_bench.models.sample import SampleSet


class SampleMeta(Record):
    """Texts of a block, and their tokens; 0 if no tokens are known."""

    texts: int
    tokens: int


class SampleStage(Stage):
    """A stage that leaves texts in `samples.parquet`."""

    kind, version, doing = "sample", 3, "sample"
    meta_type: ClassVar[type[SampleMeta]] = SampleMeta


@dataclass(frozen=True, eq=False)
class KnownSample(Known, SampleStage):
    """A sample set of which only the key is known."""

    known: str


@dataclass(frozen=True, eq=False)
class Drawn(SampleStage):
    """Texts drawn from a model whose weights are at hand."""

    model: ModelStage
    serve: ServeSpec
    threads: int
    draw: DrawSpec
    seed: int

    def possible(self, metas: Mapping[Stage, Any]) -> bool:
        """Nothing is drawn from a model that diverged."""
        return bool(metas[self.model].status == "ok")

    def machine(self, device: str) -> Needs:
        """The model and the rows that go through it at once."""
        return Needs(self.threads, WORKER_MB + self.model.serving_mb(self.batch), device)

    @property
    def batch(self) -> int:
        """How many rows go through the model at once."""
        return self.serve.batch or self.draw.block

    def rows(self, prompts: int) -> list[int]:
        """Row numbers to draw, given the number of prompts."""
        raise NotImplementedError

    def run(self, at: Workplace) -> SampleMeta:
        """Draw the rows, a batch at a time, so that the same rows are always drawn together."""
        from natfp_bench.models import probe, sample

        loaded = self.model.load(at, self.serve, self.threads)
        prefix = self._prefix(loaded)
        if prefix == "fused":
            at.store.keep_kernels()
        prompts = encoded_prompts(self.model, self.draw, loaded, at.store)
        stream = lineage.stream(self.model.lineage, self.draw, self.serve, self.threads, self.seed)
        rows, size, reader = self.rows(len(prompts)), self.batch, loaded.reader
        draw = self.draw.model_copy(update={"block": size})
        parts = []
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            drawn = sample.sample_rows(
                loaded.model, draw, block, prompts, reader.tokenizer, reader.end, *stream, prefix=prefix
            )
            if not start:
                probe.check_texts(loaded.model, self.draw, drawn, prompts, self.model.title)
            parts.append(drawn)
            at.context.progress(start + len(block), len(rows), "texts")
        samples = sample.SampleSet.join(parts)
        samples.write(at.folder / "samples.parquet")
        return SampleMeta(texts=len(samples.texts), tokens=int(samples.lengths.sum()))

    def _prefix(self, loaded: Loaded) -> Prefix:
        """How the model sees the tokens before the next one; raises UserError if it has no kernels to compile."""
        if not self.serve.compile or loaded.prefix == "fused":
            return loaded.prefix
        if loaded.prefix == "reread":
            raise UserError(
                f"{self.model.title}: serve.compile needs keys and values that are kept, and this model has none\n"
                "  leave serve.compile out"
            )
        return "fused"


@dataclass(frozen=True, eq=False)
class Block(Drawn):
    """One block of a variant's sample set. It is the same however many texts of the set are wanted."""

    index: int

    def rows(self, prompts: int) -> list[int]:  # noqa: ARG002
        """All rows of the block."""
        return list(range(self.index * self.draw.block, (self.index + 1) * self.draw.block))


@dataclass(frozen=True, eq=False)
class TestRows(Drawn):
    """The test texts of a variant alone, to be drawn in another way than its sample set."""

    __test__ = False  # no test case, whatever pytest makes of the name

    # If there are too few held-out documents to draw texts in this way, only the study of them is left out.
    survived = (UserError,)

    texts: int
    split: SplitSpec

    def rows(self, prompts: int) -> list[int]:
        """Rows of the prompts that are for testing."""
        from natfp_bench.models.sample import prompt_of

        asked = np.array([prompt_of(row, prompts) for row in range(self.texts)])
        return [*np.flatnonzero(split.test_rows(asked, self.split)).tolist()]


def encoded_prompts(model: ModelStage, draw: SamplerSpec, loaded: Loaded, store: Store) -> list[list[int]]:
    """Token ids of a model's prompts, each after the begin token."""
    from natfp_bench.corpus import tokens
    from natfp_bench.models import sample

    begun = tokens.prompts(model.corpus.folder(store), draw.prompt_characters)
    return sample.encode_prompts(loaded.reader.tokenizer, begun, loaded.reader.begin, draw, loaded.positions)


def read_table(store: Store, samples: Sequence[Stage], texts: int | None = None) -> pa.Table:
    """Read the first `texts` rows of a sample set; bundled texts have no `ids`, but a number of `tokens`."""
    table = pa.concat_tables([pq.read_table(stage.folder(store) / "samples.parquet") for stage in samples])
    return table.slice(0, texts)


def read_samples(store: Store, samples: Sequence[Stage], texts: int | None = None, cut: int | None = None) -> SampleSet:
    """Read a sample set, in a worker: its first `texts` rows, each cut to so many bytes."""
    from natfp_bench.models import sample

    found = sample.SampleSet.of(read_table(store, samples, texts))
    return found if cut is None else sample.cut_bytes(found, cut)
