"""The same experiment as a straight script: what the package's machinery is measured against.

python benchmarks/straight.py [--preset quick] [--batch 500]

Four seeds, four models: trained one after another by transformers' Trainer, sampled by `generate`, told apart by three
classifiers and by the models' own likelihoods; then the reference attributor on texts that are shorter, fewer, pooled,
transformed or drawn in another way, and the words that tell. Each step uses all cores, as torch does by default. Text,
tokens and the recipe's numbers are the package's, and so are classifiers and studies; all else is what a researcher
would write in an afternoon. It prints accuracies and seconds as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import straight_studies
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from natfp_bench.attributors import registry
from natfp_bench.corpus import tokens
from natfp_bench.corpus.documents import open_corpus
from natfp_bench.models import model
from natfp_bench.models.train import data_order
from natfp_bench.pipeline import keys
from natfp_bench.plan.plan import make_plan
from natfp_bench.plan.settings import Settings

BASELINES = "naive_bayes,unigram,char_ngram"


class Blocks(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Packed blocks as Trainer wants them: inputs that are their own labels."""

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
        **keys.blocks(settings),
    )
    return tokens.read_blocks(folder, settings.model.context)


def fresh(settings: Settings, end: int) -> torch.nn.Module:
    """Initialise a model of the recipe."""
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
    """Train by transformers' Trainer: same optimiser, schedule, batches and steps; it reports and saves nothing.

    Blocks come in the recipe's order, so that the models are those of a run, but for the last digits of float sums.
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
    """Sample texts behind the begin token and prompts in turn: token ids, the end token included where it was drawn."""
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


@torch.inference_mode()
def score(trained: Any, ids: Sequence[Sequence[int]], *, end: int, batch: int) -> NDArray[np.float64]:
    """Log-likelihood of texts, (texts,) nats: batches in the order given, padded to their longest."""
    scores = []
    for start in range(0, len(ids), batch):
        part = [[end, *row] for row in ids[start : start + batch]]
        longest = max(map(len, part))
        read = torch.tensor([row + [end] * (longest - len(row)) for row in part])
        real = torch.tensor([[1.0] * (len(row) - 1) + [0.0] * (longest - len(row)) for row in part])
        logs = trained(input_ids=read[:, :-1], use_cache=False).logits.log_softmax(-1)
        scores.append((logs.gather(-1, read[:, 1:, None]).squeeze(-1) * real).sum(-1))
    return torch.cat(scores).double().numpy()


def run(preset: str, batch: int, score_batch: int, folder: Path) -> dict[str, Any]:
    """Run the experiment; returns accuracies, and the seconds of each stage."""
    plan = make_plan("seed_id", preset)
    clock, seconds = time.monotonic(), {}

    def lap(stage: str) -> None:
        nonlocal clock
        seconds[stage], clock = round(time.monotonic() - clock, 1), time.monotonic()

    settings = [variant.settings for variant in plan.variants]
    blocks = prepare(settings[0], folder)
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json")
    end, max_tokens = tokenizer.token_to_id(tokens.END), settings[0].sampling.max_tokens
    lap("corpus")
    trained = [train(fresh(one, end), one, blocks, folder) for one in settings]
    straight_studies.write_heldout(trained, folder, settings[0].model.context)
    lap("train")
    ids = [generate(one, plan.texts, max_tokens=max_tokens, end=end, batch=batch) for one in trained]
    every = plan.split.test_every
    others = straight_studies.other_texts(plan, trained, tokenizer, folder, batch=batch)
    texts = [tokenizer.decode_batch(rows, skip_special_tokens=True) for rows in ids]
    lap("sample")
    test = [row for rows in ids for row in rows[every - 1 :: every]]
    truth = np.repeat(np.arange(len(ids)), [len(rows[every - 1 :: every]) for rows in ids])
    likelihood = np.column_stack([score(one, test, end=end, batch=score_batch) for one in trained])
    found = {"ceiling": float((likelihood.argmax(1) == truth).mean())}
    lap("score")
    known = [(text, str(v)) for v, rows in enumerate(texts) for i, text in enumerate(rows) if i % every != every - 1]
    asked = [text for rows in texts for text in rows[every - 1 :: every]]
    for baseline in registry.find(BASELINES):
        attributor = registry.build(baseline, 0).fit([text for text, _ in known], [label for _, label in known])
        guess = attributor.predict_proba(asked).argmax(1)
        found[baseline.name] = float((guess == truth).mean())
    lap("attribute")
    straight_studies.study_texts(plan, ids, others, tokenizer)
    lap("study")
    return {"accuracy": found, "seconds": seconds}


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description="The experiment seed_id as a straight script.")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--batch", type=int, default=500, help="texts that are sampled together")
    parser.add_argument("--score-batch", type=int, default=64, help="texts that are scored together")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(options.preset, options.batch, options.score_batch, Path(folder))))


if __name__ == "__main__":
    main()
