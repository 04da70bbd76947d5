"""Neural attributors for authors of baselines: the contract, seeded training, held-out groups and calibration.

They train on the CPU, on one thread, with random streams of their own. The same seed gives the same answer, and the
state of torch's global generator is restored afterwards.
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
"""Ids of the special tokens of `train_tokenizer`: padding, and the token that begins and ends a text."""

WIDTH_STEP = 8
"""Rows are padded to a multiple of this many tokens."""

ROWS = 32
"""Rows per call of a model at prediction; always the same number."""

CHARACTERS = 16
"""Characters to read per token of context: no tokenizer needs more, and the rest of a long text is not encoded."""

HELD_OUT = 1000
"""About how many texts are held out at most: a large set needs no more to choose by."""

LEAST_GAIN = 2.0
"""Nats by which scores must beat class frequencies on the held-out texts to be used: noise gains about 0.5."""


class NeuralClassifier(ABC):
    """The contract of attributors around a neural model; a subclass trains the model and scores texts with it.

    One eighth of the groups (one quarter of a small set) is held out, for early stopping in `learn` and for choosing
    the temperature of the scores. If scores gain nothing there, or nothing can be held out, the answer is the class
    frequencies.
    """

    classes_: NDArray[Any]
    temperature_: float

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @abstractmethod
    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train a fresh model on texts of classes y, (n,); stop early by those held out. torch is seeded already."""

    @abstractmethod
    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class, up to a common factor and a constant per text: (n, k)."""

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
    """A `...ForSequenceClassification` model of the library transformers, trained with AdamW and cross-entropy.

    batch: texts per step; rate: highest learning rate, which rises over a tenth of the steps and then falls to zero;
    looks: how often per epoch the held-out loss is computed; patience: looks without improvement before training stops.
    """

    def __init__(
        self, seed: int, *, batch: int, epochs: int, rate: float, weight_decay: float, looks: int, patience: int
    ) -> None:
        super().__init__(seed)
        self.batch, self.epochs, self.rate, self.weight_decay = batch, epochs, rate, weight_decay
        self.looks, self.patience = looks, patience

    @abstractmethod
    def start(self, texts: Sequence[str]) -> tuple[torch.nn.Module, int]:
        """Return an untrained model for the training texts, and the id of its padding token; torch is seeded."""

    @abstractmethod
    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, as the model needs them, cut to its context."""

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train a fresh model on the texts that are not held out."""
        self._model, self._filler = self.start(texts)
        rows = self.read(texts)
        known, asked = [rows[i] for i in np.flatnonzero(~held)], [rows[i] for i in np.flatnonzero(held)]
        truth = torch.from_numpy(y[~held])
        optimizer = torch.optim.AdamW(self._model.parameters(), lr=self.rate, weight_decay=self.weight_decay)
        steps = self.epochs * -(-len(known) // self.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: linear_schedule(step, steps))
        order = batches([len(row) for row in known], self.batch, type(self).__name__, "order", self.seed)

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
        train_model(self._model, step, loss, steps, every=every, patience=self.patience)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Logits of each text minus the logarithms of the class frequencies: (n, k)."""
        return self._scores(self.read(texts))

    def _scores(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        return apply_model(self._logits, rows, self._filler) - np.log(self.frequencies_)

    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = (tokens != self._filler).long()
        logits: torch.Tensor = self._model(input_ids=tokens, attention_mask=mask).logits
        return logits


@contextmanager
def seeded(*stream: streams.Name) -> Iterator[None]:
    """Run torch on one thread with its global generator seeded from a named stream; restore both afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.seed(*stream))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def held_out(y: NDArray[np.int64], groups: Sequence[int] | None, *stream: streams.Name) -> NDArray[np.bool_]:
    """Mark the texts to hold out, (n,): whole groups, and never all groups of a class."""
    _, group = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups), return_inverse=True)
    n = int(group.max()) + 1
    few = min(max(n // 8, min(-(-n // 4), 64)), max(1, n * HELD_OUT // len(y)))
    held = streams.permutation(n, *stream)[group] < few
    lost = np.setdiff1d(y, y[~held])
    return np.asarray(held & ~np.isin(group, group[np.isin(y, lost)]))


def readable(text: str, context: int) -> str:
    """Cut a text to the characters that can fill a context; replace lone surrogates, which have no UTF-8."""
    return text[: CHARACTERS * context].encode(errors="replace").decode()


def train_tokenizer(texts: Sequence[str], vocabulary: int, context: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens; special tokens in a text are plain text."""
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


def batches(lengths: Sequence[int], rows: int, *stream: streams.Name) -> Iterator[NDArray[np.int64]]:
    """Row numbers of one batch after the other, at most `rows` each, epoch after epoch without end.

    Rows of similar length share a batch, and batches come in random order.
    """
    for epoch in count():
        order = streams.permutation(len(lengths), *stream, epoch)
        found: list[NDArray[np.int64]] = []
        # Rows are sorted by length within stretches only, so batches differ from epoch to epoch.
        for stretch in np.split(order, range(16 * rows, len(order), 16 * rows)):
            ordered = stretch[np.argsort(np.asarray(lengths)[stretch], kind="stable")]
            found += np.split(ordered, range(rows, len(ordered), rows))
        yield from (found[i] for i in streams.permutation(len(found), *stream, epoch, "batches"))


def apply_model(
    model: Callable[[torch.Tensor], torch.Tensor], rows: Sequence[Sequence[int]], filler: int = PAD
) -> NDArray[np.float64]:
    """Put rows of token ids through a model from (ROWS, width) to (ROWS, columns); returns (rows, columns) float64.

    Float sums depend on shapes. So the width depends on the length of the row alone, and blocks are always filled up to
    ROWS: a text gets the same answer alone and in any batch.
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


def train_model(
    model: torch.nn.Module,
    step: Callable[[int], None],
    loss: Callable[[], float],
    steps: int,
    *,
    every: int,
    patience: int,
) -> None:
    """Take training steps, and keep the weights with the lowest held-out loss, computed after every `every` steps.

    Training stops once the loss, after some improvement, has not improved for `patience` times in a row. The initial
    weights count too. Dropout is active in training steps only.
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


def linear_schedule(step: int, steps: int, warmup: float = 0.1) -> float:
    """Share of the highest learning rate at a step; it rises during the warm-up and then falls to zero.

    warmup: share of the steps.
    """
    rise = max(1.0, warmup * steps)
    return min((step + 1) / rise, (steps - step) / max(1.0, steps - rise), 1.0)


def posterior(scores: NDArray[np.float64], temperature: float, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of classes, (texts, k), from scores divided by a temperature and class frequencies (k,)."""
    return np.asarray(softmax(scores / temperature + np.log(frequencies), axis=1))


def calibrate(
    scores: NDArray[np.float64], y: NDArray[np.int64], frequencies: NDArray[np.float64]
) -> tuple[float, float]:
    """Find the temperature with the lowest log loss on held-out texts; returns (sum of losses in nats, temperature).

    The temperature is infinite, so that answers are the class frequencies, unless one gains LEAST_GAIN over them.
    """

    def loss(temperature: float) -> float:
        proba = posterior(scores, temperature, frequencies)[np.arange(len(y)), y]
        return -float(np.log(np.maximum(proba, 1e-12)).sum())

    found = minimize_scalar(lambda log: loss(math.exp(log)), bounds=(-3, 8), method="bounded", options={"xatol": 0.01})
    best, nothing = float(found.fun), loss(math.inf)
    return (best, math.exp(found.x)) if best < nothing - LEAST_GAIN else (nothing, math.inf)
