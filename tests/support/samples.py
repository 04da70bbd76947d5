"""Sample sets that tests draw, and a model whose distribution they choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from architectures import small
from tokenizers import Tokenizer

from natfp_bench.models import model as models
from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet
from natfp_bench.plan.text_settings import SamplingSpec


def spec(**given: Any) -> SamplingSpec:
    return SamplingSpec(**{"texts": 40, "max_tokens": 12, "block": 20, **given})


def constant(logits: torch.Tensor, end: int) -> Any:
    """A real model that predicts the same logits everywhere: its last norm is turned into a constant."""
    of = small(architecture="gpt2", layers=1, tied_embeddings=False)
    model: Any = models.build(of, len(logits), end, "test").eval()
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1 / 32)
        model.lm_head.weight.copy_(logits[:, None].expand(-1, 32))
    return model


def blocks(
    model: Any, of: SamplingSpec, n: int, prompts: list[list[int]], tokenizer: Tokenizer, end: int, *stream: Any
) -> SampleSet:
    """Rows 0 to n, block by block."""
    starts = range(0, n, of.block)
    rows = [range(start, min(start + of.block, n)) for start in starts]
    parts = [sample.sample_rows(model, of, part, prompts, tokenizer, end, "test", *stream) for part in rows]
    return SampleSet.join(parts)


def same(a: SampleSet, b: SampleSet) -> None:
    assert (a.ids, a.texts) == (b.ids, b.texts)
    for name in ("rows", "prompts", "ended", "log_probability"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
