"""What jobs take of a machine while they run, so that as many run side by side as it holds."""

from __future__ import annotations

from dataclasses import dataclass

from natfp_bench.plan.plan import parameters
from natfp_bench.plan.settings import Settings

WORKER_MB = 1024
"""Memory of a worker with the libraries and the texts of a task."""

UNKNOWN_MB = 4096
"""Memory for a model whose size only its files tell."""


@dataclass(frozen=True)
class Needs:
    """Cores, memory, and a device: `cuda` needs a GPU of its own, and `auto` takes one where there are any."""

    cpus: int = 1
    memory_mb: int = WORKER_MB
    device: str = "cpu"


def model_needs(settings: Settings, device: str) -> Needs:
    """Say what it takes to train a model, sample from it, or score texts."""
    memory = WORKER_MB + (_model_mb(settings) if settings.source.kind == "train" else UNKNOWN_MB)
    return Needs(settings.numerics.threads, memory, device)


def _model_mb(settings: Settings) -> int:
    """Estimate the memory of training or of sampling, whichever takes more."""
    model, vocabulary = settings.model, settings.tokenizer.vocabulary
    weights = parameters(model, vocabulary)
    together = max(1, settings.numerics.stack)
    rows = settings.numerics.micro_batch or settings.budget.batch
    # Logits, their softmax and its gradient; what the layers keep for the backward pass, attention weights included.
    kept = 3 * vocabulary + model.layers * (16 * model.width + 4 * model.feed_forward + 2 * model.heads * model.context)
    # Weights, gradients and two moments.
    training = together * (4 * weights + rows * model.context * kept)
    # Keys and values of all positions; logits, their probabilities and what is left of them.
    sampling = weights + settings.sampling.block * (2 * model.layers * model.width * model.context + 8 * vocabulary)
    return max(training, sampling) * 4 // 2**20
