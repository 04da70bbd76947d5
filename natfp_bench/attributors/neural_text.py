"""What neural attributors share, for authors of baselines: the contract, seeded training, held-out groups, calibration.

They train on the CPU, on one thread, from random streams of their own: the same seed gives the same answer, and nobody
else in the process notices that torch's global generator was used.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from natfp_bench.base import streams

PAD, END = 0, 1
"""Ids of the special tokens of `train_tokenizer`: padding, and what begins and ends a text."""

WIDTH_STEP = 8
"""Rows are padded to a multiple of so many tokens."""

ROWS = 32
"""Rows that go through a model at once at prediction, always so many."""

CHARACTERS = 16
"""Characters that are read per token of context: no tokenizer needs more, and no book is read for its first page."""

HELD_OUT = 1000
"""About so many texts are held out at most: a large set needs no more to choose by, and learns from the rest."""

LEAST_GAIN = 2.0
"""Nats by which scores must beat class frequencies on the held-out texts to be believed: noise gains about a half."""


class NeuralClassifier(ABC):
    """The attributor's contract around a neural model: a subclass learns from token rows, and scores them.

    An eighth of the groups (a quarter of a small set) is held out: `learn` stops by it, and the scores' temperature is
    chosen on it. Where scores gain nothing there, or nothing can be held out, the answer is the class frequencies.
    """

    classes_: NDArray[Any]
    temperature_: float

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @abstractmethod
    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train a fresh model on texts of classes y, (n,), stopping by those that are held out; torch is seeded."""

    @abstractmethod
    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class, up to a common factor and a constant of the text: (n, k)."""

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; texts of one group are never on both sides of the inner split."""
        self.classes_, y = np.unique(np.asarray(labels), return_inverse=True)
        self.frequencies_ = np.bincount(y) / len(y)
        held = held_out(y, groups, type(self).__name__, "held out", self.seed)
        self.temperature_ = math.inf
        if held.any() and len(self.classes_) > 1:
            with seeded(type(self).__name__, "fit", self.seed):
                self.learn(texts, y, held)
                scores = self.score([text for text, out in zip(texts, held, strict=True) if out])
            self.temperature_ = calibrate(scores, y[held], self.frequencies_)[1]
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "temperature_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first")
        scores = np.zeros((len(texts), len(self.classes_)))
        if len(texts) and math.isfinite(self.temperature_):
            with seeded(type(self).__name__, "predict", self.seed):
                scores = self.score(texts)
        return posterior(scores, self.temperature_, self.frequencies_)


class SequenceClassifier(NeuralClassifier):
    """A `...ForSequenceClassification` of the transformers library, trained with AdamW by cross-entropy.

    batch: texts a step; rate: peak of the learning rate, which rises over a tenth of the steps and then falls to zero;
    looks: how often an epoch the held-out loss is seen; patience: looks without improvement before the training stops.
    """

    def __init__(
        self, seed: int, *, batch: int, epochs: int, rate: float, weight_decay: float, looks: int, patience: int
    ) -> None:
        super().__init__(seed)
        self.batch, self.epochs, self.rate, self.weight_decay = batch, epochs, rate, weight_decay
        self.looks, self.patience = looks, patience

    @abstractmethod
    def start(self, texts: Sequence[str]) -> tuple[torch.nn.Module, int]:
        """Make an untrained model for the training texts, and tell its padding token; torch is seeded."""

    @abstractmethod
    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text as the model takes them, cut to its context."""

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train a fresh model on those texts that are not held out."""
        self._model, self._filler = self.start(texts)
        rows = self.read(texts)
        known, asked = [rows[i] for i in np.flatnonzero(~held)], [rows[i] for i in np.flatnonzero(held)]
        truth = torch.from_numpy(y[~held])
        optimizer = torch.optim.AdamW(self._model.parameters(), lr=self.rate, weight_decay=self.weight_decay)
        steps = self.epochs * -(-len(known) // self.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: decay(step, steps))
        order = epochs([len(row) for row in known], self.batch, type(self).__name__, "order", self.seed)

        def step(_: int) -> None:
            part = next(order)
            logits = self._logits(pad([known[i] for i in part], self._filler))
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(logits, truth[part]).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

        def loss() -> float:
            return calibrate(self._scores(asked), y[held], self.frequencies_)[0]

        every = max(1, steps // (self.epochs * self.looks))
        train(self._model, step, loss, steps, every=every, patience=self.patience)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Logits of each text, the class frequencies taken out: (n, k)."""
        return self._scores(self.read(texts))

    def _scores(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        return answer(self._logits, rows, self._filler) - np.log(self.frequencies_)

    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = (tokens != self._filler).long()
        logits: torch.Tensor = self._model(input_ids=tokens, attention_mask=mask).logits
        return logits


@contextmanager
def seeded(*stream: streams.Name) -> Iterator[None]:
    """Run torch on one thread, its global generator set from a named stream; both are put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.seed(*stream))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def held_out(y: NDArray[np.int64], groups: Sequence[int] | None, *stream: streams.Name) -> NDArray[np.bool_]:
    """Mark the texts to hold out, (n,): whole groups, none of them the last of a class."""
    _, group = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups), return_inverse=True)
    n = int(group.max()) + 1
    few = min(max(n // 8, min(-(-n // 4), 64)), max(1, n * HELD_OUT // len(y)))
    held = streams.permutation(n, *stream)[group] < few
    lost = np.setdiff1d(y, y[~held])
    return np.asarray(held & ~np.isin(group, group[np.isin(y, lost)]))


def readable(text: str, context: int) -> str:
    """Cut a text to what can fill a context, and replace lone surrogates, which have no UTF-8."""
    return text[: CHARACTERS * context].encode(errors="replace").decode()


def train_tokenizer(texts: Sequence[str], vocabulary: int, context: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer of at most so many tokens; text that spells a special token is ordinary text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([readable(text, context) for text in texts], trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], context: int) -> list[list[int]]:
    """Token ids of each text between two end tokens, cut to the context."""
    found = tokenizer.encode_batch([readable(text, context) for text in texts], add_special_tokens=False)
    return [[END, *one.ids, END][:context] for one in found]


def pad(rows: Sequence[Sequence[int]], filler: int = PAD) -> torch.Tensor:
    """Stack rows of token ids: (rows, width) int64, the width a multiple of WIDTH_STEP."""
    width = -(-max(map(len, rows)) // WIDTH_STEP) * WIDTH_STEP
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def epochs(lengths: Sequence[int], rows: int, *stream: streams.Name) -> Iterator[NDArray[np.int64]]:
    """Indices of batch after batch, at most so many rows each, epoch after epoch without end.

    Rows of like length stand together, and batches come in random order.
    """
    for epoch in count():
        order = streams.permutation(len(lengths), *stream, epoch)
        found: list[NDArray[np.int64]] = []
        # Sorted by length within stretches only, so that batches differ from epoch to epoch.
        for stretch in np.split(order, range(16 * rows, len(order), 16 * rows)):
            ordered = stretch[np.argsort(np.asarray(lengths)[stretch], kind="stable")]
            found += np.split(ordered, range(rows, len(ordered), rows))
        yield from (found[i] for i in streams.permutation(len(found), *stream, epoch, "batches"))


def answer(
    model: Callable[[torch.Tensor], torch.Tensor], rows: Sequence[Sequence[int]], filler: int = PAD
) -> NDArray[np.float64]:
    """Put rows of token ids through a model from (ROWS, width) tokens to (ROWS, columns): (rows, columns) float64.

    Float sums depend on shapes. So the width is that of a row's own length, and missing rows are filled up: a text
    is answered alike alone and in any batch.
    """
    steps = np.array([-(-len(row) // WIDTH_STEP) for row in rows])
    answers: dict[int, NDArray[np.float64]] = {}
    with torch.inference_mode():
        for size in np.unique(steps):
            alike = np.flatnonzero(steps == size)
            for part in np.split(alike, range(ROWS, len(alike), ROWS)):
                tokens = pad([rows[i] for i in [*part, *[part[-1]] * (ROWS - len(part))]], filler)
                answers |= zip(part.tolist(), model(tokens).double().numpy(), strict=False)
    return np.stack([answers[i] for i in range(len(rows))])


def train(
    model: torch.nn.Module,
    step: Callable[[int], None],
    loss: Callable[[], float],
    steps: int,
    *,
    every: int,
    patience: int,
) -> None:
    """Take steps; stop when the held-out loss, seen every so many, has improved but not so the last `patience` times.

    The weights of least loss are kept, those before the first step among them. Dropout acts in steps alone.
    """
    model.eval()
    best, kept, worse = loss(), _weights(model), -math.inf
    for i in range(steps):
        model.train()
        step(i)
        model.eval()
        if (i + 1) % every and i + 1 < steps:
            continue
        now = loss()
        if now < best:
            best, kept, worse = now, _weights(model), 0
        elif (worse := worse + 1) == patience:
            break
    model.load_state_dict(kept)


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def decay(step: int, steps: int, warmup: float = 0.1) -> float:
    """Linear schedule: factor of the peak rate at a step, rising over the warm-up's share and falling to zero."""
    rise = max(1.0, warmup * steps)
    return min((step + 1) / rise, (steps - step) / max(1.0, steps - rise), 1.0)


def posterior(scores: NDArray[np.float64], temperature: float, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of classes, (texts, k), from scores over a temperature and class frequencies (k,)."""
    return np.asarray(softmax(scores / temperature + np.log(frequencies), axis=1))


def calibrate(
    scores: NDArray[np.float64], y: NDArray[np.int64], frequencies: NDArray[np.float64]
) -> tuple[float, float]:
    """Find the temperature of least log loss on held-out texts; returns (loss in nats, all texts; temperature).

    The temperature is infinite, which answers class frequencies, where none gains LEAST_GAIN over them.
    """

    def loss(temperature: float) -> float:
        proba = posterior(scores, temperature, frequencies)[np.arange(len(y)), y]
        return -float(np.log(np.maximum(proba, 1e-12)).sum())

    found = minimize_scalar(lambda log: loss(math.exp(log)), bounds=(-3, 8), method="bounded", options={"xatol": 0.01})
    best, nothing = float(found.fun), loss(math.inf)
    return (best, math.exp(found.x)) if best < nothing - LEAST_GAIN else (nothing, math.inf)
