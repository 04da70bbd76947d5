"""Training: a plain loop over a causal language model, exact to the bit after any interruption.

Everything that is random comes from three streams (initial weights, data order, dropout); what a step does depends
on the recipe and the step's number alone.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import model as models
from . import optimizers, streams
from .corpus import Document
from .records import Record
from .settings import ServeSpec, Settings
from .tokens import Progress, Reader, no_progress, read_blocks, read_heldout, reader

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


@dataclass
class _State:
    """What changes during training."""

    model: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedulers: list[Any]
    step: int = 0
    recent: list[float] = field(default_factory=list)
    log: list[dict[str, float]] = field(default_factory=list)


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


def train(
    settings: Settings,
    seed: int,
    corpus: Path,
    folder: Path,
    *,
    partial: Path,
    device: torch.device,
    start: Path | None = None,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = warnings.warn,
) -> TrainMeta:
    """Train one model on prepared blocks and write its checkpoint folder, log, and held-out bits.

    corpus: what `tokens.prepare` wrote. partial: a folder that outlives interruptions; a run that finds its last
    checkpoint there goes on from it and ends bit for bit where an undisturbed one ends; a damaged checkpoint is
    ignored, which `warn` is told. start: folder of the same run stopped earlier (`budget.stop`), to go on from, or the
    base model to fine-tune (`finetune.share`), which must then be given; a ValueError otherwise. A loss that is not
    finite, or that ends no better than guessing uniformly, is divergence: no error, but a status.
    """
    models.set_numerics(settings.numerics, device)
    batch, tuning = settings.budget.batch, settings.finetune_steps > 0
    blocks = read_blocks(corpus, settings.model.context)
    first = min(settings.unique_blocks, len(blocks) - settings.finetune_steps * batch)
    order = data_order(first, settings.steps * batch, seed, "data_order", settings.seeds.data_order)
    order = order[: settings.stop_step * batch]
    end = reader(corpus, {}).end

    if tuning:
        if start is None:
            raise ValueError("fine-tuning starts from a base model")
        model = models.load(start, ServeSpec(), device)
        spec = settings.optimizer.model_copy(update={"lr": settings.optimizer.lr * settings.finetune.lr})
        tail = streams.permutation(settings.finetune_steps * batch, seed, "finetune", settings.finetune.seed)
        run_order, schedule, stop = first + tail, optimizers.finetune_schedule, settings.finetune_steps
        dropout: tuple[streams.Name, ...] = (seed, "finetune dropout", settings.finetune.seed)
    else:
        model = models.build(settings.model, settings.tokenizer.vocabulary, end, seed, "init", settings.seeds.init)
        model, spec = model.to(device), settings.optimizer
        run_order, schedule, stop = order, optimizers.schedule, settings.stop_step
        dropout = (seed, "dropout", settings.seeds.dropout)
    built = optimizers.build(model, spec)
    state = _State(model, built, [schedule(optimizer, settings) for optimizer in built])
    checkpoint = partial / "checkpoint.safetensors"
    if checkpoint.is_file() and not _restore(state, checkpoint):
        warn(f"{checkpoint} is damaged: the training starts over")
    if start and not tuning and not state.step and (start / STATE).is_file():
        if not _restore(state, start / STATE):
            warn(f"{start / STATE} is damaged: the training starts over")
        # The line on where that run stopped is no line of this one.
        state.log = [line for line in state.log if line["step"] % LOG_EVERY == 0]

    reason = _run(state, settings, blocks, run_order, stop, dropout, checkpoint, device, progress)
    model.eval()
    models.save(model, corpus / "tokenizer.json", settings.model.context, folder)
    if settings.budget.stop < 1 and reason is None:
        # What a later stop of the same run goes on from; one that diverged has taken a step too many.
        _save(state, folder / STATE)
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in state.log))
    if reason is None:
        write_heldout(model, reader(corpus, {}), read_heldout(corpus), folder, settings.model.context, device)
    return TrainMeta(
        status="diverged" if reason else "ok",
        reason=reason,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=state.step,
        tokens_trained=settings.tokens_trained if reason is None else state.step * batch * settings.model.context,
        epochs=len(order) / first,
        training_multiset=multiset_digest(blocks, np.concatenate([order, run_order]) if tuning else order),
        weights=weights_digest(model),
    )


def _run(
    state: _State,
    settings: Settings,
    blocks: NDArray[Any],
    order: NDArray[np.int64],
    stop: int,
    dropout: Sequence[streams.Name],
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
) -> str | None:
    """Take the steps that are left up to `stop`; returns why the run diverged, or None."""
    state.model.train()
    batch = settings.budget.batch
    # Told by the horizon, so that runs that stop early pass the same checkpoints.
    every = max(1, settings.steps // CHECKPOINTS)
    recent = max(1, settings.steps // 10)
    step_tokens = batch * settings.model.context
    clock, clocked = time.perf_counter(), state.step
    while state.step < stop:
        rows = order[state.step * batch : (state.step + 1) * batch]
        tokens = torch.from_numpy(blocks[rows].astype(np.int64)).to(device)
        if settings.model.dropout:
            torch.manual_seed(streams.seed(*dropout, state.step))
        lr = state.schedulers[0].get_last_lr()[0]
        loss, norm = _step(state, tokens, settings)
        state.recent = [*state.recent, loss][-recent:]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss} and gradient norm {norm} at step {state.step}"
        if state.step % LOG_EVERY == 0 or state.step == stop - 1:
            now = time.perf_counter()
            rate = (state.step + 1 - clocked) * step_tokens / (now - clock)
            line = {"step": state.step, "tokens": (state.step + 1) * step_tokens, "loss": loss, "lr": lr}
            state.log.append({**line, "gradient_norm": norm, "tokens_per_second": round(rate, 1)})
            clock, clocked = now, state.step + 1
        state.step += 1
        progress(state.step * step_tokens, stop * step_tokens, "tokens")
        if state.step % every == 0 and state.step < stop:
            _save(state, checkpoint)
    if (last := float(np.mean(state.recent))) >= math.log(settings.tokenizer.vocabulary):
        return f"loss {last:.2f} over the last steps, no better than guessing uniformly"
    return None


def _step(state: _State, tokens: Tensor, settings: Settings) -> tuple[float, float]:
    """One optimiser step; returns loss (nats a token) and gradient norm before clipping."""
    half = settings.numerics.dtype == "bfloat16"
    state.model.zero_grad(set_to_none=True)
    total = 0.0
    for part in torch.split(tokens, settings.numerics.micro_batch or len(tokens)):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=half):
            logits = state.model(input_ids=part, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), part[:, 1:].flatten())
        # Gradients add up over the parts of a batch; each counts by its share of the sequences.
        loss = loss * (len(part) / len(tokens))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.optimizer.clip)
    for stepped in (*state.optimizers, *state.schedulers):
        stepped.step()
    return total, norm.item()


def _save(state: _State, path: Path) -> None:
    """Write a checkpoint atomically: weights, optimiser moments and counters, in one safetensors file."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.named_parameters()}
    for which, optimizer in enumerate(state.optimizers):
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{which}.{index}.{name}": tensor for name, tensor in entry.items()}
    rates = [_lr_state(scheduler) for scheduler in state.schedulers]
    counters = json.dumps({"step": state.step, "recent": state.recent, "log": state.log, "lr": rates})
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, fresh, metadata={"counters": counters, "digest": _checkpoint_digest(contiguous, counters)})
    fresh.replace(path)


def _checkpoint_digest(tensors: dict[str, Tensor], counters: str) -> str:
    total = sha256(counters.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def _lr_state(scheduler: Any) -> dict[str, Any]:
    kept = ("last_epoch", "_step_count", "base_lrs", "_last_lr")
    return {name: value for name, value in scheduler.state_dict().items() if name in kept}


def _restore(state: _State, path: Path) -> bool:
    """Take up a checkpoint; returns False, and changes nothing, where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no dict)
        if _checkpoint_digest(tensors, metadata["counters"]) != metadata["digest"]:
            return False
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        # A disk or a machine that failed: what can be half a file can be any file.
        return False
    counters = json.loads(metadata["counters"])
    with torch.no_grad():
        for name, parameter in state.model.named_parameters():
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


def write_heldout(
    model: torch.nn.Module,
    reader: Reader,
    documents: Sequence[Document],
    folder: Path,
    context: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> None:
    """Write `heldout.parquet`: bits of each held-out document under a model, ends included, true bits, and bytes."""
    bits = []
    for number, document in enumerate(documents, 1):
        ids = reader.tokenizer.encode(document.text, add_special_tokens=False).ids
        bits.append(document_bits(model, [reader.begin, *ids, reader.end], context, device))
        progress(number, len(documents), "documents")
    columns = {
        "bits": bits,
        "true_bits": pa.array([document.bits for document in documents], pa.float64()),
        "bytes": [len(document.text.encode()) for document in documents],
    }
    pq.write_table(pa.table(columns), folder / "heldout.parquet")


def document_bits(model: torch.nn.Module, tokens: list[int], context: int, device: torch.device) -> float:
    """Bits of a document under a model, its first token conditioned on and not scored.

    A document longer than the context is scored in windows that predict disjoint stretches, each given one token of
    the stretch before, the last one reaching back to a full context: the rolling windows of lm-evaluation-harness.
    """
    total, start, last = 0.0, 1, len(tokens)
    while start < last:
        stop = min(start + context, last)
        first = start - 1 if start == 1 else max(0, stop - 1 - context)
        row = torch.tensor([tokens[first:stop]], device=device)
        scored = models.token_log_probabilities(model, row)[0, start - 1 - first :]
        total -= scored.double().sum().item() / math.log(2)
        start = stop
    return total
