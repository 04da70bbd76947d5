"""What workers do: stages applied to entries of the store.

Each job makes one entry. It is told what it needs by key, reads that from the store, and calls one stage.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import transformers

from . import model as models
from . import registry, sample, split, tokens, train
from .attribute import attribute
from .corpus import open_corpus
from .engine import Context
from .jobs import Make, MakeCorpus, MakeModel, MakePrediction, MakeSample, MakeScore
from .keys import stream_name
from .sample import SampleSet
from .store import Store

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
transformers.utils.logging.disable_progress_bar()

SCORE_ROWS = 125
"""Texts that go through a model at once when they are scored: part of a score's numbers, so never a setting."""


def read_samples(store: Store, keys: tuple[str, ...], texts: int) -> SampleSet:
    """Join the blocks of a sample set and keep its first `texts` rows."""
    parts = [SampleSet.read(store.require("sample", key).folder / "samples.parquet") for key in keys]
    return SampleSet.join(parts).take(np.arange(texts))


def make(job: Make, context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a job's entry, or find that another process just did; returns the entry's `meta` and `made`."""
    store = Store(Path(job.store), context.warn)
    entry = store.make(
        job.kind, job.key, job.label, lambda folder: _WORK[job.kind](cast(Any, job), store, folder, context)
    )
    return entry.meta, entry.made


def _corpus(job: MakeCorpus, _: Store, folder: Path, context: Context) -> dict[str, Any]:
    settings = job.settings
    meta = tokens.prepare(
        open_corpus(settings.corpus),
        settings.tokenizer,
        context=settings.model.context,
        blocks=settings.steps * settings.budget.batch,
        heldout=settings.corpus.heldout_documents,
        folder=folder,
        progress=context.progress,
    )
    return meta.model_dump()


def _model(job: MakeModel, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    meta = train.train(
        job.settings,
        job.seed,
        store.require("corpus", job.corpus).folder,
        folder,
        partial=store.partial(job.key),
        device=models.pick_device(job.device),
        progress=context.progress,
        warn=context.warn,
    )
    return meta.model_dump()


def _load(job: MakeSample | MakeScore, store: Store) -> tuple[Any, Any, int, list[list[int]]]:
    """Model, tokenizer, end token and encoded prompts of a variant."""
    device = models.pick_device(job.device)
    models.set_numerics(job.settings.numerics, device)
    folder = store.require("model", job.model).folder
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json")
    end = tokenizer.token_to_id(tokens.END)
    spec = job.settings.sampling
    texts = tokens.prompts(store.require("corpus", job.corpus).folder, spec.prompt_characters)
    prompts = sample.encode_prompts(tokenizer, texts, end, spec, job.settings.model.context)
    return models.load(folder, job.settings.numerics, device), tokenizer, end, prompts


def _sample(job: MakeSample, store: Store, folder: Path, _: Context) -> dict[str, Any]:
    model, tokenizer, end, prompts = _load(job, store)
    spec = job.settings.sampling
    rows = range(job.index * spec.block, (job.index + 1) * spec.block)
    drawn = sample.sample_rows(model, spec, rows, prompts, tokenizer, end, *stream_name(job.model, spec, job.seed))
    drawn.write(folder / "samples.parquet")
    return {"texts": len(drawn.texts), "tokens": int(drawn.lengths.sum())}


def _score(job: MakeScore, store: Store, folder: Path, _: Context) -> dict[str, Any]:
    model, _tokenizer, _end, prompts = _load(job, store)
    samples = read_samples(store, job.samples, job.texts)
    samples = samples.take(split.test_rows(samples.prompts, job.split))
    scores = sample.token_log_likelihood(model, job.settings.sampling, samples, prompts, rows=SCORE_ROWS)
    safetensors.numpy.save_file({"token_log_likelihood": scores}, folder / "scores.safetensors")
    return {"texts": len(samples.texts), "tokens": int(samples.lengths.sum())}


def _prediction(job: MakePrediction, store: Store, folder: Path, _: Context) -> dict[str, Any]:
    train_texts: list[str] = []
    train_labels: list[str] = []
    train_prompts: list[int] = []
    test_texts: list[str] = []
    for label, keys in zip(job.labels, job.samples, strict=True):
        samples = read_samples(store, keys, job.texts)
        test = split.test_rows(samples.prompts, job.split)
        known, unknown = samples.take(~test), samples.take(test)
        train_texts += known.texts
        train_labels += [label] * len(known.texts)
        train_prompts += known.prompts.tolist()
        test_texts += unknown.texts
    found = attribute(
        lambda seed: registry.build(job.baseline, seed), job.seed, train_texts, train_labels, train_prompts, test_texts
    )
    pq.write_table(
        pa.table({"proba": pa.array(found.proba.tolist(), pa.list_(pa.float64()))}), folder / "proba.parquet"
    )
    seconds = {"fit_seconds": round(found.fit_seconds, 3), "predict_seconds": round(found.predict_seconds, 3)}
    return {"classes": list(found.classes), "n_train": len(train_texts), "n_test": len(test_texts), **seconds}


_WORK: dict[str, Callable[[Any, Store, Path, Context], dict[str, Any]]] = {
    "corpus": _corpus,
    "model": _model,
    "sample": _sample,
    "score": _score,
    "prediction": _prediction,
}
