"""What the straight script does beyond training and attribution, so that it does all the work of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from straight_models import generate
from tokenizers import Tokenizer

from natfp_bench.attributors import registry, study
from natfp_bench.corpus import tokens
from natfp_bench.models import heldout
from natfp_bench.pipeline.variants import transfers
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.split import UNSEEN_PROMPT

Ids = Sequence[Sequence[Sequence[int]]]
"""Token ids of the texts of each model."""


def write_heldout(trained: Sequence[torch.nn.Module], folder: Path, context: int) -> None:
    """Measure each model's bits per byte of held-out text."""
    documents, reader = tokens.read_heldout(folder), tokens.reader(folder, {})
    for index, model in enumerate(trained):
        place = folder / f"heldout-{index}"
        place.mkdir()
        heldout.write_heldout(model.eval(), reader, documents, place, context, torch.device("cpu"))


def other_texts(
    plan: Plan, trained: Sequence[torch.nn.Module], tokenizer: Tokenizer, folder: Path, *, batch: int
) -> dict[str, Ids]:
    """Draw texts in other ways, as many as in the test: at other temperatures, and after prompts."""
    end, count, drawn = tokenizer.token_to_id(tokens.END), plan.texts // plan.split.test_every, {}
    for name, settings in transfers(plan, plan.variants[0].settings).items():
        spec = settings.sampling
        prompts = [
            tokenizer.encode(prompt, add_special_tokens=False).ids
            for prompt in tokens.prompts(folder, spec.prompt_characters)
        ]
        how: dict[str, Any] = {"max_tokens": spec.max_tokens, "temperature": spec.temperature, "prompts": prompts}
        drawn[name] = [generate(one, count, end=end, batch=batch, **how) for one in trained]
    return drawn


def study_texts(plan: Plan, ids: Ids, others: dict[str, Ids], tokenizer: Tokenizer) -> list[Any]:
    """Run all studies of a run with the reference attributor; returns their results."""
    every, longest = plan.split.test_every, plan.variants[0].settings.sampling.max_tokens
    test = [rows[every - 1 :: every] for rows in ids]
    known = [[row for i, row in enumerate(rows) if i % every != every - 1] for rows in ids]
    texts = partial(_texts, tokenizer.decode_batch)
    (reference,) = registry.find(plan.analysis.reference)
    experiment = study.Experiment(
        build=partial(registry.build, reference),
        seed=plan.seed,
        labels=tuple(variant.level for variant in plan.variants),
        replicates=np.array([variant.replicate for variant in plan.variants]),
        split=UNSEEN_PROMPT,
        train=texts(known),
        test=texts(test),
    )
    short = {
        name: (texts(known, size), texts(test, size))
        for name, drawn in others.items()
        if (size := max(len(row) for rows in drawn for row in rows)) < longest
    }
    given = {name: texts(drawn) for name, drawn in others.items()}
    return [
        study.length_curve(
            experiment, lambda size: (texts(known, size), texts(test, size)), study.powers(longest, 4), "tokens"
        ),
        study.training_curve(experiment),
        study.pooled_curve(experiment),
        study.wording(experiment),
        *study.robustness(experiment, plan.analysis.transforms, given, short, plan.analysis.texts),
    ]


def _texts(decode: Callable[..., list[str]], ids: Ids, size: int | None = None) -> study.Texts:
    """Texts of all models, cut to so many tokens; each text counts as a prompt of its own."""
    rows = [row[:size] for part in ids for row in part]
    source = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
    places = np.concatenate([np.arange(len(part)) for part in ids])
    return study.Texts(decode(rows, skip_special_tokens=True), source, places)
