"""Everything that a baseline may import from this package, under one address that stays.

    from natfp_bench.attributors.kit import TextClassifier

A classifier of your own needs none of it. What you do import counts as part of your baseline: if its source changes, so
does the digest of your baseline. A name loads its libraries when it is first used.

Logistic regression, and what is chosen inside training:

- `TextClassifier`: logistic regression on the features of any scikit-learn vectoriser, its penalty chosen for you.
- `LogLinear`: class probabilities from several scores per class, weighted and calibrated on held-out texts.
- `folds`: splits inside training that never separate the texts of one prompt.
- `stratified_sample`: choose some texts at random, the same share of every class.

Words:

- `words`: the words, numbers and punctuation marks of a text, in order.
- `word_types`: where each of them is, and its type (function, content, punctuation, number or name).
- `FUNCTION_WORDS`: the English words that count as function words.

Neural models, trained on one thread with torch:

- `NeuralClassifier`: base class for a model that gives each text one score per class.
- `SequenceClassifier`: base class for a model of transformers with a classifier on top.
- `train_tokenizer`: train a byte-level BPE tokenizer on the training texts.
- `encode`: token ids of texts between two end tokens, cut to the context.
- `readable`: cut a text to what can fill a context, without characters that have no UTF-8.
- `pad`: stack rows of token ids.
- `batches`: batch after batch of row numbers, in a reproducible order.
- `train_model`: take training steps, and keep the weights with the lowest held-out loss.
- `linear_schedule`: learning rate at a step, as a share of the highest one.
- `apply_model`: put rows of token ids through a model, such that a text gets the same answer in any batch.
- `calibrate`: the temperature with the lowest held-out loss.
- `PAD`, `END`: ids of the special tokens of `train_tokenizer`.
- `WIDTH_STEP`: rows are padded to a multiple of this many tokens.

Language models, one per class, which are copies of a trained one (the trunk):

- `ClassModels`: base class for attribution by the likelihoods of such copies.
- `Trunk`, `load_trunk`: a language model with its tokenizer, and how it is read from a checkpoint folder.
- `small_llama`: an untrained Llama for a tokenizer, to make a trunk of.
- `likeliest_trunk`: of several folders, the one that predicts some texts best.
- `encode_rows`: token ids of texts for a trunk.
- `log_likelihoods`: log-likelihood of each text under each model.
- `epochs_over`: train a language model, epoch after epoch.

Anything else:

- `Knowledge`: what `build` gets beside the seed if the card asks for knowledge.
- `permutation`: a random order that depends on nothing but the names and numbers that you give.
- `build_bundled`: build a bundled baseline of a stated version, to combine it with others.
- `AttributorError`: raise it with a message for the user if the classifier cannot work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natfp_bench.base.errors import AttributorError as AttributorError
    from natfp_bench.base.streams import permutation as permutation
    from natfp_bench.corpus.words import FUNCTION_WORDS as FUNCTION_WORDS
    from natfp_bench.corpus.words import word_types as word_types
    from natfp_bench.corpus.words import words as words

    from .class_models import ClassModels as ClassModels
    from .class_models import Trunk as Trunk
    from .class_models import encode_rows as encode_rows
    from .class_models import epochs_over as epochs_over
    from .class_models import likeliest_trunk as likeliest_trunk
    from .class_models import load_trunk as load_trunk
    from .class_models import log_likelihoods as log_likelihoods
    from .class_models import small_llama as small_llama
    from .knowledge import Knowledge as Knowledge
    from .neural_text import END as END
    from .neural_text import PAD as PAD
    from .neural_text import WIDTH_STEP as WIDTH_STEP
    from .neural_text import NeuralClassifier as NeuralClassifier
    from .neural_text import SequenceClassifier as SequenceClassifier
    from .neural_text import apply_model as apply_model
    from .neural_text import batches as batches
    from .neural_text import calibrate as calibrate
    from .neural_text import encode as encode
    from .neural_text import linear_schedule as linear_schedule
    from .neural_text import pad as pad
    from .neural_text import readable as readable
    from .neural_text import train_model as train_model
    from .neural_text import train_tokenizer as train_tokenizer
    from .registry import build_bundled as build_bundled
    from .text_classifier import LogLinear as LogLinear
    from .text_classifier import TextClassifier as TextClassifier
    from .text_classifier import folds as folds
    from .text_classifier import stratified_sample as stratified_sample

_NAMES = {
    "natfp_bench.attributors.text_classifier": "TextClassifier LogLinear folds stratified_sample",
    "natfp_bench.corpus.words": "words word_types FUNCTION_WORDS",
    "natfp_bench.attributors.neural_text": """NeuralClassifier SequenceClassifier train_tokenizer encode readable pad
        batches train_model linear_schedule apply_model calibrate PAD END WIDTH_STEP""",
    "natfp_bench.attributors.class_models": """ClassModels Trunk load_trunk encode_rows log_likelihoods
        epochs_over likeliest_trunk small_llama""",
    "natfp_bench.attributors.knowledge": "Knowledge",
    "natfp_bench.base.streams": "permutation",
    "natfp_bench.attributors.registry": "build_bundled",
    "natfp_bench.base.errors": "AttributorError",
}

HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
"""The module that defines each name."""

__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
