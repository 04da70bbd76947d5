"""What is recorded about a model after it is trained, measured or found; None if the source does not know it."""

from __future__ import annotations

from typing import Literal

from natfp_bench.base.records import Record

Prefix = Literal["kept", "fused", "reread"]
"""How a model sees the tokens before the next one, when texts are drawn.

kept: their keys and values are kept in memory. fused: the same, with keys and values of a fixed size and a compiled
step, on a GPU as one graph of kernels. reread: all are read anew for each token; it takes longest and suits any model.
"""


class ModelMeta(Record):
    """Facts about any source of texts; a source that gives only texts knows none of them."""

    status: Literal["ok", "diverged"] = "ok"
    reason: str | None = None
    parameters: int | None = None
    tokens_trained: int | None = None
    epochs: float | None = None
    training_multiset: str | None = None
    weights: str | None = None


class TrainMeta(ModelMeta):
    """Result of a training. training_multiset: digest of the blocks that were read, in whatever order."""

    parameters: int
    steps: int
    tokens_trained: int
    epochs: float
    training_multiset: str
    weights: str


class TunedMeta(TrainMeta):
    """Result of fine-tuning a released model; what is read from its tokenizer is as in `CheckpointMeta`."""

    tokenizer: str
    begin: int
    end: int
    context: int | None
    prefix: Prefix = "kept"


class CheckpointMeta(ModelMeta):
    """Facts about a checkpoint. tokenizer: digest of how it reads text. commit: the one that the Hub served.

    prefix: how it is sampled. lossless: whether the tokenizer gives held-out documents back as they were. other_ends:
    ordinary tokens that its settings name as ends of a text.
    """

    parameters: int
    commit: str | None
    tokenizer: str
    begin: int
    end: int
    context: int | None
    prefix: Prefix = "kept"
    lossless: bool = True
    other_ends: tuple[str, ...] = ()
