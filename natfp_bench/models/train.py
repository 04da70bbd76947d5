"""Training: a plain loop over a causal language model, exact to the bit after any interruption.

Everything that is random comes from three streams (initial weights, data order, dropout); what a step does depends
on the recipe and the step's number alone. Models of one shape may be trained together, as one stack.
"""

from __future__ import annotations

import functools
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from natfp_bench.base import streams
from natfp_bench.base.records import Record
from natfp_bench.corpus.tokens import Progress, no_progress, read_blocks, read_heldout, reader
from natfp_bench.plan.settings import ServeSpec, Settings

from . import model as models
from . import optimizers
from .compiled import compiled
from .heldout import write_heldout
from .loss import compiled_loss, gradients, next_token_loss
from .stacked import Stack
from .training_state import State, restore, save

CHECKPOINTS = 8
"""Checkpoints of a run: what a kill costs is at most this fraction of the training."""

LOG_EVERY = 20

STATE = "state.safetensors"
"""Beside the weights of a run that was stopped early: what its continuation needs."""


class TrainMeta(Record):
    """What came of a training run."""

    status: Literal["ok", "diverged"]
    reason: str | None
    parameters: int
    steps: int
    tokens_trained: int
    epochs: float
    training_multiset: str
    weights: str


def data_order(available: int, needed: int, *stream: streams.Name) -> NDArray[np.int64]:
    """Order in which blocks are read: (needed,) int64 indices, each epoch permuted in an order of its own.

    A last epoch that is not whole takes the first blocks, permuted: the multiset never depends on the stream.
    """
    sizes = [min(available, needed - start) for start in range(0, needed, available)]
    return np.concatenate([streams.permutation(size, *stream, epoch) for epoch, size in enumerate(sizes)])


def multiset_digest(blocks: NDArray[Any], order: NDArray[np.int64]) -> str:
    """SHA-256 of the multiset of blocks read, their order forgotten."""
    seen, counts = np.unique(order, return_counts=True)
    each = sorted((sha256(blocks[i].tobytes()).digest(), int(count)) for i, count in zip(seen, counts, strict=True))
    return sha256(b"".join(block + count.to_bytes(8, "little") for block, count in each)).hexdigest()


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over the names and bytes of a model's parameters."""
    total = sha256()
    for name, tensor in sorted(model.named_parameters()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Order:
    """One model to train.

    corpus: what `tokens.prepare` wrote. folder: where the model goes. partial: a folder that outlives interruptions.
    start: folder of the same run stopped earlier (`budget.stop`), to go on from, or the base model to fine-tune
    (`finetune.share`), which must then be given.
    """

    settings: Settings
    seed: int
    corpus: Path
    folder: Path
    partial: Path
    start: Path | None = None


def train(
    orders: Sequence[Order],
    device: torch.device,
    *,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = warnings.warn,
) -> list[TrainMeta]:
    """Train models, one or a stack of one shape, and write their checkpoint folders, logs, and held-out bits.

    A run that finds its last checkpoint in its `partial` folder goes on from it and ends bit for bit where an
    undisturbed one ends; a damaged checkpoint is ignored, which `warn` is told. A model ends the same whichever others
    are in its stack. A loss that is not finite, or that ends no better than guessing uniformly, is divergence: no
    error, but a status. Raises ValueError for a fine-tuning without its base, and for models that make no stack.
    """
    models.set_numerics(orders[0].settings.numerics, device)
    runs = [_Run(order, device, warn) for order in orders]
    if orders[0].settings.stacks:
        stack = Stack([run.state.model for run in runs], orders[0].settings.numerics.stack)
        losses: Losses = functools.partial(stack.losses, next_token_loss)
        if orders[0].settings.numerics.compile:
            losses = compiled(losses)
        reasons = _drive(runs, functools.partial(_stacked_step, stack, losses), progress)
        stack.dissolve()
    elif len(runs) == 1:
        reasons = _drive(runs, _plain_step, progress)
    else:
        raise ValueError("these models make no stack")
    return [run.finish(reason) for run, reason in zip(runs, reasons, strict=True)]


class _Run:
    """One training run: what it reads, and how far it is."""

    def __init__(self, order: Order, device: torch.device, warn: Callable[[str], None]) -> None:
        settings, seed = order.settings, order.seed
        self.given, self.settings, self.device = order, settings, device
        self.blocks = read_blocks(order.corpus, settings.model.context)
        batch, tuning = settings.budget.batch, settings.finetune_steps > 0
        self.unique = min(settings.unique_blocks, len(self.blocks) - settings.finetune_steps * batch)
        shuffled = data_order(self.unique, settings.steps * batch, seed, "data_order", settings.seeds.data_order)
        self.base_order = shuffled[: settings.stop_step * batch]
        if tuning:
            if order.start is None:
                raise ValueError("fine-tuning starts from a base model")
            model = models.load(order.start, ServeSpec(), device)
            spec = settings.optimizer.model_copy(update={"lr": settings.optimizer.lr * settings.finetune.lr})
            tail = streams.permutation(settings.finetune_steps * batch, seed, "finetune", settings.finetune.seed)
            self.order, schedule, self.stop = self.unique + tail, optimizers.finetune_schedule, settings.finetune_steps
            self.dropout: tuple[streams.Name, ...] = (seed, "finetune dropout", settings.finetune.seed)
        else:
            end = reader(order.corpus, {}).end
            model = models.build(settings.model, settings.tokenizer.vocabulary, end, seed, "init", settings.seeds.init)
            model, spec = model.to(device), settings.optimizer
            self.order, schedule, self.stop = self.base_order, optimizers.schedule, settings.stop_step
            self.dropout = (seed, "dropout", settings.seeds.dropout)
        built = optimizers.build(model, spec)
        self.state = State(model, built, [schedule(optimizer, settings) for optimizer in built])
        self.checkpoint = order.partial / "checkpoint.safetensors"
        if self.checkpoint.is_file() and not restore(self.state, self.checkpoint):
            warn(f"{self.checkpoint} is damaged: the training starts over")
        if order.start and not tuning and not self.state.step and (order.start / STATE).is_file():
            if not restore(self.state, order.start / STATE):
                warn(f"{order.start / STATE} is damaged: the training starts over")
            # The line on where that run stopped is no line of this one.
            self.state.log = [line for line in self.state.log if line["step"] % LOG_EVERY == 0]
        self.state.model.train()
        self.clock, self.clocked = time.perf_counter(), self.state.step

    @property
    def step_tokens(self) -> int:
        """Tokens of a step."""
        return self.settings.budget.batch * self.settings.model.context

    def tokens(self) -> Tensor:
        """Read the next step's sequences: (batch, context) int64."""
        batch, step = self.settings.budget.batch, self.state.step
        rows = self.order[step * batch : (step + 1) * batch]
        if self.settings.model.dropout:
            torch.manual_seed(streams.seed(*self.dropout, step))
        return torch.from_numpy(self.blocks[rows].astype(np.int64)).to(self.device)

    def note(self, loss: float, norm: float, lr: float) -> str | None:
        """Note a step that was taken; returns why the run has diverged, or None."""
        state, settings = self.state, self.settings
        state.recent = [*state.recent, loss][-max(1, settings.steps // 10) :]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss} and gradient norm {norm} at step {state.step}"
        if state.step % LOG_EVERY == 0 or state.step == self.stop - 1:
            now = time.perf_counter()
            rate = (state.step + 1 - self.clocked) * self.step_tokens / (now - self.clock)
            line = {"step": state.step, "tokens": (state.step + 1) * self.step_tokens, "loss": loss, "lr": lr}
            state.log.append({**line, "gradient_norm": norm, "tokens_per_second": round(rate, 1)})
            self.clock, self.clocked = now, state.step + 1
        state.step += 1
        return None

    def keep(self) -> None:
        """Write a checkpoint where one is due."""
        # Told by the horizon, so that runs that stop early pass the same checkpoints.
        every = max(1, self.settings.steps // CHECKPOINTS)
        if self.state.step % every == 0 and self.state.step < self.stop:
            save(self.state, self.checkpoint)

    def verdict(self) -> str | None:
        """Say why the run, now over, has diverged, or None."""
        if (last := float(np.mean(self.state.recent))) >= math.log(self.settings.tokenizer.vocabulary):
            return f"loss {last:.2f} over the last steps, no better than guessing uniformly"
        return None

    def finish(self, reason: str | None) -> TrainMeta:
        """Write what came of the run."""
        settings, state, given = self.settings, self.state, self.given
        state.model.eval()
        models.save(state.model, given.corpus / "tokenizer.json", settings.model.context, given.folder)
        if settings.budget.stop < 1 and reason is None:
            # What a later stop of the same run goes on from; one that diverged has taken a step too many.
            save(state, given.folder / STATE)
        (given.folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in state.log))
        if reason is None:
            documents = read_heldout(given.corpus)
            own, context = reader(given.corpus, {}), settings.model.context
            write_heldout(state.model, own, documents, given.folder, context, self.device)
        read = self.base_order if self.order is self.base_order else np.concatenate([self.base_order, self.order])
        return TrainMeta(
            status="diverged" if reason else "ok",
            reason=reason,
            parameters=sum(parameter.numel() for parameter in state.model.parameters()),
            steps=state.step,
            tokens_trained=settings.tokens_trained if reason is None else state.step * self.step_tokens,
            epochs=len(self.base_order) / self.unique,
            training_multiset=multiset_digest(self.blocks, read),
            weights=weights_digest(state.model),
        )


Losses = Callable[[Tensor], Tensor]
"""Loss of a batch: a number, or one for each model of a stack."""

Steps = Callable[[Sequence[_Run], Sequence[int]], Sequence[tuple[float, float]]]
"""Takes a step of those of some runs that are told by index; returns loss (nats a token) and gradient norm of each."""


def _drive(runs: Sequence[_Run], steps: Steps, progress: Progress) -> list[str | None]:
    """Take all steps of runs that go side by side; returns why each diverged, or None.

    Those that are behind, as after an interruption, catch up first.
    """
    reasons: list[str | None] = [None for _ in runs]
    total = sum(run.stop * run.step_tokens for run in runs)
    while going := [i for i, run in enumerate(runs) if reasons[i] is None and run.state.step < run.stop]:
        least = min(runs[i].state.step for i in going)
        active = [i for i in going if runs[i].state.step == least]
        rates = [runs[i].state.schedulers[0].get_last_lr()[0] for i in active]
        for i, (loss, norm), lr in zip(active, steps(runs, active), rates, strict=True):
            reasons[i] = runs[i].note(loss, norm, lr)
            if reasons[i] is None and runs[i].state.step == runs[i].stop:
                reasons[i] = runs[i].verdict()
        progress(sum(run.state.step * run.step_tokens for run in runs), total, "tokens")
        for i in active:
            if reasons[i] is None:
                runs[i].keep()
    return reasons


def _plain_step(runs: Sequence[_Run], _: Sequence[int]) -> list[tuple[float, float]]:
    (run,) = runs
    return [_step(run.state, run.tokens(), run.settings)]


def _step(state: State, tokens: Tensor, settings: Settings) -> tuple[float, float]:
    """One optimiser step; returns loss (nats a token) and gradient norm before clipping."""
    state.model.zero_grad(set_to_none=True)
    loss_of = compiled_loss() if settings.numerics.compile else next_token_loss
    loss = _gradients(functools.partial(loss_of, state.model), tokens, settings)
    return loss.item(), _update(state, settings).item()


def _stacked_step(
    stack: Stack, losses: Losses, runs: Sequence[_Run], active: Sequence[int]
) -> list[tuple[float, float]]:
    tokens = stack.batch({i: runs[i].tokens() for i in active})
    found = _gradients(losses, tokens, runs[0].settings)
    stack.share_gradients()
    norms = torch.stack([_update(runs[i].state, runs[i].settings) for i in active])
    return [*zip(found[list(active)].tolist(), norms.tolist(), strict=True)]


def _gradients(losses: Losses, tokens: Tensor, settings: Settings) -> Tensor:
    numerics = settings.numerics
    return gradients(losses, tokens, micro_batch=numerics.micro_batch, half=numerics.dtype == "bfloat16")


def _update(state: State, settings: Settings) -> Tensor:
    """Clip the gradients and take a step; returns their norm before."""
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.optimizer.clip)
    for stepped in (*state.optimizers, *state.schedulers):
        stepped.step()
    return norm
