"""The state of a training and its checkpoints: one safetensors file, written atomically and verified when read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from natfp_bench.base import disk


@dataclass
class State:
    """Everything that changes during a training; recent: the last losses, log: the lines of the training log."""

    model: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedulers: list[Any]
    step: int = 0
    recent: list[float] = field(default_factory=list)
    log: list[dict[str, float]] = field(default_factory=list)


def save(state: State, path: Path) -> None:
    """Write a checkpoint atomically: weights, optimiser moments and counters in one safetensors file."""
    tensors = {f"model.{name}": tensor for name, tensor in _trained(state.model)}
    for which, optimizer in enumerate(state.optimizers):
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{which}.{index}.{name}": tensor for name, tensor in entry.items()}
    rates = [_lr_state(scheduler) for scheduler in state.schedulers]
    counters = json.dumps({"step": state.step, "recent": state.recent, "log": state.log, "lr": rates})
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"counters": counters, "digest": _checkpoint_digest(contiguous, counters)}
    with disk.whole(path) as fresh:
        save_file(contiguous, fresh, metadata=metadata)


def _trained(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that training changes, with their names."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _checkpoint_digest(tensors: dict[str, Tensor], counters: str) -> str:
    total = sha256(counters.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def _lr_state(scheduler: Any) -> dict[str, Any]:
    kept = ("last_epoch", "_step_count", "base_lrs", "_last_lr")
    return {name: value for name, value in scheduler.state_dict().items() if name in kept}


def restore(state: State, path: Path) -> bool:
    """Restore the state from a checkpoint; if the file is damaged, returns False and changes nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no dict)
        if _checkpoint_digest(tensors, metadata["counters"]) != metadata["digest"]:
            return False
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        # After a failure of the disk or the machine the file can hold anything.
        return False
    counters = json.loads(metadata["counters"])
    with torch.no_grad():
        for name, parameter in _trained(state.model):
            parameter.copy_(tensors[f"model.{name}"])
    moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in state.optimizers]
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, which, index, key = name.split(".", 3)
            moments[int(which)].setdefault(int(index), {})[key] = tensor
    restored = zip(state.optimizers, state.schedulers, moments, counters["lr"], strict=True)
    for optimizer, scheduler, entries, rates in restored:
        groups = optimizer.state_dict()["param_groups"]
        scheduler.load_state_dict(scheduler.state_dict() | rates)
        for group, lr in zip(groups, rates["_last_lr"], strict=True):
            group["lr"] = lr
        optimizer.load_state_dict({"state": entries, "param_groups": groups})
    state.step, state.recent, state.log = counters["step"], counters["recent"], counters["log"]
    return True
