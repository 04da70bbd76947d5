"""Trainings of small models, and how two of them are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from natfp_bench.models import optimizers, train
from natfp_bench.models.metas import TrainMeta
from natfp_bench.models.train import TrainingJob
from natfp_bench.models.training_state import State
from natfp_bench.plan.settings import Settings

CPU = torch.device("cpu")


def changed(settings: Settings, **paths: Any) -> Settings:
    """Settings with some fields replaced, given as section__field=value."""
    data = settings.model_dump()
    for path, value in paths.items():
        *sections, name = path.split("__")
        at = data
        for section in sections:
            at = at.setdefault(section, {})  # a fork is shown only where there is one
        at[name] = value
    return Settings.model_validate(data)


def run(
    settings: Settings,
    corpus: Path,
    folder: Path,
    *,
    stop_at: int | None = None,
    seed: int = 0,
    start: Path | None = None,
    steps: list[int] | None = None,
) -> TrainMeta:
    """Train into a folder; `stop_at` interrupts after so many steps, `steps` collects the number after each step."""
    (folder / "model").mkdir(parents=True, exist_ok=True)
    step_tokens = settings.budget.batch * settings.model.context

    def progress(done: int, total: int, unit: str) -> None:
        assert total == (settings.finetune_steps or settings.stop_step) * step_tokens
        if steps is not None:
            steps.append(done // step_tokens)
        if stop_at is not None and done >= stop_at * step_tokens:
            raise KeyboardInterrupt

    job = TrainingJob(settings, seed, corpus, folder / "model", folder / "partial", start and start / "model")
    return train.train(job, CPU, progress=progress)


def fresh(settings: Settings, model: torch.nn.Module) -> State:
    """State at the beginning of a training."""
    built = optimizers.build(model, settings.optimizer)
    return State(model, built, [optimizers.schedule(optimizer, settings) for optimizer in built])


def log(folder: Path) -> list[dict[str, float]]:
    """Training log without the one figure that depends on the clock."""
    lines = (folder / "model" / "train_log.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "tokens_per_second"} for line in lines]


def same_run(a: Path, b: Path) -> None:
    """Check that two trainings wrote the same files, byte for byte."""
    assert log(a) == log(b)
    for name in ("model.safetensors", "heldout.parquet", "config.json", "tokenizer.json"):
        assert (a / "model" / name).read_bytes() == (b / "model" / name).read_bytes(), name


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Make training steps note the blocks that they are given, and do nothing else."""
    seen: list[torch.Tensor] = []

    def step(state: Any, rows: torch.Tensor, settings: Settings) -> tuple[float, float]:
        seen.append(rows)
        return 1.0, 1.0

    monkeypatch.setattr(train, "_step", step)
    return seen
