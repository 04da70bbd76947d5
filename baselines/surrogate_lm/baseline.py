"""One small causal language model per class, tuned from a common one; the class whose model finds a text likeliest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from natfp_bench.attributors.kit import (
    END,
    PAD,
    NeuralClassifier,
    apply_model,
    batches,
    calibrate,
    encode,
    linear_schedule,
    pad,
    train_model,
    train_tokenizer,
)

CONTEXT = 128
"""Most tokens to read of a text, end tokens included."""

READ, LEAST, MOST = 2_000_000, 3, 10
"""Tokens that the common model reads, and how often it reads each text: at least, and at most before it overfits."""

BATCH, RATE = 32, 4e-3
TUNING_BATCH, TUNING_RATE = 16, 1.5e-3
DROPOUT = 0.1


class SurrogateLM(NeuralClassifier):
    """A common model learns the language from all texts; a copy for each class then learns how the class differs.

    The copies stop when they no longer separate the classes better. How well they predict text cannot be the criterion:
    it can get worse from the first step on.
    """

    def __init__(
        self, seed: int, *, vocabulary: int = 512, width: int = 64, layers: int = 2, read: int = READ, tuning: int = 6
    ) -> None:
        super().__init__(seed)
        self.vocabulary, self.width, self.layers, self.tokens, self.tuning = vocabulary, width, layers, read, tuning

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train the common model, then the class models."""
        self._tokenizer = train_tokenizer(texts, self.vocabulary, CONTEXT)
        rows = self._rows(texts)
        known, asked = [rows[i] for i in np.flatnonzero(~held)], [rows[i] for i in np.flatnonzero(held)]
        config = LlamaConfig(
            vocab_size=self._tokenizer.get_vocab_size(),
            hidden_size=self.width,
            intermediate_size=3 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.width // 16,
            max_position_embeddings=CONTEXT,
            pad_token_id=PAD,
            bos_token_id=END,
            eos_token_id=END,
            attn_implementation="sdpa",
        )
        common = LanguageModel(config)
        passes = min(max(self.tokens // sum(map(len, known)), LEAST), MOST)
        epoch = self._epoch(common, known, passes, BATCH, RATE, "common")
        train_model(common, epoch, lambda: -float(self._sums([common], asked).sum()), passes, every=1, patience=2)

        self._models = torch.nn.ModuleList(copy.deepcopy(common) for _ in self.classes_)
        own = [
            [row for row, label in zip(known, y[~held], strict=True) if label == k] for k in range(len(self._models))
        ]
        tune = [
            self._epoch(model, rows, self.tuning, TUNING_BATCH, TUNING_RATE, "class", k)
            for k, (model, rows) in enumerate(zip(self._models, own, strict=True))
        ]

        def loss() -> float:
            return calibrate(self._sums(self._models, asked), y[held], self.frequencies_)[0]

        def step(i: int) -> None:
            for epoch in tune:
                epoch(i)

        train_model(self._models, step, loss, self.tuning, every=1, patience=2)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class's model, in nats: (n, k)."""
        return self._sums(self._models, self._rows(texts))

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        return encode(self._tokenizer, texts, CONTEXT)

    def _sums(self, models: Iterable[torch.nn.Module], rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        def sums(tokens: torch.Tensor) -> torch.Tensor:
            return torch.stack([model(tokens).double().sum(1) for model in models], dim=1)

        return apply_model(sums, rows)

    def _epoch(
        self,
        model: torch.nn.Module,
        rows: Sequence[Sequence[int]],
        epochs: int,
        batch: int,
        rate: float,
        *name: str | int,
    ) -> Callable[[int], None]:
        """Return a function that trains the model for one epoch over the rows; `epochs` is their number in all."""
        steps = -(-len(rows) // batch)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: linear_schedule(i, epochs * steps, 0.05))
        order = batches([len(row) for row in rows], batch, "SurrogateLM", "order", self.seed, *name)

        def epoch(_: int) -> None:
            for part in islice(order, steps):
                tokens = pad([rows[i] for i in part])
                optimizer.zero_grad(set_to_none=True)
                loss = -model(tokens).sum() / (tokens[:, 1:] != PAD).sum()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()

        return epoch


class LanguageModel(torch.nn.Module):
    """A Llama with dropout around its layers; without it, the model memorises texts that it reads many times."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.llama, self.dropout = LlamaForCausalLM(config), torch.nn.Dropout(DROPOUT)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Log-probability of each token given the tokens before it, in nats: (rows, width - 1), zero for padding."""
        # Padding comes after a text, where a causal model does not see it: no mask is needed.
        read = self.dropout(self.llama.get_input_embeddings()(tokens[:, :-1]))
        hidden = self.llama.model(inputs_embeds=read, use_cache=False).last_hidden_state
        logits = self.llama.lm_head(self.dropout(hidden))
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD, reduction="none"
        )
        return -losses.view(len(tokens), -1)


def build(seed: int) -> SurrogateLM:
    """Build an unfitted attributor."""
    return SurrogateLM(seed)
