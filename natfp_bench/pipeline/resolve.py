"""From a plan to keys: which entries its variants leave in the store, and which of them go on from which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from natfp_bench.base.records import digest
from natfp_bench.corpus.documents import open_corpus
from natfp_bench.plan import sources as source
from natfp_bench.plan.plan import Plan, Variant, base_run, recipe
from natfp_bench.plan.settings import CorpusSpec, Settings, SourceSpec

from . import keys

TRANSFER_TEMPERATURES = (0.7, 1.3)


@dataclass(frozen=True)
class Base:
    """A model to be trained: its settings, and the keys of its corpus and of itself."""

    settings: Settings
    corpus: str
    model: str


@dataclass(frozen=True)
class VariantKeys:
    """A variant, and the keys of all that it leaves in the store.

    base: the model that it is fine-tuned from, if any. start: the key of the model that its training goes on from, be
    it the base or the same run stopped earlier. transfer: by condition, its test rows drawn in another way.
    """

    variant: Variant
    corpus: str
    model: str
    base: Base | None
    start: str | None
    samples: tuple[str, ...]
    transfer: Mapping[str, str]


def transfers(plan: Plan, settings: Settings) -> dict[str, Settings]:
    """Other ways to draw texts, to test an attributor of the usual ones on; none where sampling is the factor."""
    sampling, kind = settings.sampling, settings.source.kind
    varied = any(path.startswith("sampling.") for path in plan.task.factor.fields)
    if not plan.analysis.transfer or varied or not plan.shared_tokenizer or not settings.source.has_likelihood:
        return {}
    ways: dict[str, dict[str, Any]] = {}
    for temperature in TRANSFER_TEMPERATURES:
        if temperature != sampling.temperature:
            ways[f"temperature {temperature}"] = {"temperature": temperature}
    if kind == "train" and not sampling.prompt_characters:
        # A character takes four bytes at most, and a byte one token at most: such prompts always leave enough room.
        room = settings.model.context
        ways["prompted"] = {"prompt_characters": room // 8, "max_tokens": min(sampling.max_tokens, room // 2)}
    return {
        name: settings.model_copy(update={"sampling": sampling.model_copy(update=way)}) for name, way in ways.items()
    }


def resolve_keys(plan: Plan) -> list[VariantKeys]:
    """Keys of all variants; text files are hashed for it. Raises UserError for a corpus that cannot be read."""
    identities: dict[str, dict[str, Any]] = {}

    def identity(spec: CorpusSpec) -> dict[str, Any]:
        if (name := digest(spec)) not in identities:
            identities[name] = open_corpus(spec).identity()
        return identities[name]

    def of_checkpoint(spec: SourceSpec) -> dict[str, Any]:
        if (name := digest(spec)) not in identities:
            identities[name] = source.identity(spec)
        return identities[name]

    def trained(settings: Settings) -> Base:
        if plan.given:
            corpus = keys.key("corpus", given=identities["given"], test_every=plan.split.test_every)
            return Base(settings, corpus, keys.key("model", given=settings.source.model, corpus=corpus))
        if settings.source.kind != "train":
            corpus = keys.heldout_key(settings, identity(settings.corpus))
            if settings.source.kind == "lm_eval":
                return Base(settings, corpus, keys.backend_key(settings, corpus))
            return Base(settings, corpus, keys.checkpoint_key(settings, of_checkpoint(settings.source), corpus))
        whole = settings.corpus.model_copy(update={"topics": ""})
        corpus = keys.corpus_key(settings, identity(settings.corpus), identity(whole))
        return Base(settings, corpus, keys.model_key(settings, plan.seed, corpus))

    if plan.given:
        from natfp_bench.corpus.labelled_texts import (
            identity as identity_of_texts,  # reads tables, which no other plan needs
        )

        identities["given"] = identity_of_texts(plan.given)
    found = {variant.name: trained(variant.settings) for variant in plan.variants}
    resolved = []
    for variant in plan.variants:
        settings, own = variant.settings, found[variant.name]
        tuned = settings.source.kind == "train" and settings.finetune.share
        base = trained(base_run(settings)) if tuned else None
        ways = transfers(plan, settings)
        resolved.append(
            VariantKeys(
                variant=variant,
                corpus=own.corpus,
                model=own.model,
                base=base,
                start=base.model if base else _earlier_stop(variant, plan, found),
                samples=tuple(keys.sample_keys(settings, plan.seed, plan.texts, own.model)),
                transfer={name: keys.transfer_key(way, plan, own.model) for name, way in ways.items()},
            )
        )
    return resolved


def _earlier_stop(variant: Variant, plan: Plan, found: dict[str, Base]) -> str | None:
    """Key of the same run stopped the last time before this variant's stop, if the plan has one."""

    def run(of: Variant) -> str:
        budget = of.settings.budget.model_copy(update={"stop": 1.0})
        return digest(recipe(of.settings.model_copy(update={"budget": budget}), plan.seed))

    if plan.source.kind != "train":
        return None
    mine = variant.settings.budget.stop
    earlier = [other for other in plan.variants if other.settings.budget.stop < mine and run(other) == run(variant)]
    if not earlier:
        return None
    return found[max(earlier, key=lambda other: other.settings.budget.stop).name].model
