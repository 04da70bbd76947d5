"""The loss of language modelling, plain or compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .errors import UserError

Loss = Callable[[Callable[..., Any], Tensor], Tensor]
"""Loss of a model, called as transformers' are, on tokens (rows, positions)."""

IGNORED = -100
"""Target of positions that predict nothing."""


def next_token_loss(model: Callable[..., Any], tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it, in nats; tokens: (rows, positions) int64."""
    logits = model(input_ids=tokens, use_cache=False).logits
    # The last position has nothing to predict: to ignore it costs less than to copy all others.
    targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=IGNORED)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)


def compiled(losses: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make the same with fused kernels, by torch's compiler: some seconds once a shape, then faster steps.

    The first call raises UserError where the machine cannot compile.
    """
    made = torch.compile(losses, dynamic=False)

    def call(*arguments: Any) -> Tensor:
        from torch._dynamo.exc import BackendCompilerFailed

        try:
            return made(*arguments)
        except BackendCompilerFailed as error:
            why = str(error).splitlines()[0]
            raise UserError(
                f"numerics.compile: torch's compiler fails ({why})\n"
                "  install a C++ compiler (g++), or --set numerics.compile=false"
            ) from None

    return call


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
