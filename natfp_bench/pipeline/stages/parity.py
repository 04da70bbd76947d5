"""Capability parity: one model scored by lm-eval, on the held-out documents and on tasks of lm-eval's own."""

from __future__ import annotations

from dataclasses import dataclass

from natfp_bench.base.records import Record
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.plan.text_settings import ServeSpec

from .stage import ModelStage, Stage, Workplace


class ParityMeta(Record):
    """What lm-eval says, by task/metric."""

    scores: dict[str, float]


@dataclass(frozen=True, eq=False)
class Parity(Stage):
    """A model as it is served, and the tasks of lm-eval that were asked for beside the held-out documents."""

    kind, version, doing = "parity", 1, "parity"
    meta_type = ParityMeta

    model: ModelStage
    serve: ServeSpec
    threads: int
    tasks: tuple[str, ...]

    def machine(self, device: str) -> Needs:
        """The model, and one document at a time."""
        return Needs(self.threads, WORKER_MB + self.model.serving_mb(1), device)

    def run(self, at: Workplace) -> ParityMeta:
        """Let lm-eval score the model."""
        from natfp_bench.models import lm_eval_scores
        from natfp_bench.models.checkpoint import LONGEST
        from natfp_bench.models.model import pick_device

        loaded = self.model.load(at, self.serve, self.threads)
        found = lm_eval_scores.capability_scores(
            loaded.model,
            self.model.tokenizer(at.store),
            self.model.corpus.folder(at.store),
            begin=loaded.reader.begin,
            context=min(loaded.positions or LONGEST, LONGEST),
            tasks=self.tasks,
            device=pick_device(at.device),
        )
        return ParityMeta(scores=found)
