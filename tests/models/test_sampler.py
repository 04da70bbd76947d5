"""Fused decoding: the same texts as plain decoding, by kernels that are compiled once for all models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from test_sample import ARCHITECTURES, untrained
from torch import Tensor
from torch._dynamo.utils import counters

from natfp_bench.models import sampler
from natfp_bench.pipeline import stages
from natfp_bench.plan.settings import SamplingSpec, Settings

END, ROWS, WIDTH, LENGTH = 299, 6, 4, 12


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """What torch's compiler counts, from nothing on."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    sampler._fused_step.cache_clear()
    counters.clear()
    yield counters
    torch.compiler.reset()
    sampler._fused_step.cache_clear()


def drawn(model: Any, spec: SamplingSpec, *, padded: bool, fused: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(0, END, (ROWS, WIDTH)))
    mask = None
    if padded:
        mask = torch.ones_like(tokens)
        mask[0, :3] = mask[1, :1] = 0
    uniforms = torch.from_numpy(rng.random((ROWS, spec.max_tokens)))
    return sampler.generate(model, spec, tokens, mask, uniforms, END, fused=fused)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fused_decoding_is_plain_decoding(architecture: str, compiler: Any, *, padded: bool) -> None:
    """Of models after each other, with one set of kernels, whatever the sampler does with their logits."""
    how: list[dict[str, Any]] = [{}, {"temperature": 0.7}, {"top_k": 20, "top_p": 0.9}]
    for seed, sampling in enumerate(how):
        model = untrained(architecture, END, seed)
        spec = SamplingSpec(texts=ROWS, max_tokens=LENGTH, **sampling)
        ids, logs = drawn(model, spec, padded=padded, fused=True, seed=seed)
        expected_ids, expected_logs = drawn(model, spec, padded=padded, fused=False, seed=seed)
        assert torch.equal(ids, expected_ids)
        torch.testing.assert_close(logs, expected_logs, rtol=0, atol=1e-5)
        again, _ = drawn(model, spec, padded=padded, fused=True, seed=seed)
        assert torch.equal(ids, again)
    assert compiler["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(
    ("compile_", "kind", "device", "fused"),
    [
        (True, "train", "cuda", True),
        (False, "train", "cuda", False),
        (True, "train", "cpu", False),
        (True, "checkpoint", "cuda", False),
    ],
)
def test_who_is_sampled_by_fused_kernels(
    monkeypatch: pytest.MonkeyPatch, tiny: Settings, compile_: bool, kind: str, device: str, fused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    numerics = tiny.numerics.model_copy(update={"compile": compile_})
    source = tiny.source.model_copy(update={"kind": kind})
    job = SimpleNamespace(settings=tiny.model_copy(update={"numerics": numerics, "source": source}), device="auto")
    assert stages._fused(cast("Any", job)) is fused
