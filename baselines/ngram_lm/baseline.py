"""One language model per class, over bytes and over subwords; the class whose model finds a text most likely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from natfp_bench.attributors.kit import LogLinear, folds

from .kneser_ney import Grams, Ints, Inventory, as_units

VOCABULARY = 4000
"""Subwords of the tokenizer; any number from 2,000 to 8,000 is about as accurate."""

LEARNT = 2000
"""About how many texts the tokenizer is trained on: enough to show what is frequent."""

BYTE_ORDER, SUBWORD_ORDER = 6, 3
"""Highest orders: in a few thousand short texts, longer n-grams occur only once."""


class Reader(Protocol):
    """Cuts texts into units, which are numbered from 1 to `kinds` - 1."""

    kinds: int

    def read(self, texts: Sequence[str]) -> list[Ints]:
        """Units of each text."""
        ...


class Bytes:
    """UTF-8 bytes, which can spell every language and every misspelling."""

    kinds = 257

    def read(self, texts: Sequence[str]) -> list[Ints]:
        """Bytes of each text, from 1 to 256."""
        return [np.frombuffer(text.encode(errors="replace"), np.uint8).astype(np.int64) + 1 for text in texts]


class Subwords:
    """Tokens of a byte-level BPE tokenizer that is trained on the training texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        self.tokenizer = Tokenizer(models.BPE())
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=alphabet, show_progress=False
        )
        self.tokenizer.train_from_iterator(_decodable(texts[:: max(1, len(texts) // LEARNT)]), trainer)
        self.kinds = self.tokenizer.get_vocab_size() + 1

    def read(self, texts: Sequence[str]) -> list[Ints]:
        """Token ids of each text, from 1."""
        return [np.array(one.ids, dtype=np.int64) + 1 for one in self.tokenizer.encode_batch_fast(_decodable(texts))]


class NgramLM:
    """Kneser-Ney models of every order over bytes and subwords, weighted on held-out texts."""

    classes_: NDArray[Any]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; the inner split never separates texts of one group."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        k = len(classes)
        self._readers: list[Reader] = [Bytes(), Subwords(texts)]
        orders = (BYTE_ORDER, SUBWORD_ORDER)
        inventories = [
            Inventory(as_units(reader.read(texts)), reader.kinds, order)
            for reader, order in zip(self._readers, orders, strict=True)
        ]
        scores, truth = [np.empty((0, k, sum(orders)))], [np.empty(0, np.int64)]
        for fit, held in folds(y, groups, self.seed):
            scores.append(np.concatenate([held_out_scores(inventory, y, k, fit, held) for inventory in inventories], 2))
            truth.append(y[held])
        self.pool_ = LogLinear().fit(np.concatenate(scores), np.concatenate(truth), np.bincount(y) / len(y))
        everyone = np.ones(len(y), dtype=np.bool_)
        self._models = [(inventory, inventory.models(y, k, everyone)) for inventory in inventories]
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "classes_"):
            raise NotFittedError("this NgramLM is not fitted yet; call fit first")
        return self.pool_.predict_proba(self.log_likelihood(texts))

    def log_likelihood(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class, in nats: (texts, classes, orders), bytes before subwords."""
        found = []
        for reader, (inventory, tables) in zip(self._readers, self._models, strict=True):
            units = as_units(reader.read(texts))
            found.append(inventory.log_likelihood(tables, inventory.number(units), units.text))
        return np.concatenate(found, axis=2)


def held_out_scores(
    inventory: Inventory, y: Ints, k: int, fit: NDArray[np.bool_], held: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log-likelihoods of the held-out texts under models of the other texts: (held-out texts, k, orders)."""
    asked = held[inventory.units.text]
    grams = [Grams(grams.context[asked], grams.gram[asked]) for grams in inventory.grams]
    return inventory.log_likelihood(inventory.models(y, k, fit), grams, inventory.units.text[asked])


def _decodable(texts: Sequence[str]) -> list[str]:
    # A lone surrogate has no UTF-8, and the tokenizer would raise an error.
    return [text.encode(errors="replace").decode() for text in texts]


def build(seed: int) -> NgramLM:
    """Build an unfitted attributor."""
    return NgramLM(seed)
