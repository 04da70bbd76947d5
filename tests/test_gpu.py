"""The same stages on a CUDA device; deselected unless asked for with `-m gpu`."""

from __future__ import annotations

import pytest
import torch

from natfp_bench import api

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def test_a_smoke_run_on_cuda_is_sound_and_repeats(tmp_path):
    runs = [
        api.run(
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
        api.run(
            "null_id", preset="smoke", baselines="majority", device=device, store=tmp_path / device, output=tmp_path
        )
        .variants[0]
        .heldout_bits_per_byte.value
        for device in ("cpu", "cuda")
    ]
    assert bits[0] == pytest.approx(bits[1], rel=0.02)
