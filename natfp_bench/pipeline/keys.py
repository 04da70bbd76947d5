"""Keys: the digest of everything that determines what a stage makes.

A key holds what, never where: no path, device, worker or clock. Each stage has a version, raised whenever its output
changes for the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natfp_bench.base.records import digest
from natfp_bench.plan.plan import Plan, recipe
from natfp_bench.plan.settings import Settings

VERSIONS = {"corpus": 1, "model": 2, "sample": 2, "score": 3, "prediction": 2, "study": 2, "parity": 1}

DISTRIBUTION = ("temperature", "top_k", "top_p")
"""The sampling settings that shape a text's distribution given its prompt."""


def key(kind: str, **inputs: Any) -> str:
    """SHA-256 over a stage's kind, version and inputs."""
    return digest({"stage": kind, "version": VERSIONS[kind], **inputs})


def corpus_key(settings: Settings, identity: dict[str, Any], whole: dict[str, Any]) -> str:
    """Key of a prepared corpus: which documents, which tokenizer, how many blocks, and how often they are read.

    whole: identity of the corpus that tokenizer and held-out documents are from.
    """
    return key(
        "corpus",
        corpus=identity,
        whole=whole,
        tokenizer=settings.tokenizer,
        context=settings.model.context,
        heldout=settings.corpus.heldout_documents,
        **blocks(settings),
    )


def blocks(settings: Settings) -> dict[str, int]:
    """How many blocks training wants: distinct ones in all, reads of repeated ones, and fresh ones behind them."""
    fresh = settings.finetune_steps * settings.budget.batch
    return {"blocks": settings.unique_blocks + fresh, "reads": settings.steps * settings.budget.batch, "fresh": fresh}


def heldout_key(settings: Settings, identity: dict[str, Any]) -> str:
    """Key of the held-out documents that models which are not trained here are measured on."""
    return key("corpus", corpus=identity, heldout_only=settings.corpus.heldout_documents)


def checkpoint_key(settings: Settings, identity: dict[str, Any], corpus: str) -> str:
    """Key of a checkpoint as it is served and measured."""
    return key("model", checkpoint=identity, serve=settings.serve, threads=settings.numerics.threads, corpus=corpus)


def backend_key(settings: Settings, corpus: str) -> str:
    """Key of a backend of lm-eval, which is known by its arguments alone."""
    spec = settings.source
    return key("model", lm_eval=[spec.model, spec.filled(spec.model_args)], corpus=corpus)


def model_key(settings: Settings, seed: int, corpus: str) -> str:
    """Key of a trained model: its recipe, with the corpus by key."""
    return key("model", recipe={**recipe(settings, seed), "corpus": corpus})


def distribution(settings: Settings) -> dict[str, Any]:
    """Return what shapes a text's distribution, given weights and prompt: how a model is served and sampled."""
    sampler = settings.sampling.model_dump(mode="json", include=set(DISTRIBUTION))
    return {**sampler, "serve": settings.serve.model_dump(mode="json"), "threads": settings.numerics.threads}


def stream_name(model: str, settings: Settings, seed: int) -> tuple[str | int, ...]:
    """Name of a variant's sampling stream: unlike variants, and unlike streams, share no random number."""
    kept = {**distribution(settings), "prompt_characters": settings.sampling.prompt_characters}
    return (seed, "sample", model, digest(kept), settings.sampling.stream)


def sample_keys(settings: Settings, seed: int, texts: int, model: str) -> list[str]:
    """Keys of a variant's sample set, block by block: as many whole blocks as the wanted texts touch.

    Texts that exist already are one block.
    """
    if settings.source.kind == "texts":
        return [key("sample", given=model, texts=texts, seed=seed)]
    size = settings.sampling.block
    blocks = range(-(-texts // size))
    if settings.source.kind == "lm_eval":
        # Asking costs: of the last block no more is asked for than is wanted.
        wanted = [min(size, texts - index * size) for index in blocks]
        return [_sample_key(settings, seed, model, index=index, rows=wanted[index]) for index in blocks]
    return [_sample_key(settings, seed, model, index=index) for index in blocks]


def transfer_key(settings: Settings, plan: Plan, model: str) -> str:
    """Key of a variant's test rows alone, drawn in another way than its sample set: one entry."""
    return _sample_key(settings, plan.seed, model, test=plan.split.test_every, texts=plan.texts)


def _sample_key(settings: Settings, seed: int, model: str, **which: int) -> str:
    sampling = settings.sampling.model_dump(mode="json", exclude={"texts"})
    return key("sample", **{**sampling, **distribution(settings)}, seed=seed, model=model, **which)


def score_key(model: str, settings: Settings, samples: Sequence[Sequence[str]], plan: Plan) -> str:
    """Key of the test texts of several sample sets, scored under one model and sampler."""
    inputs = {"model": model, "sampler": distribution(settings), "samples": [list(keys) for keys in samples]}
    return key("score", **inputs, texts=plan.texts, split=plan.split, cut=plan.cut)


def prediction_key(
    baseline: str, labels: Sequence[str], samples: Sequence[Sequence[str]], known: Sequence[bool], plan: Plan
) -> str:
    """Key of an attributor's predictions: its folder's digest, the labelled sample sets, and which it learns from."""
    return key("prediction", baseline=baseline, known=list(known), **_texts(labels, samples, plan))


def study_key(
    study: str, baseline: str, labels: Sequence[str], samples: Sequence[Sequence[str]], plan: Plan, **inputs: Any
) -> str:
    """Key of a study: what is studied, the reference attributor, the labelled sample sets, and what else it takes."""
    return key("study", study=study, baseline=baseline, **_texts(labels, samples, plan), **inputs)


def parity_key(model: str, settings: Settings, tasks: Sequence[str]) -> str:
    """Key of a model's scores by lm-eval."""
    return key("parity", model=model, serve=settings.serve, tasks=list(tasks))


def _texts(labels: Sequence[str], samples: Sequence[Sequence[str]], plan: Plan) -> dict[str, Any]:
    texts = {"labels": list(labels), "samples": [list(keys) for keys in samples], "texts": plan.texts}
    return {**texts, "seed": plan.seed, "split": plan.split, "cut": plan.cut}
