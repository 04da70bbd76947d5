"""What a model that was not trained here can draw: the tokens that its tokenizer has, and one end of a text.

Tables of embeddings are padded to round numbers, and configurations name end tokens that the tokenizer does not. Models
that share a tokenizer are compared token by token, so each must choose among the same tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from natfp_bench.corpus.tokens import TextReader


def fit(model: torch.nn.Module, reader: TextReader) -> torch.nn.Module:
    """Make a model predict nothing but what its tokenizer can read back.

    Logits of padding are cut off. Other end tokens count as the tokenizer's own: their probabilities are added to it.
    """
    special, _ = other_ends(model, reader)
    size = tokens(reader)
    if size < rows(model) or special:

        def fitted(_: torch.nn.Module, __: Any, output: Any) -> Any:
            output.logits = _fitted(output.logits, size, reader.end, special)
            return output

        model.register_forward_hook(fitted)
    return model


def _fitted(logits: Tensor, size: int, end: int, others: list[int]) -> Tensor:
    """Cut logits (..., vocabulary) to a size, and give the end token the probability of all end tokens."""
    if not others:
        return logits[..., :size]
    found = logits[..., :size].clone()
    found[..., end] = found[..., [end, *others]].logsumexp(-1)
    found[..., others] = -torch.inf
    return found


def rows(model: torch.nn.Module) -> int:
    """Number of tokens that a model has embeddings for."""
    return int(model.get_input_embeddings().weight.shape[0])  # type: ignore[operator]


def tokens(reader: TextReader) -> int:
    """One more than the largest token of a tokenizer."""
    highest: int = max(reader.tokenizer.get_vocab().values())
    return highest + 1


def other_ends(model: Any, reader: TextReader) -> tuple[list[int], list[int]]:
    """End tokens that a model's settings name beside the tokenizer's own: special ones, and tokens of ordinary text."""
    named: set[int] = set()
    for settings in (model.config, getattr(model, "generation_config", None)):
        given = getattr(settings, "eos_token_id", None)
        named.update([given] if isinstance(given, int) else given or ())
    decoder = reader.tokenizer.get_added_tokens_decoder()
    known = sorted(token for token in named - {reader.end} if 0 <= token < min(rows(model), tokens(reader)))
    special = [token for token in known if token in decoder and decoder[token].special]
    return special, [token for token in known if token not in special]
