"""Optimisers: each moves its own parameters, and continues from a checkpoint as if undisturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, small
from trainings import changed, fresh, log, run, same_run

from natfp_bench.models import model as models
from natfp_bench.models import optimizers, train
from natfp_bench.plan.settings import OptimizerSpec, Settings

RATES = {"adamw": 4e-3, "adafactor": 4e-2, "muon": 4e-3, "sgd": 0.2}
"""A peak rate at which each optimiser trains `tiny` well."""


def built(architecture: str, name: str, *, tied: bool = True, **given: Any) -> tuple[torch.nn.Module, list[Any]]:
    model = models.build(small(architecture=architecture, tied_embeddings=tied), 300, 0, "a")
    return model, optimizers.build(model, OptimizerSpec(name=name, **{"lr": 0.1, **given}))


def moved_by(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    """Names of the parameters that an optimiser has."""
    mine = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in mine}


def is_table(name: str) -> bool:
    """Whether a parameter is an embedding or the head, by the names that the architectures give them."""
    return any(part in name for part in ("embed_tokens", "wte", "wpe", "embed_in", "embed_out", "lm_head"))


FAST = [*(("llama", name) for name in RATES), ("gpt2", "muon")]


@pytest.mark.parametrize(
    ("architecture", "name"),
    [*FAST, *(pytest.param("gpt2", name, marks=pytest.mark.slow) for name in RATES if name != "muon")],
)
def test_each_optimiser_trains_and_goes_on_bit_for_bit(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, name: str, architecture: str
) -> None:
    settings = changed(tiny, optimizer__name=name, optimizer__lr=RATES[name], model__architecture=architecture)
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    assert whole.status == "ok"
    lines = log(tmp_path / "whole")
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.7
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path / "broken", stop_at=33)
    steps: list[int] = []
    assert run(settings, tiny_corpus, tmp_path / "broken", steps=steps) == whole
    assert steps == list(range(31, 41)), "from the checkpoint, not from the beginning"
    same_run(tmp_path / "broken", tmp_path / "whole")


def test_optimisers_end_in_models_of_their_own(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    short = changed(tiny, budget__tokens=8 * 32 * 4, schedule__warmup_tokens=0)
    found = {
        name: run(changed(short, optimizer__name=name, optimizer__lr=RATES[name]), tiny_corpus, tmp_path / name)
        for name in RATES
    }
    assert len({meta.weights for meta in found.values()}) == 4
    assert len({meta.training_multiset for meta in found.values()}) == 1


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_moved_once(architecture: str, name: str, tied: bool) -> None:
    model, found = built(architecture, name, tied=tied)
    groups = [parameter for one in found for group in one.param_groups for parameter in group["params"]]
    assert len(groups) == len({id(parameter) for parameter in groups})
    assert {id(parameter) for parameter in groups} == {id(parameter) for parameter in model.parameters()}
    assert len(found) == (2 if name == "muon" else 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_muon_moves_the_matrices_of_the_layers_and_adamw_the_rest(architecture: str, tied: bool) -> None:
    model, (muon, adamw) = built(architecture, "muon", tied=tied)
    assert (type(muon).__name__, type(adamw).__name__) == ("Muon", "AdamW")
    hidden = {name for name, p in model.named_parameters() if p.ndim == 2 and not is_table(name)}
    # Attention and feed-forward of two layers: seven matrices each in a Llama, four in the others.
    assert len(hidden) == 2 * (7 if architecture == "llama" else 4)
    assert moved_by(model, muon) == hidden
    assert moved_by(model, adamw) == {name for name, _ in model.named_parameters()} - hidden


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_step_of_muon_is_orthogonal_and_one_of_adamw_a_sign(tiny: Settings, architecture: str) -> None:
    """The first step identifies an optimiser: Muon's has equal singular values, AdamW's equal entries."""
    settings = changed(
        tiny, model__architecture=architecture, optimizer__name="muon", optimizer__weight_decay=0, optimizer__lr=1e-2
    )
    settings = changed(settings, schedule__warmup_tokens=0, model__tied_embeddings=False)
    model = models.build(settings.model, 300, 0, "a")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    state = fresh(settings, model)
    rows = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(0))
    train._step(state, rows, settings)
    hidden = moved_by(model, state.optimizers[0])
    for name, parameter in model.named_parameters():
        step = (parameter.detach() - before[name]) / 1e-2
        if name in hidden:
            # As large as AdamW's by root mean square (Liu et al., 2025): 0.2 of the rate.
            values = torch.linalg.svdvals(step) / (0.2 * max(step.shape) ** 0.5)
            assert values.max() < 1.3, name
            assert values.median() > 0.6, name
        else:
            far = parameter.grad.abs() > 1e-5  # from AdamW's epsilon
            assert torch.allclose(step[far], -parameter.grad[far].sign(), atol=2e-2), name


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weight_decay_is_on_matrices_only(name: str, architecture: str) -> None:
    """If gradients are zero, only decay moves a parameter: by rate times strength, for SGD with its momentum."""
    model, found = built(architecture, name, weight_decay=0.5, momentum=0.9)
    before = {path: parameter.detach().clone() for path, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in found:
        optimizer.step()
    decayed = 1 - 0.1 * 0.5 * (1.9 if name == "sgd" else 1.0)
    for path, parameter in model.named_parameters():
        factor = decayed if parameter.ndim == 2 else 1.0
        assert torch.allclose(parameter, before[path] * factor, atol=1e-7), path


def test_numbers_reach_their_optimiser() -> None:
    of = {"lr": 0.02, "momentum": 0.8, "beta1": 0.7, "beta2": 0.6, "epsilon": 1e-3, "weight_decay": 0.3}
    groups = {name: [one.param_groups[0] for one in built("llama", name, **of)[1]] for name in RATES}
    [adamw], [adafactor], [sgd] = groups["adamw"], groups["adafactor"], groups["sgd"]
    muon, beside = groups["muon"]
    for group in (adamw, adafactor, sgd, muon, beside):
        assert (group["lr"], group["weight_decay"]) == (0.02, 0.3)
    for group in (adamw, beside):
        assert (group["betas"], group["eps"]) == ((0.7, 0.6), 1e-3)
    assert sgd["nesterov"]
    assert sgd["momentum"] == muon["momentum"] == 0.8


def test_all_optimisers_of_a_run_follow_one_schedule(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: dict[str, list[float]] = {"Muon": [], "AdamW": []}
    for kind in (torch.optim.Muon, torch.optim.AdamW):
        step = kind.step

        def spy(self: Any, *rest: Any, step: Any = step) -> Any:
            used[type(self).__name__].append(self.param_groups[0]["lr"])
            return step(self, *rest)

        monkeypatch.setattr(kind, "step", spy)
    run(changed(tiny, optimizer__name="muon", budget__tokens=8 * 32 * 12), tiny_corpus, tmp_path)
    assert used["Muon"] == used["AdamW"]
    assert len(set(used["Muon"])) > 6
