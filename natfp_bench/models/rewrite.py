"""Rewriting of texts by another language model, token by token, with an exact rule for what is accepted.

A text is a state of a Markov chain (Metropolis and Hastings). At each place in turn the rewriter draws a token, given
those before it; the draw is accepted with probability min(1, L' / L), where L' and L are the likelihoods of the rest of
the text after the new token and after the old one. So a rewritten text stays one that could be said, keeps its length,
and the more often this is repeated, the more the texts become the rewriter's own.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from natfp_bench.base import streams
from natfp_bench.base.progress import Progress, no_progress

from . import vocabulary
from .sample import SampleSet
from .sampler import draw

AT_ONCE = 2**25
"""Probabilities in memory at a time: places times tokens of the vocabulary, for all texts that are read together."""


def rewrite(
    model: torch.nn.Module,
    samples: SampleSet,
    begin: int,
    end: int,
    *stream: streams.Name,
    sweeps: int,
    progress: Progress = no_progress,
) -> tuple[list[list[int]], int]:
    """Rewrite texts; returns their tokens, with the end token where there was one, and how many places have changed.

    samples: of a model with the same tokenizer; its rows name the random numbers. begin, end: tokens around a text.
    sweeps: how often each place is drawn anew.
    """
    longest = int(samples.lengths.max())
    size = max(1, AT_ONCE // ((longest + 1) * vocabulary.rows(model)))
    written: list[list[int]] = []
    for start in range(0, len(samples.ids), size):
        some = samples.take(np.arange(start, min(start + size, len(samples.ids))))
        written += _rewritten(model, some, begin, end, *stream, sweeps=sweeps, width=longest + 1)
        progress(len(written), len(samples.ids), "texts")
    changed = sum(a != b for old, new in zip(samples.ids, written, strict=True) for a, b in zip(old, new, strict=True))
    return written, changed


@torch.inference_mode()
def _rewritten(
    model: torch.nn.Module, samples: SampleSet, begin: int, end: int, *stream: streams.Name, sweeps: int, width: int
) -> list[list[int]]:
    device = next(model.parameters()).device
    rows = [[begin, *ids] for ids in samples.ids]
    tokens = torch.tensor([[*row, *[end] * (width - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    body = lengths - torch.tensor(samples.ended.tolist(), dtype=torch.long, device=device)
    # Two numbers for each place and sweep: one draws the token, the other decides about it.
    given = streams.uniforms(samples.rows.tolist(), 2 * sweeps * width, *stream).reshape(-1, sweeps, 2, width)
    uniforms = torch.from_numpy(given).to(device)
    offers, logs = _read(model, tokens, lengths)
    for sweep in range(sweeps):
        for place in range(1, width):
            offered = offers[:, place - 1].clone()
            offered[:, end] = -torch.inf
            drawn = draw(offered.log_softmax(-1), uniforms[:, sweep, 0, place])
            asked = (place < body) & (drawn != tokens[:, place])
            if not asked.any():
                continue
            other = tokens.clone()
            other[asked, place] = drawn[asked]
            then, after = _read(model, other, lengths)
            gain = (after - logs)[:, place + 1 :].double().sum(1)
            taken = asked & (uniforms[:, sweep, 1, place].log() < gain)
            tokens[taken], offers[taken], logs[taken] = other[taken], then[taken], after[taken]
    return [row[1:length] for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]


def _read(model: torch.nn.Module, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of what may follow each place, (rows, width - 1, vocabulary), and of each token, (rows, width).

    The log-probability of a token stands at its own place; it is 0 beyond a text, and for the begin token.
    """
    found = model(input_ids=tokens[:, :-1], use_cache=False).logits.float().log_softmax(-1)
    own = found.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    place = torch.arange(1, tokens.shape[1], device=tokens.device)
    return found, torch.nn.functional.pad(own.masked_fill(place >= lengths[:, None], 0.0), (1, 0))
