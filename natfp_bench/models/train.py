"""Training: a plain loop over a causal language model that repeats bit for bit after any interruption.

All randomness comes from three streams: initial weights, data order and dropout. What a step does depends on the
recipe and on the number of the step, and on nothing else.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from natfp_bench.base import streams
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.corpus.tokens import read_blocks, read_heldout, reader
from natfp_bench.plan.settings import Recipe
from natfp_bench.plan.text_settings import ServeSpec

from . import model as models
from . import optimizers
from .heldout import write_heldout
from .loss import add_gradients, compiled_loss, next_token_loss
from .metas import TrainMeta
from .training_state import State, restore, save
from .tune import Released
from .vocabulary import fit, rows

CHECKPOINTS = 8
"""Checkpoints of a training: a kill loses at most this fraction of it."""

LOG_EVERY = 20

STATE = "state.safetensors"
"""File beside the weights of a training that stopped early. It holds everything needed to continue."""


def data_order(available: int, needed: int, *stream: streams.Name, segments: Sequence[int] = ()) -> NDArray[np.int64]:
    """Order in which blocks are read: (needed,) int64 indices, with a new permutation for each epoch.

    An incomplete last epoch takes the first blocks and permutes them: the multiset never depends on the stream.
    segments: places at which the multiset of what was read until then must not depend on it either, so that blocks
    are permuted between these places alone.
    """
    found = []
    for epoch, start in enumerate(range(0, needed, available)):
        end = min(start + available, needed)
        inside = [place for place in segments if start < place < end]
        for part, (low, high) in enumerate(itertools.pairwise([start, *inside, end])):
            name: tuple[streams.Name, ...] = (*stream, epoch, "segment", part) if inside else (*stream, epoch)
            found.append(low - start + streams.permutation(high - low, *name))
    return np.concatenate(found)


def forked_order(order: NDArray[np.int64], at: int, available: int, *stream: streams.Name) -> NDArray[np.int64]:
    """Permute what is left of an order from place `at` on, each epoch's rest by itself: the multiset stays."""
    found = order.copy()
    for epoch, start in enumerate(range(0, len(order), available)):
        rest = slice(max(start, at), min(start + available, len(order)))
        if rest.start < rest.stop:
            found[rest] = order[rest][streams.permutation(rest.stop - rest.start, *stream, epoch)]
    return found


def multiset_digest(blocks: NDArray[Any], order: NDArray[np.int64]) -> str:
    """SHA-256 of the multiset of blocks that were read, in whatever order."""
    seen, counts = np.unique(order, return_counts=True)
    each = sorted((sha256(blocks[i].tobytes()).digest(), int(count)) for i, count in zip(seen, counts, strict=True))
    return sha256(b"".join(block + count.to_bytes(8, "little") for block, count in each)).hexdigest()


@dataclass(frozen=True)
class TrainingJob:
    """One model to train, and its folders.

    seed: seed of the experiment. corpus: folder that `tokens.prepare` wrote. folder: where the model is written.
    partial: folder for checkpoints, which must outlive interruptions. start: folder of the same training stopped
    earlier (`budget.stop`), which is then continued, or of the base model, which fine-tuning (`finetune.share`) needs.
    released: the released model that is fine-tuned instead of one that the recipe describes; `start` is then not used.
    """

    recipe: Recipe
    seed: int
    corpus: Path
    folder: Path
    partial: Path
    start: Path | None = None
    released: Released | None = None


def train(
    job: TrainingJob,
    device: torch.device,
    *,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = warnings.warn,
) -> TrainMeta:
    """Train a model; write its checkpoint folder, its log and its held-out bits.

    If the folder `partial` holds a checkpoint, the training continues from there and ends bit for bit as if nothing had
    interrupted it. A damaged checkpoint is ignored, and reported by `warn`. If the loss stops being finite, or ends no
    better than guessing uniformly, the status is "diverged"; this is no error. Raises ValueError for a fine-tuning
    without its base.
    """
    models.set_numerics(job.recipe.numerics, device)
    training = _Training(job, device, warn)
    return training.finish(training.run(progress))


class _Training:
    """One training: what it reads, and how far it is."""

    def __init__(self, job: TrainingJob, device: torch.device, warn: Callable[[str], None]) -> None:
        recipe, seed = job.recipe, job.seed
        self.job, self.recipe, self.device = job, recipe, device
        self.blocks = read_blocks(job.corpus, recipe.model.context)
        if job.released:
            self.blocks = job.released.blocks(self.blocks)
        batch, tuning = recipe.budget.batch, recipe.finetune_steps > 0
        self.step_tokens = batch * recipe.model.context
        self.unique = min(recipe.unique_blocks, len(self.blocks) - recipe.fresh_blocks)
        segments = [round(recipe.steps * share) * batch for share in recipe.budget.segment_ends]
        stream = (seed, "data_order", recipe.seeds.data_order)
        shuffled = data_order(self.unique, recipe.steps * batch, *stream, segments=segments)
        fork, self.fork_step = recipe.fork, recipe.fork_step
        if fork.branch and fork.kind == "data_order":
            own = (seed, "fork order", recipe.seeds.data_order, fork.branch)
            shuffled = forked_order(shuffled, self.fork_step * batch, self.unique, *own)
        self.base_order = shuffled[: recipe.stop_step * batch]
        if tuning:
            if job.start is None:
                raise ValueError("fine-tuning starts from a base model")
            model = models.load(job.start, ServeSpec(), device)
            spec = recipe.optimizer.model_copy(update={"lr": recipe.optimizer.lr * recipe.finetune.lr})
            tail = streams.permutation(recipe.finetune_steps * batch, seed, "finetune", recipe.finetune.seed)
            first = self.unique + recipe.finetune.part * len(tail)
            self.order, schedule, self.stop = first + tail, optimizers.finetune_schedule, recipe.finetune_steps
            self.dropout: tuple[streams.Name, ...] = (seed, "finetune dropout", recipe.finetune.seed)
        elif job.released:
            model, spec = job.released.model(seed, recipe.seeds.init).to(device), recipe.optimizer
            self.order, schedule, self.stop = self.base_order, optimizers.schedule, recipe.stop_step
            self.dropout = (seed, "dropout", recipe.seeds.dropout)
        else:
            end = reader(job.corpus, {}).end
            model = models.build(recipe.model, recipe.tokenizer.vocabulary, end, seed, "init", recipe.seeds.init)
            model, spec = model.to(device), recipe.optimizer
            self.order, schedule, self.stop = self.base_order, optimizers.schedule, recipe.stop_step
            self.dropout = (seed, "dropout", recipe.seeds.dropout)
        built = optimizers.build(model, spec)
        self.state = State(model, built, [schedule(optimizer, recipe) for optimizer in built])
        self.checkpoint = job.partial / "checkpoint.safetensors"
        if self.checkpoint.is_file() and not restore(self.state, self.checkpoint):
            warn(f"{self.checkpoint} is damaged: the training starts over")
        if job.start and not tuning and not self.state.step and (job.start / STATE).is_file():
            if not restore(self.state, job.start / STATE):
                warn(f"{job.start / STATE} is damaged: the training starts over")
            # The earlier training logged the step at which it stopped; an undisturbed one would not.
            self.state.log = [line for line in self.state.log if line["step"] % LOG_EVERY == 0]
        self.state.model.train()
        self.clock, self.clocked = time.perf_counter(), self.state.step

    def run(self, progress: Progress) -> str | None:
        """Take all steps that are left; returns why the training diverged, or None."""
        reason = None
        while reason is None and self.state.step < self.stop:
            if self.recipe.fork.kind == "last_place" and self.recipe.fork.branch and self.state.step == self.fork_step:
                # Before the step, not after the one before: a checkpoint of this step has the weight unmoved.
                self._move_one_weight()
            lr = self.state.schedulers[0].get_last_lr()[0]
            reason = self._note(*_step(self.state, self._tokens(), self.recipe), lr)
            if reason is None and self.state.step == self.stop:
                reason = self._verdict()
            progress(self.state.step * self.step_tokens, self.stop * self.step_tokens, "tokens")
            if reason is None:
                self._keep()
        return reason

    def _move_one_weight(self) -> None:
        """Move one weight of a matrix, which the branch draws, to the next larger number of its type."""
        matrices = [parameter for parameter in self.state.model.parameters() if parameter.ndim >= 2]
        total = sum(matrix.numel() for matrix in matrices)
        place = int(streams.raw(1, self.job.seed, "fork weight", self.recipe.fork.branch)[0] % total)
        for matrix in matrices:
            if place < matrix.numel():
                with torch.no_grad():
                    weights = matrix.view(-1)
                    weights[place] = torch.nextafter(weights[place], torch.full_like(weights[place], math.inf))
                return
            place -= matrix.numel()

    def _dropout(self, step: int) -> tuple[streams.Name, ...]:
        """Name of the stream of a step's dropout."""
        fork = self.recipe.fork
        if fork.branch and fork.kind == "dropout" and step >= self.fork_step:
            return (self.job.seed, "fork dropout", self.recipe.seeds.dropout, fork.branch, step)
        return (*self.dropout, step)

    def _tokens(self) -> Tensor:
        """Read the next step's sequences: (batch, context) int64."""
        batch, step = self.recipe.budget.batch, self.state.step
        rows = self.order[step * batch : (step + 1) * batch]
        # Whether a released model has dropout is known to its own code alone.
        if self.recipe.model.dropout or self.job.released:
            torch.manual_seed(streams.seed(*self._dropout(step)))
        return torch.from_numpy(self.blocks[rows].astype(np.int64)).to(self.device)

    def _note(self, loss: float, norm: float, lr: float) -> str | None:
        """Note a step that was taken; returns why the training has diverged, or None."""
        state = self.state
        state.recent = [*state.recent, loss][-max(1, self.recipe.steps // 10) :]
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

    def _verdict(self) -> str | None:
        """Say why the training, now over, has diverged, or None."""
        vocabulary = rows(self.state.model) if self.job.released else self.recipe.tokenizer.vocabulary
        if (last := float(np.mean(self.state.recent))) >= math.log(vocabulary):
            return f"loss {last:.2f} over the last steps, no better than guessing uniformly"
        return None

    def _keep(self) -> None:
        """Write a checkpoint if one is due."""
        # Counted by the whole horizon, so that trainings that stop early have the same checkpoints.
        every = max(1, self.recipe.steps // CHECKPOINTS)
        if self.state.step % every == 0 and self.state.step < self.stop:
            save(self.state, self.checkpoint)

    def finish(self, reason: str | None) -> TrainMeta:
        """Write the model, the log and, unless the training diverged, the held-out bits."""
        recipe, state, job = self.recipe, self.state, self.job
        state.model.eval()
        model = state.model
        if job.released:
            model = job.released.save(model, job.folder)
        else:
            models.save(model, job.corpus / "tokenizer.json", recipe.model.context, job.folder)
        if recipe.budget.stop < 1 and reason is None:
            # A later stop continues from this. A training that diverged has taken one step too many.
            save(state, job.folder / STATE)
        (job.folder / "train_log.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in state.log), encoding="utf-8"
        )
        if reason is None:
            own, context = reader(job.corpus, {}), recipe.model.context
            if job.released:
                own, context = job.released.reader, job.released.window
                model = fit(model, own)
            write_heldout(model, own, read_heldout(job.corpus), job.folder, context, self.device)
        read = self.base_order if self.order is self.base_order else np.concatenate([self.base_order, self.order])
        return TrainMeta(
            status="diverged" if reason else "ok",
            reason=reason,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            steps=state.step,
            tokens_trained=recipe.tokens_trained if reason is None else state.step * self.step_tokens,
            epochs=len(self.base_order) / self.unique,
            training_multiset=multiset_digest(self.blocks, read),
            weights=models.weights_digest(model),
        )


def _step(state: State, tokens: Tensor, recipe: Recipe) -> tuple[float, float]:
    """Take one optimiser step; returns loss (nats per token) and gradient norm before clipping."""
    numerics = recipe.numerics
    state.model.zero_grad(set_to_none=True)
    loss = functools.partial(compiled_loss() if numerics.compile else next_token_loss, state.model)
    half = numerics.dtype == "bfloat16"
    total = add_gradients(loss, tokens, micro_batch=numerics.micro_batch, half=half)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.optimizer.clip)
    for stepped in (*state.optimizers, *state.schedulers):
        stepped.step()
    return total.item(), norm.item()
