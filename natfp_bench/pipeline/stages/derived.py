"""Models that are made of trained weights without training: weighted means of models, and pruned ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from natfp_bench.models.metas import TrainMeta
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.text_settings import ServeSpec

from .stage import CorpusStage, Loaded, ModelStage, Workplace, load_folder


@dataclass(frozen=True, eq=False)
class DerivedModel(ModelStage):
    """A model made of others of its shape.

    parents: the models, that of the run's end first. shares: of each in the mean of their weights. pruned: share of the
    weights that is then set to zero. context: tokens that the model reads at most.
    """

    parents: tuple[ModelStage, ...]
    shares: tuple[float, ...]
    pruned: float
    context: int
    threads: int

    name, doing = "derived", "derive"
    meta_type = TrainMeta

    @property
    def corpus(self) -> CorpusStage:  # type: ignore[override]
        """That of the first parent; all have the same held-out documents and tokenizer."""
        return self.parents[0].corpus

    @property
    def lineage(self) -> str:
        """Name of the model in random streams."""
        return lineage.of_derived([parent.lineage for parent in self.parents], self.shares, self.pruned)

    def needs(self) -> tuple[CorpusStage | ModelStage, ...]:
        """The parents, and the held-out documents."""
        return (*self.parents, self.corpus)

    def machine(self, device: str) -> Needs:
        """All parents in memory, and the sums of their weights."""
        models = len(self.parents) + 2
        return Needs(self.threads, WORKER_MB + models * self.serving_mb(1), device)

    def serving_mb(self, rows: int) -> int:
        """As much as a parent."""
        return self.parents[0].serving_mb(rows)

    def run(self, at: Workplace) -> TrainMeta:
        """Make the weights, and measure the model on the held-out documents."""
        from natfp_bench.corpus import tokens
        from natfp_bench.models import derive, heldout
        from natfp_bench.models import model as models

        metas = [TrainMeta.model_validate(parent.entry(at.store).meta, strict=False) for parent in self.parents]
        if lost := next((meta for meta in metas if meta.status != "ok"), None):
            # There is nothing to make, and a run leaves out the variant as any that diverged.
            return lost.model_copy(update={"reason": f"made of a model that diverged: {lost.reason}"})
        loaded = [parent.load(at, ServeSpec(), self.threads) for parent in self.parents]
        first = loaded[0]
        model: Any = derive.mean([one.model for one in loaded], self.shares)
        if self.pruned:
            derive.prune(model, self.pruned)
        corpus = self.corpus.folder(at.store)
        models.save(model, corpus / "tokenizer.json", self.context, at.folder)
        documents = tokens.read_heldout(corpus)
        heldout.write_heldout(model, first.reader, documents, at.folder, self.context, model.device)
        return metas[0].model_copy(update={"weights": models.weights_digest(model)})

    def load(self, at: Workplace, serve: ServeSpec, threads: int) -> Loaded:
        """Load the checkpoint folder."""
        return load_folder(self.folder(at.store), at, serve, threads, self.context)

    def tokenizer(self, store: Store) -> Any:
        """Load the tokenizer of the checkpoint folder."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder(store))
