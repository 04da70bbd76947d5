"""A plan: the variants of a task at a preset, and the check that only one factor varies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import Record, digest, flatten
from natfp_bench.base.yaml_source import Scalar

from .defaults import LATER
from .settings import CorpusSpec, ModelSpec, Recipe, Settings
from .task_files import NO_TRACE, AnalysisSpec, Factor, SplitSpec, Task
from .text_settings import SourceSpec, TextsSpec

Target = Literal["level", "instance"]


class Variant(Record):
    """One source of texts: its settings, and the level and replicate that it belongs to."""

    level: str
    replicate: int
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the variant, unique within its task: `level/r0`."""
        return f"{self.level}/r{self.replicate}"

    def label(self, target: Target) -> str:
        """The label of the variant's texts: what an attributor has to guess."""
        return self.level if target == "level" else self.name


class Plan(Record):
    """Everything that determines a run of one task, except the attributors.

    texts: texts per variant. fixed_texts: digest of the fixed texts that are used in place of the task's models; None
    for an ordinary run. given: the labelled texts from files that are attributed; None if models write the texts.
    notes: what a user should know of the preset, or of the given texts. stops: in a sweep, where the trainings of all
    its plans stop, by `run_of`, so that a longer one goes on from a shorter one.
    """

    task: Task
    preset: str
    seed: int
    overrides: dict[str, Scalar]
    split: SplitSpec
    analysis: AnalysisSpec
    texts: int
    variants: tuple[Variant, ...]
    fixed_texts: str | None = None
    given: TextsSpec | None = None
    notes: tuple[str, ...] = ()
    stops: dict[str, tuple[float, ...]] = Field({})

    @property
    def task_digest(self) -> str:
        """Digest of the task as loaded, with its includes; what its notes tell a reader is no part of it."""
        return digest(self.task.model_copy(update={"notes": ""}))

    @property
    def replicates(self) -> int:
        """Number of replicates."""
        return 1 + max(variant.replicate for variant in self.variants)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is guessed. With one replicate, levels and instances are the same, so only levels are guessed.

        Fixed texts are for ranking attributors, and the ranking is by levels, so they have no other target.
        """
        return ("level",) if self.replicates == 1 or self.fixed_texts else ("level", "instance")

    @property
    def holds_out_replicates(self) -> bool:
        """Whether attributors are tested on replicates that they have not seen."""
        return self.replicates > 1 and self.split.level != "unseen_prompt" and not no_trace(self.task)

    @property
    def shared_tokenizer(self) -> bool:
        """Whether all variants read and write the same tokens."""
        varied = any(path.startswith("tokenizer.") for path in self.task.factor.fields)
        return not varied and self.source.shared_tokenizer

    @property
    def source(self) -> SourceSpec:
        """The source of the first variant; all variants have the same kind of source."""
        return self.variants[0].settings.source

    @property
    def units(self) -> str:
        """What intervals over texts are resampled by: texts of one prompt, or of one group of given texts, are alike.

        Without either, the n-th texts of all variants are one row: they have nothing in common, so this costs nothing.
        """
        if self.given is not None:
            return "groups" if self.given.group else "rows"
        prompted = self.variants[0].settings.sampling.prompt_characters > 0
        return "prompts" if prompted or self.source.kind == "lm_eval" else "rows"

    @property
    def cut(self) -> int | None:
        """Bytes that texts are cut to if tokenizers differ; None if texts stay whole."""
        return cut_to(self.task.factor.fields, self.variants[0].settings)


def run_of(recipe: Recipe, corpus: CorpusSpec) -> str:
    """Digest of a training, wherever it stops: trainings that agree in it are one run, the shorter its beginning."""
    budget = recipe.budget.model_copy(update={"stop": 1.0})
    return digest([recipe.model_copy(update={"budget": budget}), corpus])


def cut_to(fields: Sequence[str], settings: Settings) -> int | None:
    """Bytes that texts are cut to if tokenizers differ: the number of tokens, as a token has at least one byte."""
    differ = any(path.startswith("tokenizer.") for path in fields) or not settings.source.shared_tokenizer
    return settings.sampling.max_tokens if differ and settings.source.has_likelihood else None


def no_trace(task: Task) -> bool:
    """Whether a task's levels have no meaning across replicates, as the levels of a seed have none.

    Such levels are not looked for on other replicates, except to see that nothing is found (`own_seeds`).
    """
    # Where the task says what replicates differ in, a level's seeds are the same in all of them, and so mean something.
    alone = task.factor.own_seeds or task.nuisance
    return all(path.startswith(NO_TRACE) for path in task.factor.fields) and not alone


TREATMENTS = ("derive.", "serve.", "finetune.", "sampling.temperature", "sampling.top_k", "sampling.top_p")
"""Factors whose levels are done to one model: a replicate is the same model at every level."""


def can_be_transposed(task: Task) -> bool:
    """Whether it makes sense to ask which replicate wrote a text, at levels that were not learnt from.

    Either each is one model at all levels, which something is done to, or the task says what each does at all levels.
    """
    return bool(task.nuisance) or all(path.startswith(TREATMENTS) for path in task.factor.fields)


def values_of(settings: Settings) -> dict[str, Any]:
    """Each setting by its dotted path, also those that records leave out at their default because they came later."""
    return {**dict(flatten(LATER)), **dict(flatten(settings.model_dump(mode="json")))}


def differing(variants: Iterable[Variant]) -> list[str]:
    """Dotted paths of the settings that are not the same in all given variants."""
    flat = [values_of(variant.settings) for variant in variants]
    paths = {path for one in flat for path in one}
    return sorted(path for path in paths if any(other.get(path) != flat[0].get(path) for other in flat[1:]))


def check_one_factor(variants: Sequence[Variant], factor: Factor, nuisance: Collection[str] = ()) -> None:
    """Check that variants of a replicate differ only in the factor's fields, and replicates only in nuisance.

    nuisance: the settings in which replicates differ; without any, these are the seeds that the factor leaves, and with
    `own_seeds` all seeds. Raises SpecError that names the field. `make_plan` builds plans that
    pass; the check guards against other ways.
    """
    fields, kind = factor.fields, "setting" if nuisance else "seed"
    faults = []

    def is_nuisance(path: str) -> bool:
        if nuisance:
            return path in nuisance
        return path.startswith(("seeds.", "source.replicate")) and (path not in fields or factor.own_seeds)

    for replicate in sorted({variant.replicate for variant in variants}):
        block = [variant for variant in variants if variant.replicate == replicate]
        faults += [
            f"replicate {replicate}: {path!r} varies in addition to the factor"
            for path in differing(block)
            if path not in fields
        ]
        faults += [f"replicate {replicate}: {path!r} does not vary" for path in fields if path not in differing(block)]
    for level in sorted({variant.level for variant in variants}):
        block = [variant for variant in variants if variant.level == level]
        faults += [
            f"level {level!r}: replicates differ in {path!r}, which is not a nuisance {kind}"
            for path in differing(block)
            if not is_nuisance(path)
        ]
    if faults:
        raise SpecError(faults)


def parameters(model: ModelSpec, vocabulary: int) -> int:
    """Number of parameters, by formula; tied embeddings count once. No model is built."""
    width, inner = model.width, model.feed_forward
    embeddings = vocabulary * width * (1 if model.tied_embeddings else 2)
    match model.architecture:
        case "llama":
            return embeddings + model.layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
        case "gpt2" | "gpt_neox":
            positions = model.context * width if model.architecture == "gpt2" else 0
            block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
            return embeddings + positions + model.layers * block + 2 * width
