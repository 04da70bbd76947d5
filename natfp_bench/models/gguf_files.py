"""GGUF files, the format of llama.cpp: weights that transformers turns back into floats."""

from __future__ import annotations

from typing import Any

import torch


def plain(made: Any) -> torch.nn.Module:
    """Copy a model that was loaded from a GGUF file into a new one, since the first cannot be saved."""
    from transformers import AutoModelForCausalLM

    config = made.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(made.state_dict())
    model.generation_config = made.generation_config
    model.tie_weights()
    copied: torch.nn.Module = model.eval()
    return copied
