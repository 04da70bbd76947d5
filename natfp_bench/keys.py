"""Keys: the digest of everything that determines what a stage makes.

A key holds what, never where: no path, device, worker or clock. Each stage has a version, raised whenever its output
changes for the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .plan import Plan, Variant, recipe
from .records import digest
from .spec import SamplingSpec, Settings

VERSIONS = {"corpus": 1, "model": 1, "sample": 1, "score": 1, "prediction": 1}

DISTRIBUTION = ("temperature", "top_k", "top_p")
"""The sampling settings that shape a text's distribution given its prompt."""


def key(kind: str, **inputs: Any) -> str:
    """SHA-256 over a stage's kind, version and inputs."""
    return digest({"stage": kind, "version": VERSIONS[kind], **inputs})


def corpus_key(settings: Settings, identity: dict[str, Any]) -> str:
    """Key of a prepared corpus: which documents, which tokenizer, how many blocks."""
    return key(
        "corpus",
        corpus=identity,
        tokenizer=settings.tokenizer,
        context=settings.model.context,
        blocks=settings.steps * settings.budget.batch,
        heldout=settings.corpus.heldout_documents,
    )


def model_key(settings: Settings, seed: int, corpus: str) -> str:
    """Key of a trained model: its recipe, with the corpus by key."""
    return key("model", recipe={**recipe(settings, seed), "corpus": corpus})


def distribution(spec: SamplingSpec) -> dict[str, Any]:
    """Return the part of a sampling specification that shapes a text's distribution."""
    return spec.model_dump(mode="json", include=set(DISTRIBUTION))


def stream_name(model: str, spec: SamplingSpec, seed: int) -> tuple[str | int, ...]:
    """Name of a variant's sampling stream: unlike variants, and unlike streams, share no random number."""
    kept = {**distribution(spec), "prompt_characters": spec.prompt_characters}
    return (seed, "sample", model, digest(kept), spec.stream)


def sample_keys(variant: Variant, plan: Plan, model: str) -> list[str]:
    """Keys of a variant's sample set, block by block: as many whole blocks as the wanted texts touch."""
    spec = variant.settings.sampling
    inputs = {**spec.model_dump(mode="json", exclude={"texts"}), "seed": plan.seed, "model": model}
    blocks = -(-plan.texts // spec.block)
    return [key("sample", **inputs, index=index) for index in range(blocks)]


def score_key(model: str, spec: SamplingSpec, samples: Sequence[str], plan: Plan) -> str:
    """Key of the test texts of one sample set, scored under one model and sampler."""
    inputs = {"model": model, "sampler": distribution(spec), "samples": list(samples)}
    return key("score", **inputs, texts=plan.texts, split=plan.split)


def prediction_key(
    baseline: str, target: str, labels: Sequence[str], samples: Sequence[Sequence[str]], plan: Plan
) -> str:
    """Key of an attributor's predictions: its folder's digest, and the labelled sample sets."""
    texts = {"labels": list(labels), "samples": [list(keys) for keys in samples], "texts": plan.texts}
    return key("prediction", baseline=baseline, target=target, seed=plan.seed, split=plan.split, **texts)
