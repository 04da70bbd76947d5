"""The loss of language modelling, plain or compiled, and its gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .compiled import compiled

Loss = Callable[[Callable[..., Any], Tensor], Tensor]
"""Loss of a model on tokens (rows, positions); the model is called like those of transformers."""

IGNORED = -100
"""Target of positions that predict nothing."""


def next_token_loss(model: Callable[..., Any], tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it, in nats; tokens: (rows, positions) int64."""
    logits = model(input_ids=tokens, use_cache=False).logits
    # The last position predicts nothing. Ignoring it costs less than copying all others.
    targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=IGNORED)
    logits, targets = logits.flatten(0, 1).float(), targets.flatten()
    if torch.compiler.is_compiling():  # the compiler makes a fast kernel of its own
        return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED)
    loss: Tensor = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy without targets `IGNORED`: torch's value, in half the time on a CPU.

    logits: (rows, vocabulary) float32; targets: (rows,).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        kept, largest = targets != IGNORED, logits.amax(-1, keepdim=True)
        taken = logits.gather(-1, targets.clamp_min(0)[:, None])
        odds = (logits - largest).exp_()
        total = odds.sum(-1, keepdim=True)
        loss = ((total.log() + largest - taken).squeeze(-1) * kept).sum() / kept.sum()
        # Derivative: probabilities minus the one-hot target, times the row's share of the mean.
        share = (kept / kept.sum())[:, None]
        odds.mul_(share / total)
        odds.scatter_add_(-1, targets.clamp_min(0)[:, None], -share)
        ctx.save_for_backward(odds)
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return derivative * gradient, None


@functools.cache
def compiled_loss() -> Loss:
    """`next_token_loss`, compiled once for all models of a process."""
    return compiled(next_token_loss)


def add_gradients(loss_of: Callable[[Tensor], Tensor], tokens: Tensor, *, micro_batch: int, half: bool) -> Tensor:
    """Add the gradients of a batch to those of the parameters; returns the loss in nats per token.

    loss_of: loss of a part of the batch. tokens: (rows, positions). micro_batch: rows that go through the model at
    once, 0 for all. half: multiply matrices in bfloat16.
    """
    total = torch.zeros((), device=tokens.device)
    for part in torch.split(tokens, micro_batch or len(tokens)):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=half):
            loss = loss_of(part)
        # The gradients of all parts are summed, so each part counts by its share of the rows.
        loss = loss * (len(part) / len(tokens))
        loss.backward()  # type: ignore[no-untyped-call]
        total = total + loss.detach()
    return total
