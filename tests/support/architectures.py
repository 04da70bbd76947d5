"""Every architecture that can be trained, in its smallest form."""

from __future__ import annotations

from typing import Any

from natfp_bench.models import model as models
from natfp_bench.plan.settings import ModelSpec

ARCHITECTURES = ("llama", "gpt2", "gpt_neox")


def small(**given: Any) -> ModelSpec:
    """The shape of a small model, with the given settings."""
    return ModelSpec(**{"width": 32, "layers": 2, "heads": 2, "feed_forward": 64, "context": 32, **given})


def untrained(architecture: str, end: int, seed: int = 0) -> Any:
    """A model of nearly uniform predictions: it writes invalid UTF-8 and hardly ever ends."""
    return models.build(small(architecture=architecture), 300, end, "test", architecture, seed).eval()
