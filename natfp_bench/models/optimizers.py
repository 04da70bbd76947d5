"""Optimisers and learning-rate schedules: those of torch and transformers, built from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import SGD, Adafactor, AdamW, Muon, Optimizer
from transformers import get_scheduler

from natfp_bench.plan.settings import OptimizerSpec, Recipe


def build(model: torch.nn.Module, spec: OptimizerSpec) -> list[Optimizer]:
    """Build the optimisers of all parameters: one, or two for Muon, which leaves some parameters to AdamW.

    Only matrices decay: norms and biases have no scale to decay to.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    match spec.name:
        case "adamw":
            return [_adamw(parameters, spec)]
        case "adafactor":
            return [Adafactor(_decayed(parameters, spec), lr=spec.lr)]
        case "sgd":
            return [SGD(_decayed(parameters, spec), lr=spec.lr, momentum=spec.momentum, nesterov=True, fused=True)]
        case "muon":
            # Muon is made for matrices that map features to features; embeddings are tables (Jordan et al., 2024).
            tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
            if isinstance(head := model.get_output_embeddings(), torch.nn.Module):  # type: ignore[operator]
                tables.add(id(head.weight))
            hidden = [p for p in parameters if p.ndim == 2 and id(p) not in tables]
            inner = {id(p) for p in hidden}
            # Scaling updates to the size of AdamW's lets one peak rate serve both (Liu et al., arXiv 2502.16982).
            options: dict[str, Any] = {"momentum": spec.momentum, "adjust_lr_fn": "match_rms_adamw"}
            muon = Muon(hidden, lr=spec.lr, weight_decay=spec.weight_decay, **options)
            return [muon, _adamw([p for p in parameters if id(p) not in inner], spec)]


def _adamw(parameters: Sequence[torch.nn.Parameter], spec: OptimizerSpec) -> Optimizer:
    return AdamW(_decayed(parameters, spec), lr=spec.lr, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True)


def _decayed(parameters: Sequence[torch.nn.Parameter], spec: OptimizerSpec) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def schedule(optimizer: Optimizer, recipe: Recipe) -> Any:
    """Learning-rate schedule of a training; converts the warm-up from tokens to steps."""
    warmup = recipe.schedule.warmup_tokens // (recipe.budget.batch * recipe.model.context)
    options: dict[str, Any] = {"num_warmup_steps": warmup, "num_training_steps": recipe.steps}
    match recipe.schedule.name:
        case "warmup_stable_decay" as name:
            # The last tenth decays, as in MiniCPM (arXiv 2404.06395).
            decay = min(recipe.steps // 10, recipe.steps - warmup)
            if recipe.schedule.decay_at_stop:
                decay, options["num_training_steps"] = recipe.decay_steps, recipe.stop_step
            return get_scheduler(name, optimizer, scheduler_specific_kwargs={"num_decay_steps": decay}, **options)
        case "constant":
            return get_scheduler("constant_with_warmup", optimizer, **options)
        case name:
            return get_scheduler(name, optimizer, **options)


def finetune_schedule(optimizer: Optimizer, recipe: Recipe) -> Any:
    """Schedule of the fine-tuning: linear from its peak to zero, without warm-up."""
    return get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=recipe.finetune_steps)
