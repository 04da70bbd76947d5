"""The sampler: temperature, top-k and top-p; each row draws each token with its own uniform number."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer, StaticCache

from natfp_bench.plan.text_settings import SamplerSpec

from . import narrow
from .compiled import compiled
from .metas import Prefix

PART = 32
"""Tokens per part of the vocabulary; `draw` chooses a part first, then a token in it."""


def sampler_log_probabilities(logits: Tensor, spec: SamplerSpec, *, boundary: float = 0.0) -> Tensor:
    """Log-probabilities of the actual sampler: temperature, then top-k, then top-p, renormalised.

    logits: (..., vocabulary). Returns the same shape, with -inf for tokens that are cut off. Tokens that tie with the
    last kept token are kept. Tokens that miss being kept by at most `boundary` (in logits over temperature, or in
    probability mass for top-p) are scored as if they were kept; this does not change the scores of other tokens.
    """
    scaled = logits.float()
    if spec.temperature != 1:
        scaled = scaled / spec.temperature
    if not 0 < spec.top_k < scaled.shape[-1] and spec.top_p == 1:
        return scaled.log_softmax(-1)
    least = _least_kept(scaled, spec, 0.0)
    total = scaled.masked_fill(scaled < least, -torch.inf).logsumexp(-1, keepdim=True)
    if boundary:
        least = _least_kept(scaled, spec, boundary) - boundary
    return (scaled - total).masked_fill(scaled < least, -torch.inf)


def _least_kept(scaled: Tensor, spec: SamplerSpec, boundary: float) -> Tensor:
    """Least logit that truncation keeps if top-p is larger by `boundary`: (..., 1)."""
    least = scaled.amin(-1, keepdim=True)
    if 0 < spec.top_k < scaled.shape[-1]:
        least = scaled.topk(spec.top_k).values[..., -1:]
    if spec.top_p < 1:
        ordered = scaled.masked_fill(scaled < least, -torch.inf).sort(dim=-1, descending=True).values
        mass = ordered.softmax(-1)
        kept = mass.cumsum(-1) - mass < spec.top_p + boundary
        least = torch.maximum(least, ordered.masked_fill(~kept, torch.inf).amin(-1, keepdim=True))
    return least


def draw(log_probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token per row by inverting the cumulative distribution.

    log_probabilities: (rows, vocabulary); uniforms: (rows,) float64 in [0, 1). Returns (rows,) int64.
    """
    mass = log_probabilities.exp()
    # First a part of the vocabulary, then a token in it: summing the whole vocabulary in double precision would cost
    # more than the model's own matrix products.
    parts = torch.nn.functional.pad(mass, (0, -mass.shape[-1] % PART)).reshape(len(mass), -1, PART)
    part, left = _invert(parts.sum(-1), uniforms)
    token, _ = _invert(parts[torch.arange(len(parts), device=parts.device), part], left)
    return part * PART + token


def _invert(mass: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Find in each row of mass (rows, n) the entry at a share of the total; returns it, and the share within it."""
    cumulative = mass.double().cumsum(-1)
    # The entry found has mass, so nothing impossible is drawn. u < 1 in 53 bits stays below 1 after rounding.
    target = uniforms[:, None] * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, target, right=True)
    left = 1 - (cumulative.gather(-1, found) - target) / mass.gather(-1, found).double()
    return found.squeeze(-1), left.clamp(0, 1 - 2**-53).squeeze(-1)


class _Layer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of one layer in memory allocated once: growing by copies would take most of the sampling time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.filled = size, 0
        self.is_initialized = False

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append new positions (rows, heads, positions, width); returns all positions so far."""
        if not self.is_initialized:
            self.memory = [part.new_empty(*part.shape[:2], self.size, part.shape[3]) for part in (keys, values)]
            self.is_initialized = True
        start, self.filled = self.filled, self.filled + keys.shape[2]
        for memory, part in zip(self.memory, (keys, values), strict=True):
            memory[:, :, start : self.filled] = part
        self.keys, self.values = (memory[:, :, : self.filled] for memory in self.memory)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Number of positions so far."""
        return self.filled


@torch.inference_mode()
def generate(
    model: torch.nn.Module,
    spec: SamplerSpec,
    tokens: Tensor,
    mask: Tensor | None,
    uniforms: Tensor,
    end: int,
    *,
    prefix: Prefix = "kept",
) -> tuple[Tensor, Tensor]:
    """Draw token after token; returns ids and log-probabilities, both (rows, max_tokens).

    tokens: (rows, width) of the prompts, padded on the left; mask: 0 at padding, or None if nothing is padded.
    uniforms: (rows, max_tokens) float64. prefix: see `metas.Prefix`; it changes the last digits of probabilities.
    What follows a row's end token means nothing.
    """
    fast = prefix == "kept" and narrow.suits(model)
    ids = torch.full(uniforms.shape, end, device=tokens.device)
    logs = torch.zeros(uniforms.shape, device=tokens.device)
    size = narrow.ROWS if fast else len(tokens)
    for start in range(0, len(tokens), size):
        rows = slice(start, start + size)
        begun = (model, tokens[rows], None if mask is None else mask[rows], spec.max_tokens)
        if fast:
            read: Callable[[Tensor | None], Tensor] = narrow.Decoder(*begun)
        elif prefix == "reread":
            read = _Rereader(*begun)
        else:
            read = _Keeper(*begun, fused=prefix == "fused")
        _draw_all(read, spec, uniforms[rows], end, ids[rows], logs[rows])
    return ids, logs


def _draw_all(
    read: Callable[[Tensor | None], Tensor], spec: SamplerSpec, uniforms: Tensor, end: int, ids: Tensor, logs: Tensor
) -> None:
    """Draw tokens into ids and their log-probabilities into logs, until all rows have ended."""
    token: Tensor | None = None
    alive = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    for i in range(spec.max_tokens):
        log_probabilities = sampler_log_probabilities(read(token), spec)
        token = draw(log_probabilities, uniforms[:, i])
        ids[:, i], logs[:, i] = token, log_probabilities.gather(-1, token[:, None]).squeeze(-1)
        alive &= token != end
        if not alive.any():
            break


class _Keeper:
    """Reads each token once, and keeps the keys and values of those before it.

    tokens, mask: of the prompts; more: most tokens that follow them. A call reads the prompts, or one more token per
    row; it returns the logits of the next one, (rows, vocabulary).
    """

    def __init__(self, model: torch.nn.Module, tokens: Tensor, mask: Tensor | None, more: int, *, fused: bool) -> None:
        self.model, self.prompts, self.fused, self.width = model, tokens, fused, tokens.shape[1]
        self.mask = None if mask is None else torch.nn.functional.pad(mask, (0, more - 1), value=1)
        # Without padding each model sets its own positions.
        self.positions = None if mask is None else (mask.cumsum(-1) - 1).clamp_min(0)
        size = self.width + more - 1
        if fused:
            self.cache: Cache = StaticCache(config=model.config, max_cache_len=size)
        else:
            self.cache = Cache(layer_class_to_replicate=functools.partial(_Layer, size))

    def __call__(self, token: Tensor | None) -> Tensor:
        # Prompts are read only once: not worth compiling.
        step, tokens = _step, self.prompts
        if token is not None:
            step, tokens = _fused_step() if self.fused else _step, token[:, None]
            self.width += 1
            self.positions = None if self.positions is None else self.positions[:, -1:] + 1
        seen = self.mask if self.mask is None or self.fused else self.mask[:, : self.width]
        return step(self.model, tokens, seen, self.positions, self.cache)


class _Rereader:
    """Reads all tokens anew for each next one; called like `_Keeper`.

    Rows begin on the left, so no padding comes before a token; what comes after a token cannot change its logits.
    """

    def __init__(self, model: torch.nn.Module, tokens: Tensor, mask: Tensor | None, more: int) -> None:
        self.model, width = model, tokens.shape[1]
        self.lengths = torch.full(tokens.shape[:1], width, device=tokens.device) if mask is None else mask.sum(1)
        begun = (torch.arange(width, device=tokens.device) - self.lengths[:, None]) % width
        self.rows = torch.nn.functional.pad(tokens.gather(1, begun), (0, more - 1))

    def __call__(self, token: Tensor | None) -> Tensor:
        row = torch.arange(len(self.rows), device=self.rows.device)
        if token is not None:
            self.rows[row, self.lengths] = token
            self.lengths = self.lengths + 1
        read = self.rows[:, : int(self.lengths.max())]
        logits: Tensor = self.model(input_ids=read, use_cache=False).logits[row, self.lengths - 1]
        return logits


def _step(
    model: Callable[..., Any], tokens: Tensor, mask: Tensor | None, positions: Tensor | None, cache: Cache
) -> Tensor:
    """Logits of the next token, (rows, vocabulary), from tokens (rows, n), whose keys and values go to the cache."""
    output = model(input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
    logits: Tensor = output.logits[:, -1]
    return logits


@functools.cache
def _fused_step() -> Callable[..., Tensor]:
    """`_step`, compiled once for all models of a process."""
    return compiled(_step, graphs=True)
