"""The defaults of the settings that shape models and texts, frozen.

Keys leave out each field that has its default, so changing a default would change the meaning of stored entries.
A test compares this table with the settings. To change what users get, set the new value in the presets. If a default
itself must change, add the old value to every preset that relied on it, change both places, and raise the version of
the stages that read the field.

A field that is added later goes to `LATER`, and needs a default that means "as before".
"""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "corpus": {"seed": 0, "topics": ""},
    "tokenizer": {},
    "model": {"architecture": "llama", "dropout": 0.0, "tied_embeddings": True},
    "optimizer": {
        "name": "adamw",
        "weight_decay": 0.1,
        "momentum": 0.95,
        "beta1": 0.9,
        "beta2": 0.95,
        "epsilon": 1e-8,
        "clip": 1.0,
    },
    "schedule": {"name": "cosine"},
    "budget": {"epochs": 1, "stop": 1.0},
    "seeds": {"init": 0, "data_order": 0, "dropout": 0},
    "finetune": {"share": 0.0, "lr": 0.25, "seed": 0},
    "numerics": {"dtype": "float32", "threads": 1, "micro_batch": 0, "compile": False},
    "serve": {"dtype": "float32", "quantization": "none"},
    "rerun": 0,
    "sampling": {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "prompt_characters": 0,
        "stream": 0,
        "block": 500,
    },
    "source": {
        "kind": "train",
        "model": "",
        "revision": "",
        "subfolder": "",
        "model_args": "",
        "replicate": "",
        "shared_tokenizer": True,
        "trust_remote_code": False,
    },
}
"""Default of each field that has one, by section, as of the first release."""

LATER: dict[str, Any] = {
    "corpus": {"part": ""},
    "schedule": {"decay_at_stop": False},
    "budget": {"segments": ""},
    "derive": {
        "average": 1,
        "spacing": 0.05,
        "fading": 1.0,
        "merge": 0.0,
        "partner": "finetuning",
        "prune": 0.0,
    },
    "finetune": {"parts": 1, "part": 0, "topics": "", "file": 0},
    "fork": {"at": 0.0, "kind": "data_order", "branch": 0},
    "serve": {"batch": 0, "compile": False},
    "source": {"gguf_file": ""},
    "teacher": {"run": -1, "same_init": False},
    "tuning": {"lora_rank": 0, "parts": 1, "part": 0},
}
"""Likewise, for fields that were added since: `{"model": {"qk_norm": False}}`."""
