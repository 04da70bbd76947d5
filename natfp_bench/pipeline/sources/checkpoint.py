"""Models that exist already: checkpoints in a folder, or of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.corpus.metas import CorpusMeta
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models import checkpoint_files
from natfp_bench.models.metas import CheckpointMeta
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.engine import WORKER_MB, Needs
from natfp_bench.pipeline.stages.stage import CorpusStage, Loaded, Located, ModelStage, Stage, Workplace
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.settings import CorpusSpec, NumericsSpec, Settings
from natfp_bench.plan.text_settings import ServeSpec, SourceSpec

from .kind import Identities, SourceKind

UNKNOWN_MB = 4096
"""Memory assumed for a model whose size is not known before it is loaded."""


@dataclass(frozen=True, eq=False)
class HeldoutCorpus(CorpusStage):
    """The held-out documents of a corpus, which models that are not trained here are measured on."""

    corpus: Located[CorpusSpec]
    heldout: int

    meta_type = CorpusMeta

    @property
    def lineage(self) -> dict[str, object]:
        """The documents in the words of `pipeline.lineage`."""
        return {"corpus": self.corpus.content, "heldout_only": self.heldout}

    def run(self, at: Workplace) -> CorpusMeta:
        """Keep the first held-out documents."""
        from natfp_bench.corpus import tokens

        return tokens.prepare_heldout(open_corpus(self.corpus.where), self.heldout, at.folder)


def heldout_corpus(settings: Settings, identities: Identities) -> HeldoutCorpus:
    """Return the stage that keeps the held-out documents of a variant's corpus."""
    return HeldoutCorpus(identities.corpus(settings.corpus), settings.corpus.heldout_documents)


@dataclass(frozen=True, eq=False)
class CheckpointModel(ModelStage):
    """A checkpoint as it is served, measured on held-out documents; its weights stay where they are."""

    checkpoint: Located[SourceSpec]
    serve: ServeSpec
    threads: int
    corpus: HeldoutCorpus

    name, version, doing = "checkpoint", 3, "measure"
    meta_type = CheckpointMeta

    @property
    def lineage(self) -> str:
        """Name of the model in random streams."""
        return lineage.of_checkpoint(self.checkpoint.content, self.serve, self.threads, self.corpus.lineage)

    @property
    def title(self) -> str:
        """What messages call it."""
        return checkpoint_files.title(self.checkpoint.where)

    def machine(self, device: str) -> Needs:
        """A model of unknown size."""
        return Needs(self.threads, WORKER_MB + UNKNOWN_MB, device)

    def serving_mb(self, rows: int) -> int:  # noqa: ARG002
        """A model of unknown size."""
        return UNKNOWN_MB

    def run(self, at: Workplace) -> CheckpointMeta:
        """Measure the checkpoint, and keep its tokenizer."""
        from natfp_bench.models import checkpoint
        from natfp_bench.models.model import pick_device, set_numerics

        device = pick_device(at.device)
        set_numerics(NumericsSpec(threads=self.threads), device)
        corpus = self.corpus.folder(at.store)
        return checkpoint.adopt(
            self.checkpoint.where, self.serve, corpus, at.folder, device=device, progress=at.context.progress
        )

    def load(self, at: Workplace, serve: ServeSpec, threads: int) -> Loaded:
        """Load the checkpoint from where it lies."""
        from natfp_bench.corpus import tokens
        from natfp_bench.models import checkpoint, vocabulary
        from natfp_bench.models.model import pick_device, set_numerics

        device, entry = pick_device(at.device), self.entry(at.store)
        set_numerics(NumericsSpec(threads=threads), device)
        reader = tokens.reader(entry.folder, entry.meta)
        meta = CheckpointMeta.model_validate(entry.meta, strict=False)
        model = vocabulary.fit(checkpoint.load(self.place(at.store), serve, device), reader)
        return Loaded(model, reader, meta.context, meta.prefix)

    def tokenizer(self, store: Store) -> Any:
        """Load the checkpoint's own tokenizer."""
        from natfp_bench.models import checkpoint

        return checkpoint.loaded_tokenizer(self.place(store))

    def place(self, store: Store) -> SourceSpec:
        """Where its weights lie: where they were, or in the store if they came from a GGUF file."""
        where = self.checkpoint.where
        return SourceSpec(kind="checkpoint", model=str(self.folder(store))) if where.gguf_file else where


class Checkpoints(SourceKind):
    """Variants that are checkpoints."""

    reviewed_early = True

    def model(self, settings: Settings, plan: Plan, identities: Identities) -> CheckpointModel:  # noqa: ARG002
        """Return the stage that measures a variant's checkpoint."""
        spec = settings.source
        found = identities.located(spec, lambda: checkpoint_files.identity(spec))
        served, threads = settings.serve.function, settings.numerics.threads
        return CheckpointModel(found, served, threads, heldout_corpus(settings, identities))

    def require(self, settings: Sequence[Settings]) -> None:
        """Make sure that the Hub, or its cache, has every checkpoint that lies in no folder."""
        checkpoint_files.require([own.source for own in settings])

    def review(self, plan: Plan, found: Sequence[VariantStages], metas: Mapping[Stage, Any]) -> list[str]:
        """Check that levels are different models, and that no tokenizer spoils a comparison."""
        if plan.task.control != "negative" and any(path.startswith("source.") for path in plan.task.factor.fields):
            _check_different({of.name: metas[of.model].weights for of in found})
        readers = {metas[of.model].tokenizer for of in found}
        if plan.shared_tokenizer and len(readers) > 1:
            raise UserError(
                f"the models have {len(readers)} different tokenizers, so their likelihoods are no ceiling\n"
                "  --set source.shared_tokenizer=false compares the same bytes, as likelihood_reference"
            )
        warnings = []
        for of in found:
            name, meta = of.model.title, metas[of.model]
            if not meta.lossless and len(readers) > 1:
                raise UserError(
                    f"{name}: its tokenizer loses part of what it reads (words, case or spaces), so its likelihoods "
                    "are not those of the same bytes\n  compare models of one tokenizer; source.kind: lm_eval compares "
                    "texts alone"
                )
            if not meta.lossless:
                warnings.append(
                    f"{name}: its tokenizer loses part of what it reads (words, case or spaces), so its bits per byte "
                    "are lower than those of the text"
                )
            for token in meta.other_ends:
                warnings.append(
                    f"{name}: its settings name {token!r} as an end token, which is ordinary text to its tokenizer; "
                    "texts go on after it"
                )
        return list(dict.fromkeys(warnings))


def _check_different(weights: Mapping[str, str]) -> None:
    """Raise UserError if variants, given with the digests of their weights, are one model."""
    names: dict[str, list[str]] = {}
    for name, of in weights.items():
        names.setdefault(of, []).append(name)
    if same := [f"  {', '.join(them)}: digest {of[:12]}" for of, them in names.items() if len(them) > 1]:
        raise UserError(
            "\n".join(["these checkpoints have the same weights, so nothing can tell them apart:", *same])
            + "\n  look at revisions and folders: some releases serve one model under several names"
        )


SOURCE = Checkpoints()
