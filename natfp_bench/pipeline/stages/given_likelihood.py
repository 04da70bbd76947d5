"""Likelihoods of given texts under one model, beside those of the model's own texts; nothing is kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from natfp_bench.pipeline.engine import Context
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.text_settings import SamplerSpec, ServeSpec
from natfp_bench.statistics.intervals import Floats, Ints

from .sample import SampleStage, read_table
from .score import ROWS
from .stage import ModelStage, Workplace


class Likelihoods(NamedTuple):
    """Log-likelihood in nats, tokens and bytes of texts, (n,) each."""

    nats: Floats
    tokens: Ints
    bytes: Ints


@dataclass(frozen=True)
class LikelyWriter:
    """A model, its own sample set, and given texts; store, device: where it is and runs.

    All texts are read in the same way: without a prompt and without the end token, up to as many tokens as the model's
    own texts can have, under the model itself, whatever temperature it was sampled at.
    """

    model: ModelStage
    serve: ServeSpec
    threads: int
    sampler: SamplerSpec
    samples: tuple[SampleStage, ...]
    texts: int
    given: tuple[str, ...]
    store: str
    device: str


def score(question: LikelyWriter, context: Context) -> tuple[Likelihoods, Likelihoods]:
    """Score in a worker; returns the likelihoods of the model's own texts, and those of the given ones.

    A text of which nothing is left counts as one token of no probability to be wrong: 0 nats.
    """
    from natfp_bench.models import sample
    from natfp_bench.models.model import pick_device

    store = Store(Path(question.store), context.warn)
    loaded = question.model.load(
        Workplace(store, store.root, context, question.device), question.serve, question.threads
    )
    reader, plain = loaded.reader, {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "prompt_characters": 0}
    spec = question.sampler.model_copy(update=plain)
    room = min(spec.max_tokens, loaded.positions or spec.max_tokens)
    own = read_table(store, question.samples, question.texts)["text"].to_pylist()
    texts = [*own, *question.given]
    n = len(texts)
    unread = sample.SampleSet(
        np.arange(n), np.zeros(n, np.int64), [[]] * n, texts, np.zeros(n, np.bool_), np.full(n, np.nan)
    )
    read = sample.cut_tokens(
        sample.retokenised(unread, reader.tokenizer, reader.end), room, reader.tokenizer, reader.end
    )
    rows = ROWS[pick_device(question.device).type]
    scores = sample.token_log_likelihood(
        loaded.model, spec, read, [[reader.begin]], rows=rows, progress=context.progress
    )
    nats = scores.astype(np.float64).sum(axis=1)
    sizes = np.array([len(text.encode(errors="replace")) for text in read.texts], dtype=np.int64)
    lengths = read.lengths.astype(np.int64)
    parts = [slice(0, len(own)), slice(len(own), n)]
    first, second = (Likelihoods(nats[part], lengths[part], sizes[part]) for part in parts)
    return first, second
