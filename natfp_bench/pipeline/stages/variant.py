"""A variant as the stages that it takes: what trains or finds its model, and what draws its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from natfp_bench.plan.plan import Variant

from .sample import SampleStage
from .stage import CorpusStage, ModelStage


@dataclass(frozen=True)
class VariantStages:
    """A variant, and the stages whose entries it leaves in the store.

    start: the model that its training may go on from, with the same result: the same run stopped earlier. transfer: by
    condition, its test rows drawn in another way.
    """

    variant: Variant
    model: ModelStage
    samples: tuple[SampleStage, ...]
    start: ModelStage | None = None
    transfer: Mapping[str, SampleStage] = field(default_factory=dict)

    @property
    def corpus(self) -> CorpusStage:
        """What the model read, or was measured on."""
        return self.model.corpus

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name
