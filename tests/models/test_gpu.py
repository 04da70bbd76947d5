"""The same stages on a CUDA device; deselected unless asked for with `-m gpu`."""

from __future__ import annotations

import pytest
import torch
from architectures import ARCHITECTURES, small

import natfp_bench
from natfp_bench.models import model, sampler
from natfp_bench.plan.text_settings import SamplingSpec

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def test_a_smoke_run_on_cuda_is_sound_and_repeats(tmp_path):
    runs = [
        natfp_bench.run(
            "null_run_id", preset="smoke", baselines="unigram", device="cuda", store=tmp_path / name, output=tmp_path
        )
        for name in ("one", "two")
    ]
    for result in runs:
        assert result.failures == []
        assert len({variant.weights for variant in result.variants}) == 1
    assert runs[0].stable_json() == runs[1].stable_json()


def test_devices_train_to_the_same_quality(tmp_path):
    bits = [
        natfp_bench.run(
            "null_id", preset="smoke", baselines="majority", device=device, store=tmp_path / device, output=tmp_path
        )
        .variants[0]
        .heldout_bits_per_byte.value
        for device in ("cpu", "cuda")
    ]
    assert bits[0] == pytest.approx(bits[1], rel=0.02)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_graph_of_kernels_samples_like_plain_steps(architecture, monkeypatch, tmp_path):
    """For several models in turn: the weights of each are at another address."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    spec = SamplingSpec(texts=50, max_tokens=20)
    for seed in range(3):
        made = model.build(small(architecture=architecture), 300, 0, "graphs", seed).eval().cuda()
        tokens = torch.full((50, 1), 1, device="cuda")
        uniforms = torch.rand((50, 20), dtype=torch.float64, device="cuda")
        (ids, logs), (plain_ids, plain_logs) = (
            sampler.generate(made, spec, tokens, None, uniforms, 0, prefix=prefix) for prefix in ("fused", "kept")
        )
        # A number at the boundary of two tokens may draw either of them.
        same = (ids == plain_ids).all(1)
        assert same.float().mean() > 0.9
        torch.testing.assert_close(logs[same], plain_logs[same], rtol=0, atol=1e-3)
