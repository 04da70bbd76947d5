"""Checkpoints in the layout of OLMo's first code, and what such a model computes, written from its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import silu, softmax

CONFIG: dict[str, Any] = {
    "model_type": "hf_olmo",
    "activation_type": "swiglu",
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "block_type": "sequential",
    "clip_qkv": None,
    "d_model": 32,
    "embedding_size": 512,
    "include_bias": False,
    "layer_norm_eps": 1e-6,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "max_sequence_length": 64,
    "mlp_ratio": 4,
    "multi_query_attention": None,
    "n_heads": 4,
    "n_kv_heads": None,
    "n_layers": 2,
    "norm_after": False,
    "rope": True,
    "rope_theta": 10000,
    "scale_logits": False,
    "vocab_size": 500,
    "weight_tying": False,
}


def tensors(seed: int, **config: Any) -> dict[str, Tensor]:
    """Random weights of a configuration."""
    of = {**CONFIG, **config}
    random = torch.Generator().manual_seed(seed)
    width, ratio, heads = of["d_model"], of["mlp_ratio"], of["n_heads"]
    shared = of["n_kv_heads"] or heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random) * 0.4

    made = {"wte": draw(of["embedding_size"], width), "ln_f": 1 + draw(width)}
    if not of["weight_tying"]:
        made["ff_out"] = draw(of["embedding_size"], width)
    for layer in range(of["n_layers"]):
        made |= {
            f"blocks.{layer}.att_proj": draw(width + 2 * shared * width // heads, width),
            f"blocks.{layer}.attn_out": draw(width, width),
            f"blocks.{layer}.ff_proj": draw(ratio * width, width),
            f"blocks.{layer}.ff_out": draw(width, ratio * width // 2),
            f"blocks.{layer}.attn_norm": 1 + draw(width),
            f"blocks.{layer}.ff_norm": 1 + draw(width),
        }
    return {f"model.transformer.{name}.weight": tensor for name, tensor in made.items()}


def save(folder: Path, tokenizer: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    """Write a checkpoint folder as the Hub has them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    names = {"tokenizer_class": "OLMoTokenizer", "eos_token": "<|end|>", "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    save_file(weights, folder / "model.safetensors")
    return folder


def logits(weights: dict[str, Tensor], ids: list[int], **config: Any) -> Tensor:
    """What OLMo computes for one text, (positions, vocabulary), one head after the other."""
    of = {**CONFIG, **config}
    named = {key.removeprefix("model.transformer.").removesuffix(".weight"): one for key, one in weights.items()}
    width, heads = of["d_model"], of["n_heads"]
    size, shared = width // heads, of["n_kv_heads"] or heads
    angle = torch.outer(torch.arange(len(ids)), of["rope_theta"] ** (-torch.arange(0, size, 2) / size))
    earlier = torch.ones(len(ids), len(ids)).tril().bool()

    def normed(x: Tensor, by: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + of["layer_norm_eps"]).sqrt() * named[by]

    def turned(x: Tensor) -> Tensor:
        a, b = x[:, : size // 2], x[:, size // 2 :]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)

    x = named["wte"][ids]
    for layer in range(of["n_layers"]):
        block = f"blocks.{layer}."
        together = normed(x, f"{block}attn_norm") @ named[f"{block}att_proj"].T
        queries, keys, values = together.split([width, shared * size, shared * size], 1)
        seen = []
        for head in range(heads):
            own, other = (slice(place * size, (place + 1) * size) for place in (head, head * shared // heads))
            scores = turned(queries[:, own]) @ turned(keys[:, other]).T / size**0.5
            seen.append(softmax(scores.masked_fill(~earlier, -torch.inf), 1) @ values[:, other])
        x = x + torch.cat(seen, 1) @ named[f"{block}attn_out"].T
        up, gate = (normed(x, f"{block}ff_norm") @ named[f"{block}ff_proj"].T).chunk(2, 1)
        x = x + (silu(gate) * up) @ named[f"{block}ff_out"].T
    return normed(x, "ln_f") @ named.get("ff_out", named["wte"]).T
