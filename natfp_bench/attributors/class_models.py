"""One causal language model per class, for authors of baselines: copies of one trained model, tuned on their classes.

A text belongs to the class whose model finds it likeliest. All copies begin as one model (the trunk), so that they
differ in nothing but what their texts taught them. Texts without labels teach them, too: they are given to classes by
the answers of the copies so far (expectation maximisation; Nigam et al., Machine Learning 39, 2000).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from natfp_bench.base import streams

from .knowledge import Knowledge
from .neural_text import (
    NeuralClassifier,
    apply_model,
    batches,
    calibrate,
    linear_schedule,
    pad,
    posterior,
    readable,
    train_model,
)

Row = Sequence[int]
"""Token ids of a text."""

MASKED = -1
"""Stands for a place of a row that has no token."""

WARMUP = 0.05

LOOKED_AT = 256
"""Texts by which a trunk is chosen, where there are several."""

COMMON = 48_000
"""Texts, at most, that the trunk reads."""

WORTH = 0.5
"""Texts without labels are given to classes where a round has at least so many of them for each labelled one."""

FEWEST = 100
"""Held-out texts, at least, for giving texts without labels to classes: fewer do not say how sure the copies may be."""


class Trunk(NamedTuple):
    """A language model with its tokenizer; begin, end: tokens around a text; context: most tokens to predict."""

    model: torch.nn.Module
    tokenizer: Tokenizer
    begin: int
    end: int
    context: int


def load_trunk(folder: Path) -> Trunk:
    """Load a checkpoint folder in float32; a text that spells a special token is read as ordinary text."""
    transformers.utils.logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = model.config
    return Trunk(model, tokenizer, config.bos_token_id, config.eos_token_id, config.max_position_embeddings)


def likeliest_trunk(folders: Sequence[Path], texts: Sequence[str]) -> Trunk:
    """Load the model that predicts some texts best, per byte that it reads: tokenizers may differ."""
    trunks = [load_trunk(folder) for folder in folders]

    def nats_per_byte(one: Trunk) -> float:
        rows = encode_rows(one, texts[:LOOKED_AT])
        size = sum(len(text.encode()) for text in one.tokenizer.decode_batch(rows))
        return -float(log_likelihoods([one.model.eval()], rows).sum()) / max(size, 1)

    return trunks[0] if len(trunks) == 1 else min(trunks, key=nats_per_byte)


def small_llama(tokenizer: Tokenizer, end: int, *, width: int, layers: int, context: int) -> Trunk:
    """Make an untrained Llama for a tokenizer, whose token `end` begins and ends a text; torch is seeded already."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 16,
        max_position_embeddings=context,
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    return Trunk(LlamaForCausalLM(config), tokenizer, end, end, context)


def encode_rows(trunk: Trunk, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text after the begin token, cut to the context; the end token stands where there is room."""
    found = trunk.tokenizer.encode_batch([readable(text, trunk.context) for text in texts], add_special_tokens=False)
    return [[trunk.begin, *one.ids, trunk.end][: trunk.context + 1] for one in found]


def log_probabilities(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probability of each token given those before it, in nats: (rows, width - 1), zero where there is none."""
    # Places without a token come after a text, where a causal model does not see them: no mask is needed.
    logits = model(input_ids=tokens[:, :-1].clamp(min=0), use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=MASKED, reduction="none"
    )
    return -losses.view(len(tokens), -1)


def log_likelihoods(models: Iterable[torch.nn.Module], rows: Sequence[Row]) -> NDArray[np.float64]:
    """Log-likelihood of each row under each model, in nats: (rows, models)."""
    return faded_log_likelihoods(models, rows, [math.inf])[:, :, 0]


def faded_log_likelihoods(
    models: Iterable[torch.nn.Module], rows: Sequence[Row], spans: Sequence[float]
) -> NDArray[np.float64]:
    """Log-likelihoods in which later tokens count less, in nats: (rows, models, spans).

    The token at position t, counted from 0, has the weight exp(-t / span), for each span in tokens; an infinite span is
    the plain log-likelihood.
    """
    models, over = list(models), torch.tensor([1 / span for span in spans], dtype=torch.float64)

    def sums(tokens: torch.Tensor) -> torch.Tensor:
        found = torch.stack([log_probabilities(model, tokens).double() for model in models], dim=1)
        weights = torch.exp(-over[:, None] * torch.arange(found.shape[2], dtype=torch.float64))
        return torch.stack([(found * weight).sum(2) for weight in weights], dim=2).flatten(1)

    return apply_model(sums, rows, MASKED).reshape(len(rows), len(models), len(spans))


def epochs_over(
    model: torch.nn.Module,
    rows: Sequence[Row],
    *name: str | int,
    epochs: int,
    batch: int,
    rate: float,
) -> Callable[[int], None]:
    """Return a function that trains a model for one epoch over the rows.

    epochs: their number in all, over which the learning rate rises to `rate` and falls to zero. name: of the random
    stream of the order of the rows.
    """
    steps = -(-len(rows) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: linear_schedule(i, epochs * steps, WARMUP))
    order = batches([len(row) for row in rows], batch, *name)

    def epoch(_: int) -> None:
        for part in islice(order, steps):
            tokens = pad([rows[i] for i in part], MASKED)
            optimizer.zero_grad(set_to_none=True)
            loss = -log_probabilities(model, tokens).sum() / (tokens[:, 1:] != MASKED).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return epoch


def _by_class(rows: Sequence[Row], y: NDArray[np.int64], classes: int) -> list[list[Row]]:
    """The rows of each class."""
    return [[row for row, of in zip(rows, y, strict=True) if of == k] for k in range(classes)]


class Choice(NamedTuple):
    """How copies answer: rounds together, the last ones, with which span (its place in the list).

    loss: sum over the held-out texts, in nats; temperature: of the log-likelihoods; see `calibrate`.
    """

    loss: float
    temperature: float
    span: int
    rounds: int


class ClassModels(NeuralClassifier):
    """Attribution by the likelihoods of copies of a trunk, one per class.

    The trunk first reads the texts together, with the further ones that `further` gives, as long as it predicts
    held-out texts better; at most `COMMON` of them. Then each copy reads the texts of its class, as long as the copies
    separate the classes of held-out texts better. Where there are many further texts, each is now given to one class at
    random, by the copies' probabilities, and fresh copies read those of their class with the labelled ones; this is
    repeated as long as the classes of held-out texts are separated better. reading, tuning: epochs of both, at most;
    rounds: repetitions, at most; most: further texts that a round reads; rate, tuning_rate: highest learning rates;
    batch: texts per step. turns: in how many shares the further texts are read, one share a round, in turn. With two or
    more, no copies guess the class of a text that they have read, and no mistake confirms itself. averaged: whether the
    copies of several rounds answer together, by their mean log-likelihoods, where this separates held-out texts better
    than those of the last round alone. spans: in what span, as a multiple of the context, the weight of a token falls
    to 1/e from the beginning of a text to its end; of several spans, the one that separates held-out texts best. By
    default all tokens count the same.
    """

    def __init__(
        self,
        seed: int,
        knowledge: Knowledge,
        *,
        reading: int = 2,
        rate: float = 3e-3,
        tuning: int = 2,
        tuning_rate: float = 1.5e-3,
        rounds: int = 4,
        most: int = 24_000,
        turns: int = 2,
        batch: int = 16,
        averaged: bool = False,
        spans: Sequence[float] = (math.inf,),
    ) -> None:
        super().__init__(seed)
        self.knowledge = knowledge
        self.reading, self.rate, self.tuning, self.tuning_rate, self.batch = reading, rate, tuning, tuning_rate, batch
        self.rounds, self.most, self.turns, self.averaged, self.spans = rounds, most, turns, averaged, tuple(spans)

    def trunk(self, texts: Sequence[str]) -> Trunk:
        """Return a fresh model to begin with; texts: those to learn from, without labels.

        By default it is the stranger that predicts these texts best, so that the card has to ask for the recipe.
        """
        return likeliest_trunk(self.knowledge.strangers, texts)

    def beginnings(self) -> Sequence[torch.nn.Module]:
        """The models that the copies begin as, one for each of `classes_`: all as the trunk."""
        return [self._trunk.model] * len(self.classes_)

    def further(self) -> Sequence[str]:
        """Further texts of the sources, without labels."""
        return self.knowledge.unlabelled

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Let the trunk read all texts, and then its copies those of their classes."""
        self._trunk = self.trunk([text for text, out in zip(texts, held, strict=True) if not out])
        rows, model = encode_rows(self._trunk, texts), self._trunk.model
        known, asked = [rows[i] for i in np.flatnonzero(~held)], [rows[i] for i in np.flatnonzero(held)]
        further = encode_rows(self._trunk, self.further()[: self.turns * self.most])
        shares = [further[turn :: self.turns] for turn in range(self.turns)]
        common = [*known, *further[: self.most]]
        # Beyond some texts, more of them teach the trunk no better language: every second one, or third, is enough.
        common = common[:: len(common) // COMMON + 1]
        read = self._epochs(model, common, self.reading, self.rate, "common")
        train_model(
            model, read, lambda: -float(log_likelihoods([model], asked).sum()), self.reading, every=1, patience=2
        )
        labelled = _by_class(known, y[~held], len(self.classes_))
        answering = [self._copies(labelled, asked, y[held], 0)]
        heard = [self._heard(answering[0], asked)]
        best = self._chosen(heard, y[held])
        enough = len(asked) >= FEWEST and len(shares[-1]) >= max(1, WORTH * len(known))
        for number in range(1, self.rounds + 1 if enough else 1):
            if not math.isfinite(best.temperature):
                break
            # Older copies may have read the share whose turn it is, so that only the last ones guess.
            self._answering, self._choice = answering[:1], self._chosen(heard[:1], y[held])
            share = shares[(number - 1) % self.turns]
            given = self._drawn(share, self._choice.temperature, number)
            self.guessed(share, given)
            both = [mine + new for mine, new in zip(labelled, _by_class(share, given, len(labelled)), strict=True)]
            copies = self._copies(both, asked, y[held], number)
            heard = [self._heard(copies, asked), *heard]
            if (now := self._chosen(heard, y[held])).loss >= best.loss:
                break
            best, answering = now, [copies, *answering]
        self._answering, self._choice = answering[: best.rounds], best

    def guessed(self, rows: Sequence[Row], given: NDArray[np.int64]) -> None:
        """Hear of each round's texts without labels, and of the class that each was given to, (rows,); does nothing."""

    def guesses(self, rows: Sequence[Row], temperature: float) -> NDArray[np.float64]:
        """Probabilities by which texts without labels are given to classes, after a round: (rows, k)."""
        return posterior(self.scores(rows), temperature, self.frequencies_)

    def _copies(
        self, own: Sequence[Sequence[Row]], asked: Sequence[Row], y: NDArray[np.int64], number: int
    ) -> torch.nn.ModuleList:
        """Copies of the beginnings, each tuned on the rows of its class; asked, y: held-out rows and their classes."""
        models = torch.nn.ModuleList(copy.deepcopy(one) for one in self.beginnings())
        tune = [
            self._epochs(one, rows, self.tuning, self.tuning_rate, "class", k, number)
            for k, (one, rows) in enumerate(zip(models, own, strict=True))
        ]

        def step(i: int) -> None:
            for epoch in tune:
                epoch(i)

        def loss() -> float:
            return self._chosen([self._heard(models, asked)], y).loss

        train_model(models, step, loss, self.tuning, every=1, patience=2)
        return models

    def _drawn(self, rows: Sequence[Row], temperature: float, number: int) -> NDArray[np.int64]:
        """Draw the class of each row from its probabilities: (rows,) int."""
        proba = self.guesses(rows, temperature)
        draws = streams.uniforms([number], len(rows), type(self).__name__, "class", self.seed)[0]
        return np.asarray((np.cumsum(proba, axis=1)[:, :-1] < draws[:, None]).sum(axis=1), dtype=np.int64)

    def _heard(self, models: torch.nn.ModuleList, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Log-likelihoods of rows under the copies of one round, for each span: (rows, classes, spans)."""
        return faded_log_likelihoods(models, rows, [self._trunk.context * span for span in self.spans])

    def _chosen(self, heard: Sequence[NDArray[np.float64]], y: NDArray[np.int64]) -> Choice:
        """Choose how to answer; heard: of the held-out rows, whose classes are y, by round, the last one first."""
        # The last rounds are the best ones, so that the earliest are left out first.
        means = [np.mean(heard[:n], axis=0) for n in range(1, len(heard) + 1 if self.averaged else 2)]
        found = [
            Choice(*calibrate(mean[:, :, i], y, self.frequencies_), i, n + 1)
            for n, mean in enumerate(means)
            for i in range(len(self.spans))
        ]
        return min(found, key=lambda choice: choice.loss)

    def _epochs(
        self, model: torch.nn.Module, rows: Sequence[Row], epochs: int, rate: float, *name: str | int
    ) -> Callable[[int], None]:
        stream = (type(self).__name__, "order", self.seed, *name)
        return epochs_over(model, rows, *stream, epochs=epochs, batch=self.batch, rate=rate)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class's model, in nats, the mean over rounds: (n, k)."""
        return self.scores(encode_rows(self._trunk, texts))

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """What `score` returns, for texts that are encoded already."""
        heard = [self._heard(models, rows)[:, :, self._choice.span] for models in self._answering]
        return np.asarray(np.mean(heard, axis=0))
