"""Decoding for narrow models on a CPU, where calls and passes over memory take longer than the products themselves.

The functions of transformers read one token of each row in many small steps. Here query, key and value are one product,
and so are gate and up, and the weights of norms are part of the products that follow them. Sums run in another order,
so log-probabilities agree with those of transformers to about 1e-6. `probe` compares them whenever texts are drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor
from torch.nn.functional import linear, silu
from transformers import LlamaForCausalLM
from transformers.cache_utils import DynamicCache

WIDEST = 128
"""Widest model that gains by it."""

ROWS = 250
"""Rows that are read together: what is kept of them stays in a cache."""


def suits(model: torch.nn.Module) -> TypeGuard[LlamaForCausalLM]:
    """Whether a model is a plain Llama in float32 on a CPU, narrow, and with as many keys as queries."""
    if type(model) is not LlamaForCausalLM or {(p.dtype, p.device.type) for p in model.parameters()} != KINDS:
        return False
    known: Any = model.config
    return bool(
        known.hidden_size <= WIDEST
        and known.num_key_value_heads == known.num_attention_heads
        and known.hidden_act == "silu"
        and not (known.attention_bias or known.mlp_bias)
        and known.rope_parameters["rope_type"] == "default"
        and all(_usual(part) for part in model.modules())
    )


KINDS = {(torch.float32, "cpu")}


def _usual(part: torch.nn.Module) -> bool:
    """Whether a part of a model does what its class says: adapters and hooks (`vocabulary.fit`) change that."""
    foreign = not type(part).__module__.startswith(("torch.nn.modules.", "transformers."))
    return not (foreign or part._forward_hooks or part._forward_pre_hooks)


class _Layer(NamedTuple):
    """Matrices, those of one product together; keys and values: (positions, heads, width of a head, rows)."""

    attend: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    keys: Tensor
    values: Tensor


class Decoder:
    """Reads prompts, and then one more token of each row at each call. Rows are the last dimension of its tensors.

    tokens: (rows, width) of the prompts, padded on the left; mask: 0 at padding, or None if nothing is padded.
    more: most tokens that follow.
    """

    def __init__(self, model: LlamaForCausalLM, tokens: Tensor, mask: Tensor | None, more: int) -> None:
        self.model, body, known = model, model.model, model.config
        self.heads, self.eps, self.wide = known.num_attention_heads, known.rms_norm_eps, known.intermediate_size
        self.embedding, self.frequencies = body.embed_tokens.weight, body.rotary_emb.inv_freq[:, None]
        self.head = model.lm_head.weight * body.norm.weight
        self.prompts, self.mask, self.filled, (rows, width) = tokens, mask, 0, tokens.shape
        # Where the next token stands: one number for all rows, or one for each.
        self.place = torch.tensor([width]) if mask is None else mask.sum(1)
        size, self.bias = width + more - 1, None
        if mask is not None:
            self.bias = torch.zeros(size, 1, rows)
            self.bias[:width, 0].masked_fill_(mask.T == 0, -torch.inf)
        self.layers = []
        for layer in body.layers:
            own, mlp = layer.self_attn, layer.mlp
            attend = torch.cat([own.q_proj.weight * own.scaling, own.k_proj.weight, own.v_proj.weight])
            gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
            before, after = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
            products = (attend * before, own.o_proj.weight, gate_up * after, mlp.down_proj.weight)
            kept = (torch.empty(size, self.heads, own.head_dim, rows) for _ in range(2))
            self.layers.append(_Layer(*products, *kept))

    def __call__(self, token: Tensor | None) -> Tensor:
        """Logits of the next token, (rows, vocabulary), after the prompts or after one more token per row."""
        return self._begin() if token is None else self._next(token)

    def _begin(self) -> Tensor:
        """Read the prompts by transformers' own functions, which is done only once."""
        cache, places = DynamicCache(), None
        if self.mask is not None:
            places = (self.mask.cumsum(-1) - 1).clamp_min(0)
        given = {"attention_mask": self.mask, "position_ids": places, "past_key_values": cache}
        output = self.model(input_ids=self.prompts, **given, use_cache=True)
        self.filled = self.prompts.shape[1]
        for layer, kept in zip(self.layers, cache.layers, strict=True):
            layer.keys[: self.filled] = kept.keys.permute(2, 1, 3, 0)
            layer.values[: self.filled] = kept.values.permute(2, 1, 3, 0)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _next(self, token: Tensor) -> Tensor:
        angle = self.frequencies * self.place
        cos, sin = angle.cos(), angle.sin()
        self.place, self.filled = self.place + 1, self.filled + 1
        hidden = self.embedding[token].T.contiguous()
        for layer in self.layers:
            product = layer.attend @ self._normed(hidden)
            hidden = torch.addmm(hidden, layer.out, self._attend(layer, product, cos, sin))
            both = layer.gate_up @ self._normed(hidden)
            gated = silu(both[: self.wide], inplace=True).mul_(both[self.wide :])
            hidden = torch.addmm(hidden, layer.down, gated)
        return linear(self._normed(hidden).T, self.head)

    def _normed(self, hidden: Tensor) -> Tensor:
        """Norm without its weights, which are part of the product that follows."""
        return hidden * hidden.square().mean(0).add_(self.eps).rsqrt_()

    def _attend(self, layer: _Layer, product: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention of one token per row to all so far; product: its query, key and value, (3 x width, rows)."""
        rows, now = product.shape[1], self.filled - 1
        parts = product.view(3, self.heads, 2, -1, rows)
        first, second = parts[:2, :, 0], parts[:2, :, 1]
        turned = torch.stack([first * cos - second * sin, second * cos + first * sin], 2).view(2, self.heads, -1, rows)
        layer.keys[now], layer.values[now] = turned[1], parts[2].view(self.heads, -1, rows)
        weights = (layer.keys[: self.filled] * turned[0]).sum(2)
        if self.bias is not None:
            weights += self.bias[: self.filled]
        return (layer.values[: self.filled] * weights.softmax(0)[:, :, None]).sum(0).view(-1, rows)
