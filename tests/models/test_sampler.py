"""Fused decoding: the same texts as plain decoding, by kernels that are compiled once for all models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, untrained
from torch import Tensor
from torch._dynamo.utils import counters

from natfp_bench.models import sampler
from natfp_bench.pipeline.sources.kind import Identities, source_kind
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.settings import Settings
from natfp_bench.plan.text_settings import SamplingSpec

END, ROWS, WIDTH, LENGTH = 299, 6, 4, 12


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The counters of torch's compiler, set to zero."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    sampler._fused_step.cache_clear()
    counters.clear()
    yield counters
    torch.compiler.reset()
    sampler._fused_step.cache_clear()


def drawn(
    model: Any, spec: SamplingSpec, *, padded: bool, prefix: sampler.Prefix, seed: int = 0
) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(0, END, (ROWS, WIDTH)))
    mask = None
    if padded:
        mask = torch.ones_like(tokens)
        mask[0, :3] = mask[1, :1] = 0
    uniforms = torch.from_numpy(rng.random((ROWS, spec.max_tokens)))
    return sampler.generate(model, spec, tokens, mask, uniforms, END, prefix=prefix)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fused_decoding_is_plain_decoding(architecture: str, compiler: Any, *, padded: bool) -> None:
    """For several models in turn, with one set of kernels, whatever the sampler does with the logits."""
    how: list[dict[str, Any]] = [{}, {"temperature": 0.7}, {"top_k": 20, "top_p": 0.9}]
    for seed, sampling in enumerate(how):
        model = untrained(architecture, END, seed)
        spec = SamplingSpec(texts=ROWS, max_tokens=LENGTH, **sampling)
        ids, logs = drawn(model, spec, padded=padded, prefix="fused", seed=seed)
        expected_ids, expected_logs = drawn(model, spec, padded=padded, prefix="kept", seed=seed)
        assert torch.equal(ids, expected_ids)
        torch.testing.assert_close(logs, expected_logs, rtol=0, atol=1e-5)
        again, _ = drawn(model, spec, padded=padded, prefix="fused", seed=seed)
        assert torch.equal(ids, again)
    assert compiler["stats"]["unique_graphs"] == 1


def test_only_models_trained_with_fused_kernels_are_sampled_by_them(tiny: Settings) -> None:
    plan = make_plan("seed_id", "smoke")
    for compiled in (True, False):
        numerics = tiny.numerics.model_copy(update={"compile": compiled})
        settings = tiny.model_copy(update={"numerics": numerics})
        found = source_kind("train").model(settings, plan, Identities())
        assert [found.prefix(device) for device in ("cuda", "cpu")] == ["fused" if compiled else "kept", "kept"]
