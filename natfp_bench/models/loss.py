"""The loss of language modelling, plain or compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .compiled import compiled

Loss = Callable[[Callable[..., Any], Tensor], Tensor]
"""Loss of a model, called as transformers' are, on tokens (rows, positions)."""

IGNORED = -100
"""Target of positions that predict nothing."""


def next_token_loss(model: Callable[..., Any], tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it, in nats; tokens: (rows, positions) int64."""
    logits = model(input_ids=tokens, use_cache=False).logits
    # The last position has nothing to predict: to ignore it costs less than to copy all others.
    targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=IGNORED)
    logits, targets = logits.flatten(0, 1).float(), targets.flatten()
    if torch.compiler.is_compiling():  # which makes its own of it
        return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED)
    loss: Tensor = _CrossEntropy.apply(logits, targets)[0]  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy, targets `IGNORED` left out: torch's, in half the time on a CPU.

    logits: (rows, vocabulary) float32; targets: (rows,). What the backward pass needs comes along as a second value.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        kept, largest = targets != IGNORED, logits.amax(-1, keepdim=True)
        taken = logits.gather(-1, targets.clamp_min(0)[:, None])
        odds = (logits - largest).exp_()
        total = odds.sum(-1, keepdim=True)
        loss = ((total.log() + largest - taken).squeeze(-1) * kept).sum() / kept.sum()
        # Derivative: probabilities less what was the case, each row by its share of the mean.
        share = (kept / kept.sum())[:, None]
        odds.mul_(share / total)
        odds.scatter_add_(-1, targets.clamp_min(0)[:, None], -share)
        return loss, odds

    @staticmethod
    def setup_context(ctx: Any, _: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return derivative * gradient, None


@functools.cache
def compiled_loss() -> Loss:
    """`next_token_loss`, compiled once for all models of a process."""
    return compiled(next_token_loss)


def gradients(losses: Callable[[Tensor], Tensor], tokens: Tensor, *, micro_batch: int, half: bool) -> Tensor:
    """Add the gradients of a batch to those that are there; returns the loss, in nats a token.

    losses: loss of a part of the batch, a number or one for each of some models. tokens: (..., rows, positions).
    micro_batch: rows that go through at once, 0 for all. half: multiply matrices in bfloat16.
    """
    total = torch.zeros((), device=tokens.device)
    for part in torch.split(tokens, micro_batch or tokens.shape[-2], dim=-2):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=half):
            loss = losses(part)
        # Gradients add up over the parts of a batch; each counts by its share of the sequences.
        loss = loss * (part.shape[-2] / tokens.shape[-2])
        loss.sum().backward()  # type: ignore[no-untyped-call]
        total = total + loss.detach()
    return total
