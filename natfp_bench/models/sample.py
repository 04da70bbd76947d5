"""Texts of a causal language model, drawn in blocks, and the likelihood of texts under the same sampler.

Rows are sampled in blocks of a fixed size, padded if fewer rows are wanted, and each row has its own uniform numbers.
So workers, restarts and limits never change a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from natfp_bench.base import streams
from natfp_bench.base.errors import UserError
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.base.text import first_bytes
from natfp_bench.plan.text_settings import DrawSpec, SamplerSpec

from . import vocabulary
from .metas import Prefix
from .sampler import generate, sampler_log_probabilities

BOUNDARY = 1e-5
"""A scored token this close to the limit of top-k or top-p counts as kept: the sampler sums floats in another order."""


@dataclass(frozen=True)
class SampleSet:
    """Texts drawn from one variant, in the order of their rows.

    ids: tokens of the completion, with the end token if it was drawn. log_probability: of the completion under the
    sampler, in nats.
    """

    rows: NDArray[np.int64]
    prompts: NDArray[np.int64]
    ids: list[list[int]]
    texts: list[str]
    ended: NDArray[np.bool_]
    log_probability: NDArray[np.float64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each completion."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def take(self, keep: NDArray[Any]) -> SampleSet:
        """Select rows by a mask or by indices."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        ids, texts = [self.ids[i] for i in index], [self.texts[i] for i in index]
        log_probability = self.log_probability[index]
        return SampleSet(self.rows[index], self.prompts[index], ids, texts, self.ended[index], log_probability)

    @staticmethod
    def join(parts: Sequence[SampleSet]) -> SampleSet:
        """Concatenate sample sets."""
        return SampleSet(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.prompts for part in parts]),
            [row for part in parts for row in part.ids],
            [text for part in parts for text in part.texts],
            np.concatenate([part.ended for part in parts]),
            np.concatenate([part.log_probability for part in parts]),
        )

    def write(self, path: Path) -> None:
        """Write as Parquet."""
        columns = {"row": self.rows, "prompt": self.prompts, "ids": pa.array(self.ids, pa.list_(pa.int32()))}
        columns |= {"text": self.texts, "ended": self.ended, "log_probability": self.log_probability}
        pq.write_table(pa.table(columns), path)

    @staticmethod
    def read(path: Path) -> SampleSet:
        """Read what `write` wrote."""
        return SampleSet.of(pq.read_table(path))

    @staticmethod
    def of(table: pa.Table) -> SampleSet:
        """Take the rows of a table; fixed texts have no tokens."""
        texts, ended = table["text"].to_pylist(), table["ended"].to_numpy()
        rows, prompts = (table[name].to_numpy().astype(np.int64) for name in ("row", "prompt"))
        if "ids" not in table.column_names:
            return SampleSet(rows, prompts, [[] for _ in texts], texts, ended, np.full(len(texts), np.nan))
        return SampleSet(
            rows, prompts, table["ids"].to_pylist(), texts, ended, table["log_probability"].to_numpy().copy()
        )


def cut_bytes(samples: SampleSet, size: int) -> SampleSet:
    """Cut texts to so many bytes; a text of that length or more counts as not ended. Token ids are not cut."""
    texts = [first_bytes(text, size) for text in samples.texts]
    ended = samples.ended & np.array([len(text.encode()) < size for text in samples.texts], dtype=np.bool_)
    return replace(samples, texts=texts, ended=ended)


def cut_tokens(samples: SampleSet, size: int, tokenizer: Tokenizer, end: int) -> SampleSet:
    """Cut texts to so many tokens; log-probabilities stay those of the whole texts."""
    ids = [row[:size] for row in samples.ids]
    texts = tokenizer.decode_batch([[i for i in row if i != end] for row in ids], skip_special_tokens=True)
    return replace(samples, ids=ids, texts=texts, ended=samples.ended & (samples.lengths <= size))


def retokenised(samples: SampleSet, tokenizer: Tokenizer, end: int) -> SampleSet:
    """Replace token ids by those of another tokenizer, with an end token after each text that ended."""
    read = tokenizer.encode_batch(samples.texts, add_special_tokens=False)
    ids = [[*one.ids, end] if over else list(one.ids) for one, over in zip(read, samples.ended, strict=True)]
    return replace(samples, ids=ids)


def check_room(samples: SampleSet, prompts: Sequence[Sequence[int]], context: int | None, name: str) -> None:
    """Raise UserError if a text of another tokenizer is too long for a model; name: of the model in messages."""
    longest = max(map(len, prompts)) + int(samples.lengths.max(initial=0)) - 1
    if context is not None and longest > context:
        raise UserError(
            f"{name}: a text takes {longest} tokens of its tokenizer, prompt included, and its context has {context}\n"
            "  --set sampling.max_tokens=N, or a smaller sampling.prompt_characters"
        )


def encode_prompts(
    tokenizer: Tokenizer, prompts: Sequence[str], begin: int, spec: SamplerSpec, context: int | None
) -> list[list[int]]:
    """Token ids of the prompts, each after the begin token; raises UserError if one leaves too little room for a text.

    context: positions of the model, None if there is no limit.
    """
    ids = [[begin, *tokenizer.encode(prompt, add_special_tokens=False).ids] for prompt in prompts]
    longest = max(map(len, ids))
    # The last token drawn is never fed back, so it needs no position.
    if context is not None and longest + spec.max_tokens - 1 > context:
        raise UserError(
            f"a prompt of {spec.prompt_characters} characters takes {longest} tokens; with sampling.max_tokens "
            f"{spec.max_tokens} this exceeds the context of {context}\n"
            "  --set sampling.max_tokens=N, or a smaller sampling.prompt_characters"
        )
    return ids


def prompt_of(row: int, prompts: int) -> int:
    """Prompt id of a row: prompts are used in turn; without prompts (one empty prompt) each row counts as its own."""
    return row if prompts == 1 else row % prompts


def sample_rows(
    model: torch.nn.Module,
    spec: DrawSpec,
    rows: Sequence[int],
    prompts: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    end: int,
    *stream: streams.Name,
    prefix: Prefix = "kept",
) -> SampleSet:
    """Sample one block of rows.

    rows: at most `spec.block` row numbers. prompts: token ids of all prompts, begin token first (`encode_prompts`).
    stream: name of the random stream; each row has its own part of it. prefix: see `metas.Prefix`.
    """
    device = next(model.parameters()).device
    padded = [*rows, *[rows[0]] * (spec.block - len(rows))]
    uniforms = torch.from_numpy(streams.uniforms(padded, spec.max_tokens, *stream)).to(device)
    width = max(map(len, prompts))
    started = [prompts[prompt_of(row, len(prompts)) % len(prompts)] for row in padded]
    tokens = torch.tensor([[end] * (width - len(row)) + list(row) for row in started], device=device)
    mask = None
    if any(len(prompt) < width for prompt in prompts):
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in started], device=device)

    ids, logs = generate(model, spec, tokens, mask, uniforms, end, prefix=prefix)
    return _collect(rows, [prompt_of(row, len(prompts)) for row in rows], ids, logs, tokenizer, end)


def _collect(
    rows: Sequence[int], prompts: Sequence[int], ids: Tensor, logs: Tensor, tokenizer: Tokenizer, end: int
) -> SampleSet:
    drawn, scores = ids[: len(rows)].cpu().numpy(), logs[: len(rows)].double().cpu().numpy()
    is_end = drawn == end
    ended = is_end.any(1)
    lengths = np.where(ended, is_end.argmax(1) + 1, drawn.shape[1])
    kept = [drawn[i, :length].tolist() for i, length in enumerate(lengths)]
    bodies = [row[:-1] if over else row for row, over in zip(kept, ended, strict=True)]
    texts = tokenizer.decode_batch(bodies, skip_special_tokens=True)
    totals = np.array([scores[i, :length].sum() for i, length in enumerate(lengths)])
    return SampleSet(np.array(rows, np.int64), np.array(prompts, np.int64), kept, texts, ended, totals)


def token_log_likelihood(
    model: torch.nn.Module,
    spec: SamplerSpec,
    samples: SampleSet,
    prompts: Sequence[Sequence[int]],
    *,
    rows: int,
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Score completions token by token under a model's actual sampler, in nats.

    rows: number of rows that go through the model at once; always padded to this number, texts of similar length
    together. Returns (texts, tokens) float32, `max_tokens` wide or as the longest text: 0 beyond a text's length, -inf
    if the sampler cannot draw the token.
    """
    device = next(model.parameters()).device
    widest = max([spec.max_tokens, *samples.lengths.tolist()])
    scores = np.zeros((len(samples.ids), widest), dtype=np.float32)
    begun = [prompts[prompt % len(prompts)] for prompt in samples.prompts]
    widths = np.array([len(prompt) + len(ids) for prompt, ids in zip(begun, samples.ids, strict=True)])
    order = np.argsort(widths, kind="stable")
    for start in range(0, len(order), rows):
        batch = order[start : start + rows]
        # Each token that is read, and the token after it if that is scored.
        read = np.zeros((rows, max(1, int(widths[batch].max()) - 1)), dtype=np.int64)
        then = np.zeros_like(read)
        for i, text in enumerate(batch):
            row = np.array([*begun[text], *samples.ids[text]])
            read[i, : len(row) - 1], then[i, : len(row) - 1] = row[:-1], row[1:]
        scored = _score(model, spec, torch.from_numpy(read).to(device), torch.from_numpy(then).to(device))
        for i, text in enumerate(batch):
            first, length = len(begun[text]) - 1, len(samples.ids[text])
            scores[text, :length] = scored[i, first : first + length]
        progress(start + len(batch), len(order), "texts")
    return scores


@torch.inference_mode()
def _score(model: torch.nn.Module, spec: SamplerSpec, read: Tensor, then: Tensor) -> NDArray[np.float32]:
    # Log-probabilities of prompts are wasted. That costs less than copying those of the texts.
    # Another model of the same tokenizer may have more tokens: this one never draws them.
    known = vocabulary.rows(model) - 1
    logits = model(input_ids=read.clamp_max(known), use_cache=False).logits
    log_probabilities = sampler_log_probabilities(logits, spec, boundary=BOUNDARY)
    known = min(known, log_probabilities.shape[-1] - 1)
    scored = log_probabilities.gather(-1, then.clamp_max(known)[..., None]).squeeze(-1)
    scored = scored.masked_fill(then > known, -torch.inf)
    return np.asarray(scored.cpu().numpy(), dtype=np.float32)
