"""Optimisers and learning-rate schedules: those of torch and transformers, built from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import SGD, Adafactor, AdamW, Muon, Optimizer
from transformers import get_scheduler

from natfp_bench.plan.settings import OptimizerSpec, Settings


def build(model: torch.nn.Module, spec: OptimizerSpec) -> list[Optimizer]:
    """Build the optimisers that together move all parameters: one, but for Muon, which leaves some to AdamW.

    Weight decay on matrices only: norms and biases have no scale to be decayed to.
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
            # Muon is for matrices that map features to features; embeddings are tables (Jordan et al., 2024).
            tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
            if isinstance(head := model.get_output_embeddings(), torch.nn.Module):  # type: ignore[operator]
                tables.add(id(head.weight))
            hidden = [p for p in parameters if p.ndim == 2 and id(p) not in tables]
            inner = {id(p) for p in hidden}
            # Updates as large as AdamW's (Liu et al., arXiv 2502.16982), so that one peak rate can serve both.
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


def schedule(optimizer: Optimizer, settings: Settings) -> Any:
    """Learning-rate schedule of the run; warm-up and horizon are told in tokens and turned into steps here."""
    warmup = settings.schedule.warmup_tokens // (settings.budget.batch * settings.model.context)
    options: dict[str, Any] = {"num_warmup_steps": warmup, "num_training_steps": settings.steps}
    match settings.schedule.name:
        case "warmup_stable_decay" as name:
            # The last tenth decays, as in MiniCPM (arXiv 2404.06395).
            decay = min(settings.steps // 10, settings.steps - warmup)
            return get_scheduler(name, optimizer, scheduler_specific_kwargs={"num_decay_steps": decay}, **options)
        case "constant":
            return get_scheduler("constant_with_warmup", optimizer, **options)
        case name:
            return get_scheduler(name, optimizer, **options)


def finetune_schedule(optimizer: Optimizer, settings: Settings) -> Any:
    """Schedule of the fine-tuning: from its peak linearly to zero, without warm-up."""
    return get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=settings.finetune_steps)
