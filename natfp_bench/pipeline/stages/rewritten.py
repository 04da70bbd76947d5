"""Test texts of a variant that another model has rewritten: a disguise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.plan.split import test_rows
from natfp_bench.plan.task_files import SplitSpec
from natfp_bench.plan.text_settings import ServeSpec

from .sample import SampleMeta, SampleStage, read_samples
from .stage import ModelStage, Workplace

ROWS = 100
"""Texts of each variant that are rewritten, at most: each takes as long as reading hundreds."""


class RewrittenMeta(SampleMeta):
    """Rewritten texts. changed: how many of their tokens are others than before."""

    changed: int


@dataclass(frozen=True, eq=False)
class Rewritten(SampleStage):
    """The first test texts of a variant, rewritten by a model with the same tokenizer.

    model: of the variant. texts: how many of the sample set are attributed. sweeps: see `models.rewrite`.
    """

    name = "rewritten"
    meta_type = RewrittenMeta
    survived = (UserError,)

    samples: tuple[SampleStage, ...]
    model: ModelStage
    rewriter: ModelStage
    threads: int
    texts: int
    split: SplitSpec
    seed: int
    sweeps: int

    def possible(self, metas: Mapping[Any, Any]) -> bool:
        """Both models have to be sound."""
        return all(metas[one].status == "ok" for one in (self.model, self.rewriter))

    def machine(self, device: str) -> Needs:
        """The rewriter, and the texts that go through it at once."""
        return Needs(self.threads, WORKER_MB + self.rewriter.serving_mb(ROWS), device)

    def run(self, at: Workplace) -> RewrittenMeta:
        """Rewrite the texts; raises UserError if nothing is there to rewrite."""
        from natfp_bench.models import rewrite

        whole = read_samples(at.store, self.samples, self.texts)
        some = whole.take(np.flatnonzero(test_rows(whole.prompts, self.split))[:ROWS])
        if not some.lengths.any():
            raise UserError("no test text has any token, so none can be rewritten")
        # Served plainly, however the variant is: the rewriter must be one for all of them.
        loaded = self.rewriter.load(at, ServeSpec(), self.threads)
        reader = loaded.reader
        # The variant is part of the name, so that no two variants share a random number.
        stream = (self.seed, "rewritten", self.model.lineage, self.sweeps)
        ids, changed = rewrite.rewrite(
            loaded.model, some, reader.begin, reader.end, *stream, sweeps=self.sweeps, progress=at.context.progress
        )
        bodies = [row[:-1] if over else row for row, over in zip(ids, some.ended, strict=True)]
        texts = reader.tokenizer.decode_batch(bodies, skip_special_tokens=True)
        unknown = np.full(len(texts), np.nan)
        replace(some, ids=ids, texts=texts, log_probability=unknown).write(at.folder / "samples.parquet")
        return RewrittenMeta(texts=len(texts), tokens=int(some.lengths.sum()), changed=changed)
