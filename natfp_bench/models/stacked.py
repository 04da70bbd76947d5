"""Many small models at once: parameters of one shape side by side, so that each product of matrices serves all.

A small model leaves a GPU waiting for its next kernel. Stacked models share their kernels: `torch.func.vmap` turns the
forward pass of one model into that of all, and what each model computes does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from .loss import Loss


class Stack:
    """Models whose parameters lie in common memory, (size, ...) each; the places that are left over repeat the first.

    The models go on to be what they were: who changes their parameters in place, as optimisers do, changes the stack.
    size is part of what a model is, since float sums may depend on it; so a stack that lacks members is no smaller.
    """

    def __init__(self, models: Sequence[torch.nn.Module], size: int) -> None:
        if not 0 < len(models) <= size:
            raise ValueError(f"{len(models)} models do not fit a stack of {size}")
        self.size, self.first = size, models[0]
        self.attention = str(self.first.config._attn_implementation)  # type: ignore[union-attr]
        if next(self.first.parameters()).device.type == "cpu":
            # torch knows how to batch the fused attention of a GPU, and not that of a CPU.
            self.first.set_attn_implementation("eager")  # type: ignore[operator]
        self.parameters: dict[str, Tensor] = {}
        self.members = [dict(model.named_parameters()) for model in models]
        for name, parameter in self.members[0].items():
            rows = [member[name].detach() for member in self.members]
            self.parameters[name] = torch.stack([*rows, *[parameter.detach()] * (size - len(rows))]).requires_grad_()
            self._lay(name, self.parameters[name].detach())

    def _lay(self, name: str, rows: Sequence[Tensor] | Tensor) -> None:
        for member, row in zip(self.members, rows, strict=False):
            member[name].data = row

    def batch(self, tokens: Mapping[int, Tensor]) -> Tensor:
        """Put the batches of some members, (rows, positions) each, at their places: (size, rows, positions)."""
        idle = torch.zeros_like(next(iter(tokens.values())))
        return torch.stack([tokens.get(place, idle) for place in range(self.size)])

    def losses(self, loss: Loss, tokens: Tensor) -> Tensor:
        """Loss of each model on its own tokens, (size, rows, positions): (size,)."""

        def one(parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
            return loss(lambda **inputs: functional_call(self.first, parameters, kwargs=inputs), rows)

        losses: Tensor = vmap(one)(self.parameters, tokens)
        return losses

    def share_gradients(self) -> None:
        """Hand each model its part of the gradients that have come together, and forget them here."""
        for name, stacked in self.parameters.items():
            for member, gradient in zip(self.members, stacked.grad if stacked.grad is not None else (), strict=False):
                member[name].grad = gradient
            stacked.grad = None

    def dissolve(self) -> None:
        """Give each model memory of its own again."""
        for name, stacked in self.parameters.items():
            self._lay(name, [row.clone() for row in stacked.detach()])
        self.first.set_attn_implementation(self.attention)  # type: ignore[operator]
