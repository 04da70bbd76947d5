"""Weights made without training: means of models, and pruned models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from natfp_bench.models import derive, model
from natfp_bench.plan.settings import ModelSpec

ARCHITECTURES = ("llama", "gpt2", "gpt_neox")


def built(architecture: str, seed: int = 0, *, tied: bool = True) -> torch.nn.Module:
    spec = ModelSpec(
        architecture=architecture, width=16, layers=2, heads=2, feed_forward=24, context=16, tied_embeddings=tied
    )
    return model.build(spec, 300, 0, "derive", seed)


def weights(of: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: one.detach().numpy().copy() for name, one in of.named_parameters()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_mean_is_that_of_each_weight(architecture: str) -> None:
    models = [built(architecture, seed) for seed in range(3)]
    shares = (0.5, 0.3, 0.2)
    before = [weights(one) for one in models]
    made = weights(derive.mean(models, shares))
    for name, found in made.items():
        expected = sum(share * one[name].astype(np.float64) for share, one in zip(shares, before, strict=True))
        np.testing.assert_array_equal(found, expected.astype(np.float32), err_msg=name)


@pytest.mark.parametrize("which", [0, 1])
def test_all_of_one_model_is_that_model_whatever_the_other_holds(which: int) -> None:
    models = [built("llama", seed) for seed in range(2)]
    expected = weights(models[which])
    with torch.no_grad():
        next(iter(models[1 - which].parameters())).fill_(float("nan"))
    made = weights(derive.mean(models, (1.0 - which, float(which))))
    assert all((made[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pruning_takes_the_smallest_weights_of_each_matrix_of_the_layers(architecture: str, tied: bool) -> None:
    pruned = built(architecture, tied=tied)
    before = weights(pruned)
    derive.prune(pruned, 0.3)
    matrices = 0
    for name, after in weights(pruned).items():
        if after.ndim < 2 or any(part in name for part in ("embed", "wte", "wpe", "lm_head")):
            assert (after == before[name]).all(), f"{name} is no matrix of a layer"
            continue
        matrices += 1
        gone = (after == 0) & (before[name] != 0)
        assert gone.sum() == round(0.3 * after.size), name
        assert np.abs(before[name][gone]).max() <= np.abs(before[name][~gone]).min(), name
        assert (after[~gone] == before[name][~gone]).all(), name
    assert matrices >= 8


def test_among_equal_weights_the_first_ones_are_pruned() -> None:
    pruned = built("llama")
    matrix = next(one for name, one in pruned.named_parameters() if "q_proj" in name)
    with torch.no_grad():
        matrix.fill_(1.0)
    derive.prune(pruned, 0.25)
    zero = (matrix.detach().view(-1) == 0).tolist()
    assert zero == [True] * (len(zero) // 4) + [False] * (len(zero) - len(zero) // 4)
