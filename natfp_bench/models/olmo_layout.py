"""Checkpoints in the layout of OLMo's first code (`model_type: hf_olmo`, as DataDecide has them), read as Llama models.

transformers does not know this layout, and no code of the checkpoint is run. Where its settings describe a Llama
model, all weights have a place there: query, key and value are one matrix in the file, and so are the two matrices of
the feed-forward part, of which the second is the gate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from natfp_bench.base.errors import UserError

from .checkpoint_files import CONFIG

MODEL_TYPE = "hf_olmo"

MUST_BE: dict[str, Any] = {
    "activation_type": "swiglu",
    "block_type": "sequential",
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "rope": True,
}
MUST_NOT_BE = (
    *("alibi", "attention_layer_norm", "bias_for_layer_norm", "clip_qkv", "embedding_layer_norm", "include_bias"),
    *("include_qkv_bias", "norm_after", "scale_logits"),
)
"""Settings that a Llama model has as well, and those that it has not."""

EPSILON, THETA = 1e-5, 10_000.0
"""What OLMo's code takes where a file names none: `layer_norm_eps`, `rope_theta`."""

SAME = {
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    "transformer.ff_out.weight": "lm_head.weight",
}
BLOCK = re.compile(r"transformer\.blocks\.(\d+)\.(\w+)\.weight")
SAME_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_out": "mlp.down_proj",
}


def llama_config(config: Mapping[str, Any], name: str) -> Any:
    """The configuration of the same model as a Llama; raises UserError if there is none, with the settings at fault."""
    from transformers import LlamaConfig

    wrong = {key: config.get(key) for key, value in MUST_BE.items() if config.get(key) != value}
    wrong |= {key: config[key] for key in MUST_NOT_BE if config.get(key)}
    if wrong:
        listed = ", ".join(f"{key}: {json.dumps(value)}" for key, value in wrong.items())
        raise UserError(
            f"{name}: its layout, {MODEL_TYPE}, is read where it describes a Llama model, and this one does not\n"
            f"  {listed}\n  many repositories have a second one in the layout of transformers, named ...-hf"
        )
    try:
        width, heads = config["d_model"], config["n_heads"]
        return LlamaConfig(
            vocab_size=config.get("embedding_size") or config["vocab_size"],
            hidden_size=width,
            intermediate_size=(config.get("mlp_hidden_size") or config["mlp_ratio"] * width) // 2,
            num_hidden_layers=config["n_layers"],
            num_attention_heads=heads,
            num_key_value_heads=config.get("n_kv_heads") or (1 if config.get("multi_query_attention") else heads),
            max_position_embeddings=config["max_sequence_length"],
            rms_norm_eps=config.get("layer_norm_eps") or EPSILON,
            rope_theta=float(config.get("rope_theta") or THETA),
            tie_word_embeddings=bool(config.get("weight_tying")),
            bos_token_id=config.get("bos_token_id"),
            eos_token_id=config.get("eos_token_id"),
            pad_token_id=config.get("pad_token_id"),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{name}: its {CONFIG} lacks a setting, or has a wrong one: {error}") from None


def llama_weights(weights: Mapping[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Weights under the names of a Llama; those without a place there keep their own names."""
    head = config.hidden_size // config.num_attention_heads
    parts = [size * head for size in (config.num_attention_heads, *[config.num_key_value_heads] * 2)]
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        own = key.removeprefix("model.")
        if own in SAME:
            found[SAME[own]] = tensor
        elif not (match := BLOCK.fullmatch(own)):
            found[key] = tensor
        else:
            layer, part = f"model.layers.{match[1]}.", match[2]
            if part in SAME_IN_BLOCK:
                found[f"{layer}{SAME_IN_BLOCK[part]}.weight"] = tensor
            elif part == "att_proj" and len(tensor) == sum(parts):
                names = [f"{layer}self_attn.{one}_proj.weight" for one in "qkv"]
                found |= zip(names, torch.split(tensor, parts), strict=True)
            elif part == "ff_proj" and len(tensor) == 2 * config.intermediate_size:
                names = [f"{layer}mlp.{one}_proj.weight" for one in ("up", "gate")]
                found |= zip(names, tensor.chunk(2), strict=True)
            else:
                found[key] = tensor
    if config.tie_word_embeddings:
        found.pop("lm_head.weight", None)
    return found


def load(files: Mapping[str, Path], name: str) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Load a model in float32 on the CPU; returns it with a report as of transformers' `output_loading_info`.

    files: paths by name, of the configuration and of all files with weights. name: of the checkpoint in messages.
    Raises UserError if it is no Llama model.
    """
    from safetensors.torch import load_file
    from transformers import LlamaForCausalLM

    config = llama_config(json.loads(files[CONFIG].read_text(encoding="utf-8")), name)
    weights: dict[str, Tensor] = {}
    for file, path in files.items():
        if file.endswith(".safetensors"):
            weights |= load_file(path)
        elif file.endswith(".bin"):
            weights |= torch.load(path, map_location="cpu", weights_only=True)
    found = {key: tensor.to(torch.float32) for key, tensor in llama_weights(weights, config).items()}
    model = LlamaForCausalLM(config)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    wrong = [key for key, tensor in found.items() if key in shapes and tensor.shape != shapes[key]]
    loaded = model.load_state_dict({key: one for key, one in found.items() if key not in wrong}, strict=False)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    report = {
        "missing_keys": sorted(set(loaded.missing_keys) - set(wrong) - tied),
        "unexpected_keys": sorted(loaded.unexpected_keys),
        "mismatched_keys": sorted(wrong),
    }
    return model.eval(), report
