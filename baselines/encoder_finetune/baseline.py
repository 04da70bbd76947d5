"""A pretrained encoder, fine-tuned on the training texts; which one is part of this folder, and so of its digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from natfp_bench.attributors import neural_text
from natfp_bench.base.errors import AttributorError

MODEL, REVISION = "microsoft/deberta-v3-base", "main"
"""The model on the Hub; a folder `model` beside this file takes its place."""

CONTEXT = 256
"""Most tokens of a text that are read."""


class EncoderFinetune(neural_text.SequenceClassifier):
    """Any model that `AutoModelForSequenceClassification` takes, with the settings of arXiv 2504.14871 by default."""

    def __init__(self, seed: int, *, batch: int = 64, epochs: int = 1, rate: float = 2e-5) -> None:
        # Adam: no weight decay.
        super().__init__(seed, batch=batch, epochs=epochs, rate=rate, weight_decay=0.0, looks=10, patience=5)

    def start(self, texts: Sequence[str]) -> tuple[torch.nn.Module, int]:  # noqa: ARG002  it brings its own tokenizer
        """Load the model, with a new classifier on top; raises AttributorError where it cannot be had."""
        folder = Path(__file__).with_name("model")
        source, revision = (str(folder), "main") if folder.is_dir() else (MODEL, REVISION)
        try:
            with quiet():
                self._tokenizer, model = load(source, revision, len(self.classes_))
        except (OSError, ValueError, ImportError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise AttributorError(
                f"the model {source!r} cannot be loaded ({reason}); copy this baseline's folder, and put a model with "
                "its tokenizer and safetensors weights into it as the folder 'model' (README.md)"
            ) from error
        if self._tokenizer.pad_token_id is None:
            raise AttributorError(f"the tokenizer of {source!r} has no padding token; name an encoder that has one")
        context = min(CONTEXT, self._tokenizer.model_max_length)
        self._context = context - context % neural_text.WIDTH_STEP
        return model, self._tokenizer.pad_token_id

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the model's own special tokens, cut to its context."""
        cut = [neural_text.readable(text, self._context) for text in texts]
        found: list[list[int]] = self._tokenizer(cut, truncation=True, max_length=self._context)["input_ids"]
        return found


def load(source: str, revision: str, classes: int) -> tuple[Any, torch.nn.Module]:
    """Load tokenizer and model. Safetensors only, and no code from the model: a file from elsewhere is never run."""
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
    """Keep transformers from reporting that the classifier on top is new, which is meant to be."""
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
