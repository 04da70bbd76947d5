"""Models that are trained here, and the documents that they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from natfp_bench.corpus.metas import CorpusMeta
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models.metas import Prefix, TrainMeta
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.descent import FinetuneSpec
from natfp_bench.plan.plan import parameters, run_of
from natfp_bench.plan.settings import CorpusSpec, Recipe, TokenizerSpec
from natfp_bench.plan.text_settings import ServeSpec

from .stage import CorpusStage, Loaded, Located, ModelStage, Workplace, load_folder


class BlocksCorpus(CorpusStage):
    """Documents packed into blocks of tokens, which a model reads."""

    meta_type = CorpusMeta

    @property
    def documents(self) -> CorpusSpec:
        """What names the documents in the digest of a run."""
        raise NotImplementedError

    @property
    def lineage(self) -> dict[str, object]:
        """The documents and how they are packed, in the words of `pipeline.lineage`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class PackedCorpus(BlocksCorpus):
    """Documents packed into blocks of tokens: chosen and packed once, so that no seed changes them.

    whole: the corpus that tokenizer and held-out documents are from, if `corpus` is only a part of it. blocks: how
    many distinct ones training wants. reads: how many it reads, repeated ones counted again. fresh: how many behind
    them are for fine-tuning. tail: the corpus that these are from, if it is another one.
    """

    corpus: Located[CorpusSpec]
    whole: Located[CorpusSpec]
    tokenizer: TokenizerSpec
    context: int
    heldout: int
    blocks: int
    reads: int
    fresh: int
    tail: Located[CorpusSpec] | None = None

    @property
    def documents(self) -> CorpusSpec:
        """What names the documents in the digest of a run."""
        return self.corpus.where

    @property
    def lineage(self) -> dict[str, object]:
        """The documents and how they are packed, in the words of `pipeline.lineage`."""
        found = {"corpus": self.corpus.content, "whole": self.whole.content, "context": self.context}
        found |= {"tail": self.tail.content} if self.tail else {}
        packed = {"blocks": self.blocks, "reads": self.reads, "fresh": self.fresh}
        return {**found, "heldout": self.heldout, **packed}

    def run(self, at: Workplace) -> CorpusMeta:
        """Train the tokenizer, pack the blocks, and keep the held-out documents."""
        from natfp_bench.corpus import tokens

        return tokens.prepare(
            open_corpus(self.corpus.where),
            self.tokenizer,
            context=self.context,
            heldout=self.heldout,
            folder=at.folder,
            whole=open_corpus(self.whole.where),
            blocks=self.blocks,
            reads=self.reads,
            fresh=self.fresh,
            tail=open_corpus(self.tail.where) if self.tail else None,
            progress=at.context.progress,
        )


def packing(recipe: Recipe) -> dict[str, int]:
    """How many blocks training wants: distinct ones in all, reads of repeated ones, and fresh ones behind them."""
    batch, fresh = recipe.budget.batch, recipe.fresh_blocks
    return {"blocks": recipe.unique_blocks + fresh, "reads": recipe.steps * batch, "fresh": fresh}


@dataclass(frozen=True, eq=False)
class TrainedModel(ModelStage):
    """A model trained by a recipe on packed blocks; fine-tuned ones start from their base."""

    recipe: Recipe
    seed: int
    corpus: BlocksCorpus

    meta_type = TrainMeta

    @property
    def base(self) -> TrainedModel | None:
        """The model that is fine-tuned, None if none is."""
        if not self.recipe.finetune.share or not isinstance(self.corpus, PackedCorpus):
            return None
        recipe = self.recipe.model_copy(update={"finetune": FinetuneSpec()})
        packed: dict[str, Any] = packing(recipe)
        return TrainedModel(recipe, self.seed, replace(self.corpus, tail=None, **packed))

    @property
    def trunk(self) -> TrainedModel | None:
        """The beginning that it shares with other runs, as a model that stops there; None if it shares none."""
        recipe = self.recipe.trunk
        return replace(self, recipe=recipe) if recipe else None

    @cached_property
    def whole(self) -> str:
        """Digest of the run that it is, wherever it stops."""
        return run_of(self.recipe, self.corpus.documents)

    @property
    def lineage(self) -> str:
        """Name of the model in random streams."""
        return lineage.of_trained(self.recipe, self.seed, self.corpus.lineage)

    def prefix(self, device: str) -> Prefix:
        """How it is sampled on a kind of device: on a GPU with fused kernels, if it was trained with them.

        A GPU waits for each kernel of a small model; a CPU is as fast without fused kernels.
        """
        return "fused" if self.recipe.numerics.compile and device == "cuda" else "kept"

    def needs(self) -> tuple[CorpusStage | ModelStage, ...]:
        """The corpus, and what training goes on from: the base of a fine-tuned model, or a shared beginning."""
        before = self.base or self.trunk
        return (self.corpus, before) if before else (self.corpus,)

    def machine(self, device: str) -> Needs:
        """Weights, gradients and moments, and what a batch keeps for its backward pass."""
        model, vocabulary = self.recipe.model, self.recipe.tokenizer.vocabulary
        rows = self.recipe.numerics.micro_batch or self.recipe.budget.batch
        # Logits, their softmax and its gradient; in each layer what its gradient needs, attention weights included.
        layer = 16 * model.width + 4 * model.feed_forward + 2 * model.heads * model.context
        floats = 4 * parameters(model, vocabulary) + rows * model.context * (3 * vocabulary + model.layers * layer)
        return Needs(self.recipe.numerics.threads, WORKER_MB + floats * 4 // 2**20, device)

    def serving_mb(self, rows: int) -> int:
        """Weights; keys and values of all positions; logits, their probabilities and what is left of them."""
        model, vocabulary = self.recipe.model, self.recipe.tokenizer.vocabulary
        row = 2 * model.layers * model.width * model.context + 8 * vocabulary
        return (parameters(model, vocabulary) + rows * row) * 4 // 2**20

    def run(self, at: Workplace) -> TrainMeta:
        """Train, or go on from the last checkpoint of an interrupted run."""
        from natfp_bench.models import train
        from natfp_bench.models.model import pick_device

        at.store.keep_kernels()
        start = self.base or self.trunk or at.start
        job = train.TrainingJob(
            self.recipe,
            self.seed,
            corpus=self.corpus.folder(at.store),
            folder=at.folder,
            partial=at.store.partial(self.key),
            start=start.folder(at.store) if start else None,
        )
        return train.train(job, pick_device(at.device), progress=at.context.progress, warn=at.context.warn)

    def load(self, at: Workplace, serve: ServeSpec, threads: int) -> Loaded:
        """Load the checkpoint folder."""
        loaded = load_folder(self.folder(at.store), at, serve, threads, self.recipe.model.context)
        return replace(loaded, prefix=self.prefix(loaded.model.device.type))

    def tokenizer(self, store: Store) -> Any:
        """Load the tokenizer of the checkpoint folder."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder(store))
