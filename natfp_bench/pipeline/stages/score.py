"""Scores: the log-likelihood of every test text under one model, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.records import Record
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.store import Store
from natfp_bench.plan import split
from natfp_bench.plan.task_files import SplitSpec
from natfp_bench.plan.text_settings import SamplerSpec, ServeSpec

from .sample import SampleStage, encoded_prompts, read_samples
from .stage import ModelStage, Stage, Workplace

ROWS = {"cpu": 32, "cuda": 256}
"""Texts that go through a model at once: part of a score's numbers, so never a setting.

On a CPU as many as stay near its cores, on a GPU enough to keep it busy.
"""

LOGITS = 2**28
"""Logits at a time, at most."""


class ScoreMeta(Record):
    """How many texts were scored."""

    texts: int


@dataclass(frozen=True, eq=False)
class TextScores(Stage):
    """The test texts of several sample sets, one set after another, under one model and sampler.

    texts: of each sample set. cut: bytes that texts are cut to, None if they are whole.
    """

    kind, version, doing = "score", 3, "score"
    meta_type = ScoreMeta

    model: ModelStage
    serve: ServeSpec
    threads: int
    sampler: SamplerSpec
    samples: tuple[tuple[SampleStage, ...], ...]
    texts: int
    split: SplitSpec
    cut: int | None = None

    def machine(self, device: str) -> Needs:
        """The model and the texts that go through it at once."""
        return Needs(self.threads, WORKER_MB + self.model.serving_mb(max(ROWS.values())), device)

    def run(self, at: Workplace) -> ScoreMeta:
        """Score all test texts."""
        import safetensors.numpy

        from natfp_bench.models import sample
        from natfp_bench.models.model import pick_device

        loaded = self.model.load(at, self.serve, self.threads)
        prompts, reader = encoded_prompts(self.model, self.sampler, loaded, at.store), loaded.reader
        # If the vocabulary is large, the logits of fewer rows fit into memory.
        width = max(map(len, prompts)) + self.sampler.max_tokens
        most = ROWS[pick_device(at.device).type]
        rows = max(1, min(most, LOGITS // (width * reader.tokenizer.get_vocab_size())))
        drawn = [read_samples(at.store, stages, self.texts, self.cut) for stages in self.samples]
        asked = sample.SampleSet.join([part.take(split.test_rows(part.prompts, self.split)) for part in drawn])
        if self.cut is not None:
            asked = sample.retokenised(asked, reader.tokenizer, reader.end)
            sample.check_room(asked, prompts, loaded.positions, self.model.title)
        scores = sample.token_log_likelihood(
            loaded.model, self.sampler, asked, prompts, rows=rows, progress=at.context.progress
        )
        safetensors.numpy.save_file({"token_log_likelihood": scores}, at.folder / "scores.safetensors")
        return ScoreMeta(texts=len(scores))

    def read(self, store: Store) -> NDArray[Any]:
        """Read the log-likelihoods, in nats: (test texts, tokens) float32."""
        import safetensors.numpy

        found = safetensors.numpy.load_file(self.folder(store) / "scores.safetensors")
        return np.asarray(found["token_log_likelihood"])
