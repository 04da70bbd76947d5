"""How well a model has learnt: the bits that it needs for held-out documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.corpus.documents import Document
from natfp_bench.corpus.tokens import TextReader

from . import model as models


def write_heldout(
    model: torch.nn.Module,
    reader: TextReader,
    documents: Sequence[Document],
    folder: Path,
    context: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> None:
    """Write `heldout.parquet`: bits of each held-out document (with its end token) under a model, true bits, bytes."""
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
    """Bits of a document under a model. The first token is conditioned on and not scored.

    A document longer than the context is scored in windows, each of which predicts the next stretch of it and sees one
    token before that stretch; the last window reaches back to a full context. These are lm-eval's rolling windows.
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
