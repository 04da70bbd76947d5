"""Tasks of the Hub on the Hub itself: `NATFP_NETWORK=1 pytest -m network tests/network`, where there is a network.

docs/hub.md says what this costs, and what came of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

Natfp = Callable[..., tuple[int, str, str]]

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.environ.get("NATFP_NETWORK") != "1", reason="NATFP_NETWORK=1 lets tests reach the network"),
]

SMALLEST = (
    *("pythia_seed_id", "pythia_stage_id", "pythia_size_id", "pythia_dedup_id", "pythia_data_order_id"),
    *("gpt2_seed_id", "datadecide_seed_id", "datadecide_data_id", "seedprints_init_id", "olmo2_order_id"),
)
"""All tasks of the Hub, but for the two of OLMo 2 that need a large GPU."""


@pytest.mark.parametrize("task", SMALLEST)
def test_the_checkpoints_are_there_and_are_different_models(natfp: Natfp, task: str, tmp_path: Path) -> None:
    small = ("--set", "corpus.heldout_documents=20", "--workers", "1", "--store", tmp_path / "store")
    code, out, err = natfp("check-models", task, "--preset", "smoke", *small, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert len({one["weights"] for one in found["models"]}) == len(found["models"])
    assert all(one["commit"] and one["bits_per_byte"] < 2 for one in found["models"])


def test_the_smallest_one_runs(natfp: Natfp, tmp_path: Path) -> None:
    code, _, err = natfp(
        *("run", "--task", "pythia_seed_id", "--preset", "smoke", "--baseline", "unigram", "--workers", "1"),
        *("--store", tmp_path / "store", "-o", tmp_path / "out"),
    )
    assert code == 0, err
    [path] = (tmp_path / "out").rglob("result.json")
    [ceiling] = [one for one in json.loads(path.read_text())["scores"] if one["attributor"]["name"] == "ceiling"]
    assert ceiling["metrics"]["accuracy"]["value"] > 0.5
