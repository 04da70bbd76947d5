"""What is made of trained weights without training: weighted means of models, and models with fewer weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


@torch.no_grad()
def mean(models: Sequence[torch.nn.Module], shares: Sequence[float]) -> torch.nn.Module:
    """Weighted mean of the parameters of models of one shape, summed in float64; the first model is changed.

    Models whose share is 0 are left out, so that nothing but the others' weights is in the mean.
    """
    used = [(dict(one.named_parameters()), share) for one, share in zip(models, shares, strict=True) if share]
    for name, parameter in models[0].named_parameters():
        total = torch.zeros_like(parameter, dtype=torch.float64)
        for of, share in used:
            total += share * of[name].double()
        parameter.copy_(total)
    return models[0]


@torch.no_grad()
def prune(model: Any, share: float) -> None:
    """Set the smallest weights of every matrix of the layers in place to zero (Han et al., arXiv 1506.02626).

    model: a causal language model of transformers. In each matrix it is the given share of the weights, rounded; among
    equal ones, those that come first. Embeddings, the output and vectors (norms, biases) stay as they are, as is usual.
    """
    kept = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    kept += [output] if (output := model.get_output_embeddings()) is not None else []
    whole = {id(weight) for module in kept for weight in module.parameters()}
    for weight in model.parameters():
        if weight.ndim == 2 and id(weight) not in whole:
            weights = weight.view(-1)
            weights[weights.abs().argsort(stable=True)[: round(share * len(weights))]] = 0.0
