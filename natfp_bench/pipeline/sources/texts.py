"""Texts that exist already, by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from natfp_bench.corpus.metas import TextsMeta
from natfp_bench.pipeline.stages.sample import SampleMeta, SampleStage
from natfp_bench.pipeline.stages.stage import CorpusStage, Located, ModelStage, Stage, Workplace
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.settings import Settings
from natfp_bench.plan.text_settings import TextsSpec

from .kind import Identities, SourceKind


@dataclass(frozen=True, eq=False)
class GivenCorpus(CorpusStage):
    """All texts of some files. One prompt in `test_every` is for testing; its copies of training texts are removed."""

    texts: Located[TextsSpec]
    test_every: int

    name, meta_type = "given", TextsMeta

    def run(self, at: Workplace) -> TextsMeta:
        """Read the files."""
        from natfp_bench.corpus import labelled_texts

        return labelled_texts.prepare(self.texts.where, self.test_every, at.folder)


@dataclass(frozen=True, eq=False)
class GivenModel(ModelStage):
    """Whoever wrote the texts of a label."""

    label: str
    corpus: GivenCorpus

    doing = "find"


@dataclass(frozen=True, eq=False)
class GivenSample(SampleStage):
    """So many texts of a label, chosen at random."""

    model: ModelStage
    texts: int
    seed: int

    def run(self, at: Workplace) -> SampleMeta:
        """Choose the texts."""
        import pyarrow.parquet as pq

        from natfp_bench.corpus import labelled_texts

        assert isinstance(self.model, GivenModel)  # noqa: S101  for the type checker
        corpus = self.model.corpus
        folder, every = corpus.folder(at.store), corpus.test_every
        table = labelled_texts.select(folder, self.model.label, self.texts, every, self.seed)
        pq.write_table(table, at.folder / "samples.parquet")
        return SampleMeta(texts=len(table), tokens=0)


class GivenTexts(SourceKind):
    """Variants that are the labels of given texts."""

    def model(self, settings: Settings, plan: Plan, identities: Identities) -> GivenModel:
        """Return the stage that stands for who wrote a label's texts."""
        from natfp_bench.corpus import labelled_texts  # reads tables, which no other plan needs

        if plan.given is None:
            raise ValueError("texts that exist are part of their plan")
        spec = plan.given
        read = identities.located(spec, lambda: labelled_texts.identity(spec))
        return GivenModel(settings.source.model, GivenCorpus(read, plan.split.test_every))

    def samples(self, model: ModelStage, settings: Settings, seed: int, texts: int) -> tuple[SampleStage, ...]:  # noqa: ARG002
        """Return the stage that chooses a label's texts."""
        return (GivenSample(model, texts, seed),)

    def review(self, plan: Plan, found: Sequence[VariantStages], metas: Mapping[Stage, Any]) -> list[str]:  # noqa: ARG002
        """Say which texts were removed."""
        return list(plan.notes)


SOURCE = GivenTexts()
