"""What workers do: stages applied to entries of the store.

Each job makes one entry. It is told what it needs by key, reads that from the store, and calls one stage.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import transformers
from tqdm import tqdm

from natfp_bench.attributors import registry, study
from natfp_bench.attributors.attribute import attribute
from natfp_bench.base.records import canonical_json
from natfp_bench.corpus import labelled_texts as texts
from natfp_bench.corpus import tokens
from natfp_bench.corpus.documents import open_corpus
from natfp_bench.corpus.labelled_texts import SourceMeta
from natfp_bench.corpus.tokens import Reader
from natfp_bench.models import checkpoint, sample, train
from natfp_bench.models import lm_eval_backend as backend
from natfp_bench.models import lm_eval_scores as parity
from natfp_bench.models import model as models
from natfp_bench.models.sample import SampleSet
from natfp_bench.plan import split

from . import allocator
from .engine import Context
from .jobs import (
    Labelled,
    Make,
    MakeCorpus,
    MakeModel,
    MakeParity,
    MakePrediction,
    MakeSample,
    MakeScore,
    MakeStudy,
    MakeTexts,
)
from .keys import blocks, stream_name
from .store import Store

allocator.keep()
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
transformers.utils.logging.disable_progress_bar()
# A lock between processes outlives a worker that is ended, with a warning; here nobody else draws bars.
tqdm.set_lock(threading.RLock())

SCORE_ROWS = {"cpu": 32, "cuda": 256}
"""Texts that go through a model at once when they are scored: part of a score's numbers, so never a setting.

On a CPU as many as stay near its cores, on a GPU enough to keep it busy.
"""

SCORE_LOGITS = 2**28
"""Logits at a time, at most."""


def read_samples(store: Store, keys: tuple[str, ...], texts: int, cut: int | None = None) -> SampleSet:
    """Join the blocks of a sample set and keep its first `texts` rows, each cut to so many bytes."""
    parts = [SampleSet.read(store.require("sample", key).folder / "samples.parquet") for key in keys]
    samples = SampleSet.join(parts).take(np.arange(texts))
    return samples if cut is None else sample.cut_bytes(samples, cut)


def make(job: Make, context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a job's entry, or find that another process just did; returns the entry's `meta` and `made`."""
    store = Store(Path(job.store), context.warn)
    entry = store.make(
        job.kind, job.key, job.label, lambda folder: _WORK[job.kind](cast(Any, job), store, folder, context)
    )
    allocator.release()
    return entry.meta, entry.made


def _corpus(job: MakeCorpus | MakeTexts, _: Store, folder: Path, context: Context) -> dict[str, Any]:
    if isinstance(job, MakeTexts):
        return texts.prepare(job.texts, job.test_every, folder).model_dump()
    settings = job.settings
    if settings.source.kind != "train":
        heldout = settings.corpus.heldout_documents
        return tokens.prepare_heldout(open_corpus(settings.corpus), heldout, folder).model_dump()
    meta = tokens.prepare(
        open_corpus(settings.corpus),
        settings.tokenizer,
        context=settings.model.context,
        heldout=settings.corpus.heldout_documents,
        folder=folder,
        whole=open_corpus(settings.corpus.model_copy(update={"topics": ""})),
        progress=context.progress,
        **blocks(settings),
    )
    return meta.model_dump()


def _model(job: MakeModel, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    source = job.settings.source
    if not source.has_likelihood:
        return SourceMeta().model_dump()
    if source.kind == "checkpoint":
        device = models.pick_device(job.device)
        models.set_numerics(job.settings.numerics, device)
        corpus = store.require("corpus", job.corpus).folder
        found = checkpoint.adopt(source, job.settings.serve, corpus, folder, device=device, progress=context.progress)
        return found.model_dump()
    return _together(job, store, folder, context)


def _together(job: MakeModel, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    """Train a model and those beside it, whose entries are made here too; returns the `meta` of the first."""
    folders, metas = {job.key: folder}, dict[str, dict[str, Any]]()

    def enter(orders: Sequence[MakeModel]) -> None:
        """Take the lock and the folder of one after another, and train once all are there."""
        if not orders:
            jobs = [one for one in (job, *job.beside) if one.key in folders]
            trained = _trained(jobs, store, [folders[one.key] for one in jobs], context)
            metas.update({one.key: meta for one, meta in zip(jobs, trained, strict=True)})
            return
        first, *others = orders

        def build(own: Path) -> dict[str, Any]:
            folders[first.key] = own
            enter(others)
            return metas[first.key]

        store.make(first.kind, first.key, first.label, build)
        if first.key not in folders:  # another process has made it meanwhile
            enter(others)

    enter(job.beside)
    return metas[job.key]


def _trained(
    jobs: Sequence[MakeModel], store: Store, folders: Sequence[Path], context: Context
) -> list[dict[str, Any]]:
    orders = [
        train.Order(
            job.settings,
            job.seed,
            store.require("corpus", job.corpus).folder,
            folder,
            store.partial(job.key),
            store.require("model", job.start).folder if job.start else None,
        )
        for job, folder in zip(jobs, folders, strict=True)
    ]
    _keep_kernels(store)
    metas = train.train(orders, models.pick_device(jobs[0].device), progress=context.progress, warn=context.warn)
    return [meta.model_dump() for meta in metas]


def _keep_kernels(store: Store) -> None:
    """Have what torch's compiler makes kept in the store, for other processes and later runs."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(store.compiled)


def _load(job: MakeSample | MakeScore, store: Store) -> tuple[Any, Reader, list[list[int]]]:
    """Model, tokenizer and encoded prompts of a variant."""
    device = models.pick_device(job.device)
    models.set_numerics(job.settings.numerics, device)
    entry, source, spec = store.require("model", job.model), job.settings.source, job.settings.sampling
    reader = tokens.reader(entry.folder, entry.meta)
    begun = tokens.prompts(store.require("corpus", job.corpus).folder, spec.prompt_characters)
    positions = job.settings.model.context if source.kind == "train" else entry.meta["context"]
    prompts = sample.encode_prompts(reader.tokenizer, begun, reader.begin, spec, positions)
    if source.kind == "train":
        return models.load(entry.folder, job.settings.serve, device), reader, prompts
    return checkpoint.load(source, job.settings.serve, device), reader, prompts


def _fused(job: MakeSample) -> bool:
    """Whether to sample with fused kernels.

    Small models leave a GPU waiting for each of their kernels; a CPU is as fast without. Of foreign checkpoints nobody
    knows whether they compile.
    """
    fused = job.settings.numerics.compile and job.settings.source.kind == "train"
    return fused and models.pick_device(job.device).type == "cuda"


def _given(job: MakeSample, store: Store, folder: Path) -> dict[str, Any]:
    """Texts of one label, of those that exist already."""
    corpus = store.require("corpus", job.corpus).folder
    table = texts.select(corpus, job.settings.source.model, job.texts, job.split.test_every, job.seed)
    pq.write_table(table, folder / "samples.parquet")
    return {"texts": len(table), "tokens": 0}


def _drawn(job: MakeSample, rows: list[int], store: Store, folder: Path, context: Context) -> dict[str, Any]:
    """Texts of a backend of lm-eval."""
    spec = job.settings.sampling
    prompts = tokens.prompts(store.require("corpus", job.corpus).folder, spec.prompt_characters)
    table = backend.sample(
        job.settings.source,
        spec,
        prompts,
        rows,
        stream_name(job.model, job.settings, job.seed),
        device=str(models.pick_device(job.device)),
        partial=store.partial(job.key),
        progress=context.progress,
    )
    pq.write_table(table, folder / "samples.parquet")
    return {"texts": len(table), "tokens": 0}


def _sample(job: MakeSample, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    spec, kind = job.settings.sampling, job.settings.source.kind
    if kind == "texts":
        return _given(job, store, folder)
    if kind == "lm_eval":
        first = (job.index or 0) * spec.block
        return _drawn(job, list(range(first, min(first + spec.block, job.texts))), store, folder, context)
    model, reader, prompts = _load(job, store)
    if job.index is None:
        all_rows = np.arange(job.texts)
        asked = np.array([sample.prompt_of(int(row), len(prompts)) for row in all_rows])
        rows = all_rows[split.test_rows(asked, job.split)].tolist()
    else:
        rows = list(range(job.index * spec.block, (job.index + 1) * spec.block))
    stream, fused = stream_name(job.model, job.settings, job.seed), _fused(job)
    _keep_kernels(store)
    parts = []
    for start in range(0, len(rows), spec.block):
        block = rows[start : start + spec.block]
        drawn = sample.sample_rows(model, spec, block, prompts, reader.tokenizer, reader.end, *stream, fused=fused)
        parts.append(drawn)
        context.progress(start + len(block), len(rows), "texts")
    samples = SampleSet.join(parts)
    samples.write(folder / "samples.parquet")
    return {"texts": len(samples.texts), "tokens": int(samples.lengths.sum())}


def _score(job: MakeScore, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    model, reader, prompts = _load(job, store)
    # Where a vocabulary is large, the logits of fewer rows fit into memory.
    width = max(map(len, prompts)) + job.settings.sampling.max_tokens
    most = SCORE_ROWS[models.pick_device(job.device).type]
    rows = max(1, min(most, SCORE_LOGITS // (width * reader.tokenizer.get_vocab_size())))
    drawn = [read_samples(store, keys, job.texts, job.cut) for keys in job.samples]
    asked = SampleSet.join([part.take(split.test_rows(part.prompts, job.split)) for part in drawn])
    if job.cut is not None:
        asked = sample.retokenised(asked, reader.tokenizer, reader.end)
    scores = sample.token_log_likelihood(
        model, job.settings.sampling, asked, prompts, rows=rows, progress=context.progress
    )
    safetensors.numpy.save_file({"token_log_likelihood": scores}, folder / "scores.safetensors")
    return {"texts": len(scores)}


def _labelled(job: Labelled, store: Store) -> tuple[list[SampleSet], list[SampleSet]]:
    """Training and test texts of each sample set."""
    known, asked = [], []
    for keys in job.samples:
        samples = read_samples(store, keys, job.texts, job.cut)
        test = split.test_rows(samples.prompts, job.split)
        known.append(samples.take(~test))
        asked.append(samples.take(test))
    return known, asked


def _prediction(job: MakePrediction, store: Store, folder: Path, _: Context) -> dict[str, Any]:
    known, asked = _labelled(job, store)
    shown = [(label, part) for label, part, seen in zip(job.labels, known, job.known, strict=True) if seen]
    found = attribute(
        lambda seed: registry.build(job.baseline, seed),
        job.seed,
        [text for _, part in shown for text in part.texts],
        [label for label, part in shown for _ in part.texts],
        [prompt for _, part in shown for prompt in part.prompts.tolist()],
        [text for part in asked for text in part.texts],
    )
    pq.write_table(
        pa.table({"proba": pa.array(found.proba.tolist(), pa.list_(pa.float64()))}), folder / "proba.parquet"
    )
    n_train, n_test = (sum(len(part.texts) for part in parts) for parts in ([part for _, part in shown], asked))
    seconds = {"fit_seconds": round(found.fit_seconds, 3), "predict_seconds": round(found.predict_seconds, 3)}
    seconds["peak_mb"] = found.peak_mb
    return {"classes": list(found.classes), "n_train": n_train, "n_test": n_test, **seconds}


def _study(job: MakeStudy, store: Store, folder: Path, context: Context) -> dict[str, Any]:
    known, asked = _labelled(job, store)
    experiment = study.Experiment(
        build=lambda seed: registry.build(job.baseline, seed),
        seed=job.seed,
        labels=job.labels,
        replicates=np.array(job.replicates, dtype=np.int64),
        split=job.fold,
        train=_texts(known),
        test=_texts(asked),
    )
    names = [f"{label}/r{replicate}" for label, replicate in zip(job.labels, job.replicates, strict=True)]
    found: Any
    match job.study:
        case "permutation":
            found = study.permutation(experiment, job.analysis.permutations, job.analysis.texts, context.progress)
        case "length":
            found = _length(job, store, experiment, known, asked)
        case "pooled":
            found = study.pooled_curve(experiment)
        case "train_texts":
            found = study.training_curve(experiment)
        case "classes":
            found = study.class_curve(experiment, names)
        case "wording":
            found = study.wording(experiment)
        case "robustness":
            found = _robustness(job, store, experiment, known, asked)
        case _:
            raise ValueError(f"no study {job.study!r}")
    (folder / "study.json").write_text(canonical_json(found))
    return {}


def _texts(parts: Sequence[SampleSet]) -> study.Texts:
    """Texts of all variants, variant after variant."""
    source = np.repeat(np.arange(len(parts)), [len(part.texts) for part in parts])
    prompts = np.concatenate([part.prompts for part in parts])
    return study.Texts([text for part in parts for text in part.texts], source, prompts)


def _length(
    job: MakeStudy, store: Store, experiment: study.Experiment, known: list[SampleSet], asked: list[SampleSet]
) -> study.Curve:
    if job.cut is not None or job.model is None:

        def first_bytes(size: int) -> tuple[study.Texts, study.Texts]:
            train, test = (
                texts.changed(lambda those: [tokens.first_bytes(text, size) for text in those])
                for texts in (experiment.train, experiment.test)
            )
            return train, test

        longest = job.cut or _usual_bytes(asked)
        return study.length_curve(experiment, first_bytes, study.powers(longest, 8), "bytes")
    cut = _cutter(job, store)
    longest = max(int(part.lengths.max()) for part in asked)

    def first_tokens(size: int) -> tuple[study.Texts, study.Texts]:
        return _texts([cut(part, size) for part in known]), _texts([cut(part, size) for part in asked])

    return study.length_curve(experiment, first_tokens, study.powers(longest, 4), "tokens")


def _usual_bytes(parts: Sequence[SampleSet]) -> int:
    """Bytes that nine texts in ten are not longer than."""
    sizes = [len(text.encode()) for part in parts for text in part.texts]
    return max(8, int(np.quantile(sizes, 0.9)))


def _cutter(job: MakeStudy, store: Store) -> Callable[[SampleSet, int], SampleSet]:
    entry = store.require("model", job.model or "")
    reader = tokens.reader(entry.folder, entry.meta)
    return lambda part, size: sample.cut_tokens(part, size, reader.tokenizer, reader.end)


def _robustness(
    job: MakeStudy, store: Store, experiment: study.Experiment, known: list[SampleSet], asked: list[SampleSet]
) -> list[study.Robustness]:
    if not job.transfer:
        return study.robustness(experiment, job.analysis.transforms, {}, {})
    cut = _cutter(job, store)
    drawn = {
        condition: [SampleSet.read(store.require("sample", key).folder / "samples.parquet") for key in keys]
        for condition, keys in job.transfer.items()
    }
    longest = max((int(part.lengths.max()) for part in asked), default=0)
    short = {
        condition: (_texts([cut(part, size) for part in known]), _texts([cut(part, size) for part in asked]))
        for condition, parts in drawn.items()
        if (size := max(int(part.lengths.max()) for part in parts)) < longest
    }
    transfer = {condition: _texts(parts) for condition, parts in drawn.items()}
    return study.robustness(experiment, job.analysis.transforms, transfer, short)


def _parity(job: MakeParity, store: Store, _: Path, __: Context) -> dict[str, Any]:
    from transformers import AutoTokenizer

    device, source = models.pick_device(job.device), job.settings.source
    models.set_numerics(job.settings.numerics, device)
    entry = store.require("model", job.model)
    if source.kind == "train":
        model, tokenizer = (
            models.load(entry.folder, job.settings.serve, device),
            AutoTokenizer.from_pretrained(entry.folder),
        )
        context = job.settings.model.context
    else:
        model, tokenizer = checkpoint.load(source, job.settings.serve, device), checkpoint.loaded_tokenizer(source)
        context = min(entry.meta["context"] or checkpoint.LONGEST, checkpoint.LONGEST)
    begin = tokens.reader(entry.folder, entry.meta).begin
    corpus = store.require("corpus", job.corpus).folder
    found = parity.parity(model, tokenizer, corpus, begin=begin, context=context, tasks=job.tasks, device=device)
    return {"scores": found}


_WORK: dict[str, Callable[[Any, Store, Path, Context], dict[str, Any]]] = {
    "corpus": _corpus,
    "model": _model,
    "sample": _sample,
    "score": _score,
    "prediction": _prediction,
    "study": _study,
    "parity": _parity,
}
