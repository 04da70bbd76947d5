"""Tiny models of many families with random weights, as the transformers library builds them."""

from __future__ import annotations

from typing import Any

_COMMON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_COMMON |= {"max_position_embeddings": 64, "num_key_value_heads": 4}
_OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
_HEADS = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}

KEEPING_KEYS: dict[str, dict[str, Any]] = {
    "llama": _COMMON,
    "mistral": {**_COMMON, "sliding_window": 8},
    "qwen2": _COMMON,
    "gemma2": {**_COMMON, "head_dim": 8, "sliding_window": 8},
    "phi": _COMMON,
    "gpt2": _OLD,
    "gptj": {**_OLD, "rotary_dim": 4},
    "gpt_neox": _COMMON,
    "opt": {**_COMMON, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    "falcon": {**_COMMON, "alibi": False},
    "mixtral": {**_COMMON, "num_local_experts": 2},
}
"""Families whose state is keys and values."""

OTHER_STATE: dict[str, dict[str, Any]] = {
    "mamba": _MAMBA,
    "mamba2": {**_MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "falcon_mamba": _MAMBA,
    "jamba": {
        **_COMMON,
        "num_experts": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
    },
    "bamba": {**_COMMON, **_HEADS, "attn_layer_indices": [1]},
    "falcon_h1": {**_COMMON, **_HEADS, "mamba_d_ssm": 64, "head_dim": 8},
    "recurrent_gemma": {**_COMMON, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16},
    "lfm2": {**_COMMON, "layer_types": ["conv", "full_attention"]},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 64, "attention_hidden_size": 32},
}
"""Families that keep a state of another kind, some of them beside keys and values."""

BIDIRECTIONAL: dict[str, dict[str, Any]] = {
    "bert": _COMMON,
    "roberta": _COMMON,
    "electra": {**_COMMON, "embedding_size": 32},
    "ernie": _COMMON,
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
}
"""Families that `AutoModelForCausalLM` loads, and whose predictions depend on later tokens."""


def foreign(family: str, vocabulary: int, end: int, **changes: Any) -> Any:
    """Build a model of a family; its matrices are enlarged, so that what it predicts depends on what it read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {**KEEPING_KEYS, **OTHER_STATE, **BIDIRECTIONAL}[family]
    tokens = {"vocab_size": vocabulary, "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**tokens, **sizes, **changes}))
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return model.float().eval()
