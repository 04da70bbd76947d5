"""Knowledge for the checks of attributors that ask for some: small, but made as a run makes it.

Its corpus is `chronicle`, its further texts are planted ones, and its stranger is a model that is trained for it within
seconds. Planted texts are not written by models, so a stranger helps to read them as far as it knows their language,
and no class has initial weights: the twin of each is the stranger itself.
"""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

from natfp_bench.base.rungs import Knows, reaches
from natfp_bench.corpus.open_corpus import Chronicle
from natfp_bench.plan.settings import BudgetSpec, ModelSpec, OptimizerSpec, Recipe, ScheduleSpec, TokenizerSpec

from .knowledge import TEXTS, TOKENIZER, Knowledge, write_texts
from .planted import HABITS, planted

UNLABELLED, DOCUMENTS = 80, 40
"""Numbers of further texts, and of documents of the corpus."""

RECIPE = Recipe(
    tokenizer=TokenizerSpec(vocabulary=384, train_bytes=100_000),
    model=ModelSpec(width=32, layers=2, heads=2, feed_forward=96, context=64),
    optimizer=OptimizerSpec(lr=8e-3),
    schedule=ScheduleSpec(warmup_tokens=8_192),
    budget=BudgetSpec(tokens=163_840, batch=16),
)


def planted_knowledge(rung: Knows, folder: Path) -> Knowledge | None:
    """Write the knowledge of a rung into a folder; None on the lowest one."""
    if rung == "texts":
        return None
    folder = folder.absolute()
    texts = folder / TEXTS
    write_texts(iter(planted(UNLABELLED, "unlabelled")[0]), texts)
    if not reaches(rung, "corpus"):
        return Knowledge(rung=rung, texts_file=texts)
    packed = _corpus(folder)
    strangers: tuple[Path, ...] = (_stranger(packed, folder),) if reaches(rung, "recipe") else ()
    labels = HABITS if reaches(rung, "origin") else ()
    return Knowledge(
        rung=rung,
        texts_file=texts,
        corpus_folder=folder / "corpus",
        stranger_folders=strangers,
        twin_folders=tuple((label, strangers[0]) for label in labels),
    )


def _corpus(folder: Path) -> Path:
    """Write the corpus with its tokenizer; returns the folder of its blocks."""
    from natfp_bench.corpus import tokens

    packed, corpus = folder / "packed", folder / "corpus"
    for place in (packed, corpus):
        place.mkdir(parents=True, exist_ok=True)
    documents = Chronicle(seed=1)
    blocks, context = RECIPE.unique_blocks, RECIPE.model.context
    tokens.prepare(documents, RECIPE.tokenizer, context=context, blocks=blocks, heldout=2, folder=packed)
    shutil.copyfile(packed / TOKENIZER, corpus / TOKENIZER)
    write_texts((one.text for one in islice(documents.documents(), DOCUMENTS) if not one.heldout), corpus / TEXTS)
    return packed


def _stranger(packed: Path, folder: Path) -> Path:
    """Train a model on the blocks of the corpus; returns its folder."""
    import torch

    from natfp_bench.models import train

    stranger = folder / "stranger"
    stranger.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    train.train(train.TrainingJob(RECIPE, 0, packed, stranger, folder / "partial"), torch.device("cpu"))
    torch.set_num_threads(threads)
    return stranger
