"""What a kind of source must be able to do: name the stages of a variant, and check that they can be had."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from natfp_bench.base.records import digest
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.pipeline.stages.sample import Block, SampleStage
from natfp_bench.pipeline.stages.stage import Located, ModelStage, Stage, Where
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.settings import CorpusSpec, Settings
from natfp_bench.plan.text_settings import SourceName


@dataclass
class Identities:
    """What corpora and checkpoints are, found once for all variants of a plan: their files may have to be hashed."""

    known: dict[str, Any] = field(default_factory=dict)

    def corpus(self, spec: CorpusSpec) -> Located[CorpusSpec]:
        """A corpus as it is now; raises UserError if it cannot be read."""
        return self.located(spec, lambda: open_corpus(spec).identity())

    def located(self, where: Where, identify: Callable[[], Any]) -> Located[Where]:
        """Something that lies somewhere, its identity found by a call of `identify`."""
        name = digest([type(where).__name__, where.model_dump(mode="json")])
        if name not in self.known:
            self.known[name] = identify()
        return Located(self.known[name], where)


class SourceKind(ABC):
    """One kind of source.

    reviewed_early: whether `review` is to come before texts are drawn, because it may find models that cannot be
    compared.
    """

    reviewed_early: ClassVar[bool] = False

    @abstractmethod
    def model(self, settings: Settings, plan: Plan, identities: Identities) -> ModelStage:
        """Return the stage that makes a variant's model; raises UserError if what it needs cannot be read."""

    def samples(self, model: ModelStage, settings: Settings, seed: int, texts: int) -> tuple[SampleStage, ...]:
        """Return the stages of a variant's sample set of so many texts."""
        serve, threads, draw = settings.serve, settings.numerics.threads, settings.sampling.draw
        # As many whole blocks as the wanted texts touch.
        return tuple(Block(model, serve, threads, draw, seed, index) for index in range(-(-texts // draw.block)))

    def start(self, variant: Variant, plan: Plan, models: Mapping[str, ModelStage]) -> ModelStage | None:  # noqa: ARG002
        """Return the model that a variant's training may go on from, among those of the plan by variant."""
        return None

    def require(self, settings: Sequence[Settings]) -> None:  # noqa: B027  most kinds have nothing to check
        """Make sure, before any work, that all sources can be had; raises UserError that names those that cannot."""

    def review(self, plan: Plan, found: Sequence[VariantStages], metas: Mapping[Stage, Any]) -> list[str]:  # noqa: ARG002
        """Look at what sources turned out to be; returns warnings, and raises UserError if figures would mislead."""
        return []


def source_kind(name: SourceName) -> SourceKind:
    """Find a kind of source by its name."""
    kind: SourceKind = importlib.import_module(f"natfp_bench.pipeline.sources.{name}").SOURCE
    return kind
