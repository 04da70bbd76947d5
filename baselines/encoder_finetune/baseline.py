"""A pretrained encoder, fine-tuned on the training texts. This folder, and so its digest, says which encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from natfp_bench.attributors.kit import WIDTH_STEP, AttributorError, SequenceClassifier, readable

MODEL, REVISION = "microsoft/deberta-v3-base", "main"
"""The model on the Hugging Face Hub. If there is a folder `model` beside this file, that one is loaded instead."""

CONTEXT = 256
"""Most tokens to read of a text."""


class EncoderFinetune(SequenceClassifier):
    """Any model that `AutoModelForSequenceClassification` loads, by default with the settings of arXiv 2504.14871."""

    def __init__(self, seed: int, *, batch: int = 64, epochs: int = 1, rate: float = 2e-5) -> None:
        # Without weight decay, AdamW is Adam.
        super().__init__(seed, batch=batch, epochs=epochs, rate=rate, weight_decay=0.0, looks=10, patience=5)

    def start(self, texts: Sequence[str]) -> tuple[torch.nn.Module, int]:  # noqa: ARG002  it brings its own tokenizer
        """Load the model, with a new classifier on top; raises AttributorError if it cannot be loaded."""
        folder = Path(__file__).with_name("model")
        source, revision = (str(folder), "main") if folder.is_dir() else (MODEL, REVISION)
        try:
            with quiet():
                self._tokenizer, model = load(source, revision, len(self.classes_))
        except (OSError, ValueError, ImportError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise AttributorError(
                f"the model {source!r} cannot be loaded ({reason}); copy this baseline's folder, and add a folder "
                "'model' to it that has a model, its tokenizer and safetensors weights (see README.md)"
            ) from error
        if self._tokenizer.pad_token_id is None:
            raise AttributorError(f"the tokenizer of {source!r} has no padding token; choose an encoder that has one")
        context = min(CONTEXT, self._tokenizer.model_max_length)
        self._context = context - context % WIDTH_STEP
        return model, self._tokenizer.pad_token_id

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the model's own special tokens, cut to its context."""
        cut = [readable(text, self._context) for text in texts]
        found: list[list[int]] = self._tokenizer(cut, truncation=True, max_length=self._context)["input_ids"]
        return found


def load(source: str, revision: str, classes: int) -> tuple[Any, torch.nn.Module]:
    """Load tokenizer and model: safetensors weights only, and never code that comes with a model."""
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        revision=revision,
        num_labels=classes,
        ignore_mismatched_sizes=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
    )
    return tokenizer, model


@contextmanager
def quiet() -> Iterator[None]:
    """Stop transformers from reporting that the classifier on top is new, as it should be."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def build(seed: int) -> EncoderFinetune:
    """Build an unfitted attributor."""
    return EncoderFinetune(seed)
