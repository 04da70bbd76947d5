"""Backends of lm-evaluation-harness: a server, vLLM, or whatever its registry knows. They give texts alone."""

from __future__ import annotations

from dataclasses import dataclass

from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.stages.sample import SampleMeta, SampleStage
from natfp_bench.pipeline.stages.stage import Located, ModelStage, Workplace
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.settings import Settings
from natfp_bench.plan.text_settings import DrawSpec, ServeSpec, SourceSpec

from .checkpoint import UNKNOWN_MB, HeldoutCorpus, heldout_corpus
from .kind import Identities, SourceKind


@dataclass(frozen=True, eq=False)
class BackendModel(ModelStage):
    """A backend, which is known by its arguments alone."""

    backend: Located[SourceSpec]
    corpus: HeldoutCorpus

    doing = "find"

    @property
    def lineage(self) -> str:
        """Name of the backend in random streams."""
        return lineage.of_backend(self.backend.where, self.corpus.lineage)


@dataclass(frozen=True, eq=False)
class BackendBlock(SampleStage):
    """A block of answers; the last one has no more rows than are wanted, since asking costs."""

    model: ModelStage
    serve: ServeSpec
    threads: int
    draw: DrawSpec
    seed: int
    index: int
    rows: int

    def machine(self, device: str) -> Needs:
        """The backend may run a model in the worker."""
        return Needs(self.threads, WORKER_MB + UNKNOWN_MB, device)

    def run(self, at: Workplace) -> SampleMeta:
        """Ask for the rows; answers are kept as they come, so that an interrupted run goes on."""
        import pyarrow.parquet as pq

        from natfp_bench.corpus import tokens
        from natfp_bench.models import lm_eval_backend
        from natfp_bench.models.model import pick_device

        assert isinstance(self.model, BackendModel)  # noqa: S101  for the type checker
        first = self.index * self.draw.block
        table = lm_eval_backend.sample(
            self.model.backend.where,
            self.draw,
            tokens.prompts(self.model.corpus.folder(at.store), self.draw.prompt_characters),
            list(range(first, first + self.rows)),
            lineage.stream(self.model.lineage, self.draw, self.serve, self.threads, self.seed),
            device=str(pick_device(at.device)),
            partial=at.store.partial(self.key),
            progress=at.context.progress,
        )
        pq.write_table(table, at.folder / "samples.parquet")
        return SampleMeta(texts=len(table), tokens=0)


class Backends(SourceKind):
    """Variants that are backends of lm-eval."""

    def model(self, settings: Settings, plan: Plan, identities: Identities) -> BackendModel:  # noqa: ARG002
        """Return the stage that stands for a variant's backend."""
        spec = settings.source
        known = Located([spec.model, spec.filled(spec.model_args)], spec)
        return BackendModel(known, heldout_corpus(settings, identities))

    def samples(self, model: ModelStage, settings: Settings, seed: int, texts: int) -> tuple[SampleStage, ...]:
        """Return the stages of a variant's answers."""
        draw, threads = settings.sampling.draw, settings.numerics.threads
        size = draw.block
        return tuple(
            BackendBlock(model, settings.serve, threads, draw, seed, index, min(size, texts - index * size))
            for index in range(-(-texts // size))
        )


SOURCE = Backends()
