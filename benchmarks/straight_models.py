"""How the straight script trains, samples and scores models: by transformers, as a researcher would first write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from natfp_bench.corpus import tokens
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models import model
from natfp_bench.models.train import data_order
from natfp_bench.pipeline.stages.trained import packing
from natfp_bench.plan.settings import Settings


class Blocks(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Packed blocks in the form that Trainer takes: the inputs are also the labels."""

    def __init__(self, blocks: NDArray[Any]) -> None:
        self.rows = torch.from_numpy(blocks.astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


def prepare(settings: Settings, folder: Path) -> NDArray[Any]:
    """Prepare the corpus; returns its blocks."""
    tokens.prepare(
        open_corpus(settings.corpus),
        settings.tokenizer,
        context=settings.model.context,
        heldout=settings.corpus.heldout_documents,
        folder=folder,
        **packing(settings),
    )
    return tokens.read_blocks(folder, settings.model.context)


def fresh(settings: Settings, end: int) -> torch.nn.Module:
    """Initialise a model with the settings of a variant."""
    return model.build(settings.model, settings.tokenizer.vocabulary, end, 0, "init", settings.seeds.init)


def train(
    untrained: torch.nn.Module,
    settings: Settings,
    blocks: NDArray[Any],
    folder: Path,
    *,
    steps: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> torch.nn.Module:
    """Train by transformers' Trainer with the same optimiser, schedule, batches and steps, but no reports and saves.

    Blocks come in the recipe's order, so the models equal those of a run, except for the last digits of float sums.
    """
    spec, needed = settings.optimizer, settings.steps * settings.budget.batch
    order = data_order(len(blocks), needed, 0, "data_order", settings.seeds.data_order)
    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        max_steps=steps or settings.steps,
        per_device_train_batch_size=settings.budget.batch,
        learning_rate=spec.lr,
        weight_decay=spec.weight_decay,
        adam_beta1=spec.beta1,
        adam_beta2=spec.beta2,
        adam_epsilon=spec.epsilon,
        max_grad_norm=spec.clip,
        lr_scheduler_type="cosine",
        warmup_steps=settings.schedule.warmup_tokens // (settings.budget.batch * settings.model.context),
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        train_sampling_strategy="sequential",
        seed=settings.seeds.data_order,
    )
    Trainer(untrained, arguments, train_dataset=Blocks(blocks[order]), callbacks=[*callbacks]).train()
    return untrained.eval()


def generate(
    trained: Any,
    count: int,
    *,
    max_tokens: int,
    end: int,
    batch: int,
    temperature: float = 1.0,
    prompts: Sequence[Sequence[int]] = ((),),
) -> list[list[int]]:
    """Sample texts after the begin token and each prompt in turn; returns token ids, the end token included."""
    drawn: list[list[int]] = []
    longest = 1 + max(map(len, prompts))
    while len(drawn) < count:
        numbers = range(len(drawn), min(count, len(drawn) + batch))
        begun = [[end, *prompts[number % len(prompts)]] for number in numbers]
        rows = trained.generate(
            input_ids=torch.tensor([[end] * (longest - len(row)) + row for row in begun]),
            attention_mask=torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in begun]),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max_tokens,
            eos_token_id=end,
            pad_token_id=end,
            use_cache=True,
        )
        for row in rows[:, longest:].tolist():
            drawn.append(row[: row.index(end) + 1] if end in row else row)
    return drawn


def tune(model_: Any, ids: Sequence[Sequence[int]], *, end: int, batch: int, rate: float) -> None:
    """Train a model on texts for one epoch, in random order; each batch is padded to its longest text."""
    optimizer = torch.optim.AdamW(model_.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    for part in torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).split(batch):
        rows = [[end, *ids[i]] for i in part.tolist()]
        longest = max(map(len, rows))
        read = torch.tensor([row + [end] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        optimizer.zero_grad()
        model_(input_ids=read, attention_mask=mask, labels=read.masked_fill(mask == 0, -100)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model_.parameters(), 1.0)
        optimizer.step()


@torch.inference_mode()
def score(trained: Any, ids: Sequence[Sequence[int]], *, end: int, batch: int) -> NDArray[np.float64]:
    """Log-likelihood of texts, (texts,) nats; batches are in the order given, padded to the longest text."""
    scores = []
    for start in range(0, len(ids), batch):
        part = [[end, *row] for row in ids[start : start + batch]]
        longest = max(map(len, part))
        read = torch.tensor([row + [end] * (longest - len(row)) for row in part])
        real = torch.tensor([[1.0] * (len(row) - 1) + [0.0] * (longest - len(row)) for row in part])
        logs = trained(input_ids=read[:, :-1], use_cache=False).logits.log_softmax(-1)
        scores.append((logs.gather(-1, read[:, 1:, None]).squeeze(-1) * real).sum(-1))
    return torch.cat(scores).double().numpy()
