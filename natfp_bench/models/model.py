"""Causal language models of the transformers library: built from a recipe, saved and loaded as checkpoint folders."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from natfp_bench.base import streams
from natfp_bench.base.errors import UserError
from natfp_bench.corpus.tokens import END, load_tokenizer
from natfp_bench.plan.settings import ModelSpec, NumericsSpec
from natfp_bench.plan.text_settings import ServeSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """Resolve `auto`, `cpu` or `cuda`; raises UserError for a CUDA device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device is visible\n  use --device cpu, or auto")
    return torch.device(name)


def set_numerics(numerics: NumericsSpec, device: torch.device) -> None:
    """Fix what float sums depend on: the number of threads and, on a GPU, deterministic kernels."""
    torch.set_num_threads(numerics.threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cuda.matmul.allow_tf32 = False


def config(spec: ModelSpec, vocabulary: int, end: int) -> Any:
    """Configuration of a model for transformers; each architecture has its own names for the same sizes."""
    common = {"vocab_size": vocabulary, "bos_token_id": end, "eos_token_id": end}
    common["tie_word_embeddings"] = spec.tied_embeddings
    if spec.architecture == "gpt2":
        sizes = {"n_embd": spec.width, "n_layer": spec.layers, "n_head": spec.heads}
        sizes |= {"n_inner": spec.feed_forward, "n_positions": spec.context}
        dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), spec.dropout)
        return AutoConfig.for_model("gpt2", **common, **sizes, **dropout)
    sizes = {"hidden_size": spec.width, "num_hidden_layers": spec.layers, "num_attention_heads": spec.heads}
    sizes |= {"intermediate_size": spec.feed_forward, "max_position_embeddings": spec.context}
    if spec.architecture == "gpt_neox":
        dropout = dict.fromkeys(("hidden_dropout", "attention_dropout"), spec.dropout)
    else:
        # Llama has dropout on attention weights only.
        dropout = {"attention_dropout": spec.dropout}
    return AutoConfig.for_model(spec.architecture, **common, **sizes, **dropout)


def build(spec: ModelSpec, vocabulary: int, end: int, *stream: streams.Name) -> torch.nn.Module:
    """Initialise a model in float32 on the CPU: the weights do not depend on the device that trains it.

    stream: name of the random stream of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.seed(*stream))
        model: torch.nn.Module = AutoModelForCausalLM.from_config(config(spec, vocabulary, end), dtype=torch.float32)
    return model


def save(model: torch.nn.Module, tokenizer: Path, context: int, folder: Path) -> None:
    """Write an ordinary checkpoint folder: configuration, safetensors weights and tokenizer."""
    model.save_pretrained(folder)  # type: ignore[operator]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=load_tokenizer(tokenizer),
        bos_token=END,
        eos_token=END,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)


def load(folder: Path, serve: ServeSpec, device: torch.device) -> torch.nn.Module:
    """Load a checkpoint folder for inference, served as the specification says."""
    return served(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), serve, device)


def served(model: torch.nn.Module, serve: ServeSpec, device: torch.device) -> torch.nn.Module:
    """Prepare a float32 model for inference, as the specification says."""
    if serve.quantization != "none":
        bits, _, per = serve.quantization.removeprefix("int").partition("_")
        quantize(model, int(bits), whole=per == "tensor")
    return model.to(device, DTYPES[serve.dtype]).eval()


@torch.no_grad()
def quantize(model: torch.nn.Module, bits: int = 8, *, whole: bool = False) -> None:
    """Round every matrix in place, symmetrically: w = s q, with |q| below half of 2^bits and s = max|w| / max|q|.

    whole: one scale s for the whole matrix, instead of one for each output channel.

    Shared parameters, such as tied embeddings, are rounded once; vectors (norms, biases) stay as they are.
    """
    seen: set[int] = set()
    for module in model.modules():
        # GPT-2's matrices map rows to columns; all others map columns to rows.
        channel = 1 if isinstance(module, Conv1D) else 0
        for weight in module.parameters(recurse=False):
            if weight.ndim == 2 and id(weight) not in seen:
                seen.add(id(weight))
                largest = weight.abs().amax((0, 1) if whole else 1 - channel, keepdim=True)
                scale = largest.clamp_min(torch.finfo(weight.dtype).tiny) / (2 ** (bits - 1) - 1)
                weight.copy_((weight / scale).round() * scale)


def token_log_probabilities(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    """Log-probability of each token given those before it, by one plain forward pass.

    tokens: (rows, positions) int64; the first column is conditioned on and not scored.
    Returns (rows, positions - 1) float32, nats.
    """
    with torch.inference_mode():
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits.float()
    scored: Tensor = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return scored


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over the names and bytes of a model's parameters."""
    total = sha256()
    for name, tensor in sorted(model.named_parameters()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().numpy().tobytes())
    return total.hexdigest()
