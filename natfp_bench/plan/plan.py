"""What a plan is: variants of a task at a preset, and the proof that one factor alone varies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import Record, digest, flatten
from natfp_bench.base.yaml_source import Scalar

from .settings import ModelSpec, Settings, SourceSpec, TextsSpec
from .task_files import (
    NO_TRACE,
    AnalysisSpec,
    SplitSpec,
    Task,
)

Target = Literal["level", "instance"]


class Variant(Record):
    """One text source: its settings, and the level and replicate that it stands for."""

    level: str
    replicate: int
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the variant, unique within its task: `level/r0`."""
        return f"{self.level}/r{self.replicate}"

    def label(self, target: Target) -> str:
        """What an attributor is to guess of the variant's texts."""
        return self.level if target == "level" else self.name


class Plan(Record):
    """Everything that determines a run of one task, attributors apart.

    fixed_texts: digest of the fixed texts that stand for its models, None where models are trained. given: the texts
    that exist already, where they are what is told apart.
    """

    task: Task
    preset: str
    preset_notes: str
    seed: int
    overrides: dict[str, Scalar]
    split: SplitSpec
    analysis: AnalysisSpec
    texts: int
    variants: tuple[Variant, ...]
    fixed_texts: str | None = None
    given: TextsSpec | None = None

    @property
    def task_digest(self) -> str:
        """Digest of the task as loaded, includes resolved."""
        return digest(self.task)

    @property
    def replicates(self) -> int:
        """Number of replicates."""
        return 1 + max(variant.replicate for variant in self.variants)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is guessed; with one replicate a level is an instance, and only the level is named.

        Attributors are ranked by levels, so that fixed texts, which are there to rank them, ask for nothing else.
        """
        return ("level",) if self.replicates == 1 or self.fixed_texts else ("level", "instance")

    @property
    def holds_out_replicates(self) -> bool:
        """Whether levels are told on replicates that no attributor has seen."""
        return self.replicates > 1 and self.split.level != "unseen_prompt" and not no_trace(self.task)

    @property
    def shared_tokenizer(self) -> bool:
        """Whether all variants read and write the same tokens."""
        varied = any(path.startswith("tokenizer.") for path in self.task.factor.fields)
        return not varied and self.source.shared_tokenizer

    @property
    def source(self) -> SourceSpec:
        """What kind of sources the variants are; which one each is, its own settings tell."""
        return self.variants[0].settings.source

    @property
    def cut(self) -> int | None:
        """Bytes that texts are cut to where tokenizers differ."""
        return cut_to(self.task.factor.fields, self.variants[0].settings)


def cut_to(fields: Sequence[str], settings: Settings) -> int | None:
    """Bytes that texts are cut to where a factor's fields make tokenizers differ: a full text has one a token."""
    differ = any(path.startswith("tokenizer.") for path in fields) or not settings.source.shared_tokenizer
    return settings.sampling.max_tokens if differ and settings.source.has_likelihood else None


def no_trace(task: Task) -> bool:
    """Whether a task's levels mean nothing beyond one replicate, as those of a seed do."""
    return all(path.startswith(NO_TRACE) for path in task.factor.fields)


def differing(variants: Iterable[Variant]) -> list[str]:
    """Dotted paths of the settings in which the given variants are not all alike."""
    flat = [dict(flatten(variant.settings.model_dump(mode="json"))) for variant in variants]
    return sorted(path for path in flat[0] if any(other[path] != flat[0][path] for other in flat[1:]))


def check_one_factor(variants: Sequence[Variant], fields: Sequence[str]) -> None:
    """Check that variants of a replicate differ in the factor's fields alone, and replicates in nuisance seeds alone.

    Raises SpecError that names the field. Plans are built so that it cannot; it guards whoever builds them otherwise.
    """
    faults = []
    for replicate in sorted({variant.replicate for variant in variants}):
        block = [variant for variant in variants if variant.replicate == replicate]
        faults += [
            f"replicate {replicate}: {path!r} varies beside the factor"
            for path in differing(block)
            if path not in fields
        ]
        faults += [f"replicate {replicate}: {path!r} does not vary" for path in fields if path not in differing(block)]
    for level in sorted({variant.level for variant in variants}):
        block = [variant for variant in variants if variant.level == level]
        faults += [
            f"level {level!r}: replicates differ in {path!r}, which is no nuisance seed"
            for path in differing(block)
            if not path.startswith(("seeds.", "source.replicate")) or path in fields
        ]
    if faults:
        raise SpecError(faults)


def parameters(model: ModelSpec, vocabulary: int) -> int:
    """Number of parameters by formula, tied embeddings counted once; no model is built."""
    width, inner = model.width, model.feed_forward
    embeddings = vocabulary * width * (1 if model.tied_embeddings else 2)
    match model.architecture:
        case "llama":
            return embeddings + model.layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
        case "gpt2" | "gpt_neox":
            positions = model.context * width if model.architecture == "gpt2" else 0
            block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
            return embeddings + positions + model.layers * block + 2 * width
