"""Released models that are fine-tuned here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.corpus.metas import CorpusMeta
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models import checkpoint_files
from natfp_bench.models.metas import CheckpointMeta, TunedMeta
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.stages.stage import CorpusStage, Loaded, Located, ModelStage, Stage, Workplace
from natfp_bench.pipeline.stages.trained import packing
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.descent import TuningSpec
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.settings import CorpusSpec, NumericsSpec, Recipe, Settings
from natfp_bench.plan.text_settings import ServeSpec

from .checkpoint import UNKNOWN_MB, CheckpointModel, heldout_corpus
from .kind import Identities, SourceKind


@dataclass(frozen=True, eq=False)
class TunedCorpus(CorpusStage):
    """Documents packed into blocks of a released model's tokens; the other fields are those of `PackedCorpus`."""

    corpus: Located[CorpusSpec]
    whole: Located[CorpusSpec]
    base: CheckpointModel
    context: int
    heldout: int
    blocks: int
    reads: int

    name, meta_type = "tuned", CorpusMeta

    @property
    def lineage(self) -> dict[str, object]:
        """The documents and how they are packed, in the words of `pipeline.lineage`."""
        documents = {"corpus": self.corpus.content, "whole": self.whole.content, "heldout": self.heldout}
        return {**documents, "context": self.context, "blocks": self.blocks, "reads": self.reads}

    def run(self, at: Workplace) -> CorpusMeta:
        """Pack the blocks, and keep the held-out documents."""
        from natfp_bench.corpus import tokens

        entry = self.base.entry(at.store)
        return tokens.prepare(
            open_corpus(self.corpus.where),
            tokens.reader(entry.folder, entry.meta),
            context=self.context,
            heldout=self.heldout,
            folder=at.folder,
            whole=open_corpus(self.whole.where),
            blocks=self.blocks,
            reads=self.reads,
            progress=at.context.progress,
        )


@dataclass(frozen=True, eq=False)
class TunedModel(ModelStage):
    """A released model that is trained further on packed blocks; the base is measured before."""

    recipe: Recipe
    tuning: TuningSpec
    seed: int
    base: CheckpointModel
    corpus: TunedCorpus

    name, doing = "tuned", "fine-tune"
    meta_type = TunedMeta

    @property
    def lineage(self) -> str:
        """Name of the model in random streams."""
        known = self.base.checkpoint.content
        return lineage.of_tuned(self.recipe, self.tuning, self.seed, known, self.corpus.lineage)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"a model fine-tuned from {self.base.title}"

    def machine(self, device: str) -> Needs:
        """A model of unknown size."""
        return Needs(self.recipe.numerics.threads, WORKER_MB + UNKNOWN_MB, device)

    def serving_mb(self, rows: int) -> int:  # noqa: ARG002
        """A model of unknown size."""
        return UNKNOWN_MB

    def run(self, at: Workplace) -> TunedMeta:
        """Fine-tune, or go on from the last checkpoint of an interrupted run."""
        from natfp_bench.corpus import tokens
        from natfp_bench.models import train, tune
        from natfp_bench.models.checkpoint import LONGEST
        from natfp_bench.models.model import pick_device

        entry = self.base.entry(at.store)
        known = CheckpointMeta.model_validate(entry.meta, strict=False)
        positions = self.recipe.model.context
        if known.context is not None and positions > known.context:
            raise UserError(
                f"{self.base.title}: model.context is {positions}, and it has {known.context} positions\n"
                f"  --set model.context={known.context}"
            )
        reader = tokens.reader(entry.folder, entry.meta)
        window = min(known.context or LONGEST, LONGEST)
        job = train.TrainingJob(
            self.recipe,
            self.seed,
            corpus=self.corpus.folder(at.store),
            folder=at.folder,
            partial=at.store.partial(self.key),
            released=tune.Released(self.base.place(at.store), self.tuning, reader, window),
        )
        made = train.train(job, pick_device(at.device), progress=at.context.progress, warn=at.context.warn)
        read = {name: getattr(known, name) for name in ("tokenizer", "begin", "end", "context", "prefix")}
        return TunedMeta(**made.model_dump(), **read)

    def load(self, at: Workplace, serve: ServeSpec, threads: int) -> Loaded:
        """Load the checkpoint folder."""
        from natfp_bench.corpus import tokens
        from natfp_bench.models import model as models
        from natfp_bench.models import vocabulary

        device, entry = models.pick_device(at.device), self.entry(at.store)
        models.set_numerics(NumericsSpec(threads=threads), device)
        reader = tokens.reader(entry.folder, entry.meta)
        meta = TunedMeta.model_validate(entry.meta, strict=False)
        model = vocabulary.fit(models.load(entry.folder, serve, device), reader)
        return Loaded(model, reader, meta.context, meta.prefix)

    def tokenizer(self, store: Store) -> Any:
        """Load the tokenizer of the checkpoint folder."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder(store))


class Finetuned(SourceKind):
    """Variants that are fine-tuned from one released model."""

    def model(self, settings: Settings, plan: Plan, identities: Identities) -> TunedModel:
        """Return the stage that fine-tunes a variant's model. Without a name for its base, it can only be counted."""
        spec, recipe, tuning, source = settings.corpus, settings.tuning_recipe, settings.tuning, settings.source
        known = identities.located(source, lambda: checkpoint_files.identity(source) if source.model else None)
        base = CheckpointModel(known, ServeSpec(), settings.numerics.threads, heldout_corpus(settings, identities))
        wanted = packing(recipe)
        packed = TunedCorpus(
            corpus=identities.corpus(spec),
            whole=identities.corpus(spec.whole),
            base=base,
            context=recipe.model.context,
            heldout=spec.heldout_documents,
            blocks=wanted["blocks"] * tuning.parts,
            reads=wanted["reads"] * tuning.parts,
        )
        return TunedModel(recipe, tuning, plan.seed, base, packed)

    def require(self, settings: Sequence[Settings]) -> None:
        """Make sure that a base is named and can be had, and that the packages for it are there."""
        if not settings[0].source.model:
            raise UserError(
                "the task fine-tunes a released model, and none is named\n"
                "  --set source.model=FOLDER   a folder that save_pretrained wrote, model and tokenizer\n"
                "  --set source.model=OWNER/NAME   a model of the Hub\n"
                "  --set source.model=FOLDER --set source.gguf_file=NAME.gguf   a GGUF file"
            )
        if any(own.tuning.lora_rank for own in settings):
            checkpoint_files.require_packages("LoRA (tuning.lora_rank) needs", ("peft", "accelerate"))
        checkpoint_files.require([settings[0].source])

    def review(self, plan: Plan, found: Sequence[VariantStages], metas: Mapping[Stage, Any]) -> list[str]:  # noqa: ARG002
        """Say what the base's tokenizer loses."""
        bases = {of.model.base for of in found if isinstance(of.model, TunedModel)}
        return [
            f"{base.title}: its tokenizer loses part of what it reads (words, case or spaces), so bits per byte are "
            "lower than those of the text"
            for base in bases
            if base in metas and not metas[base].lossless
        ]


SOURCE = Finetuned()
