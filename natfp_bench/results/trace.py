"""Which of several checkpoints wrote given texts, or none of them: from models and texts to an answer.

A run samples texts from each checkpoint and lets attributors learn from them, as any run does; `identify` asks the best
one about the given texts. Beside it stand the likelihoods of the texts under each model. A single checkpoint has
no others to be compared with, so only its likelihoods are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.records import Record
from natfp_bench.pipeline.engine import Engine, Job, Watch, values
from natfp_bench.pipeline.run import Run, run_plan
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.stages.given_likelihood import Likelihoods, LikelyWriter
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.plan import Plan
from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.open_set import ALPHA, permutation_p

from .identification import Identification, Verdict
from .identify import choose, identify, open_source
from .unlabelled_texts import GivenText

SCORE = "natfp_bench.pipeline.stages.given_likelihood:score"

ENOUGH = 1_000
"""Own texts of each model that given ones are compared with, at most."""


class ModelLikelihood(Record):
    """How likely given texts are under one model.

    own_bits_per_byte: of the model's own texts. p: p-value of "this model wrote the texts", from the mean bits per byte
    of the texts against those of its own; texts that are too unlikely count against it, and too likely ones as well.
    """

    label: str
    model: str
    bits_per_token: float
    bits_per_byte: float
    own_bits_per_byte: float
    p: float


class Trace(Record):
    """Everything that `trace` found about texts of one source.

    result: folder of the run on the models; None for a single model, which is compared with no other. models: the one
    under which the texts are most likely first. identification: what `identify` says, None for a single model. p: of
    "one of these models wrote the texts": from the likelihoods, and from the attributor if there is one, corrected for
    asking both.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    preset: str
    texts: int
    result: str | None
    models: tuple[ModelLikelihood, ...]
    identification: Identification | None
    p: float
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict | None:
        """What the attributor says of all texts together."""
        found = self.identification
        return (found.pooled or found.texts[0]) if found else None

    @property
    def likely(self) -> bool:
        """Whether nothing speaks against all of the models."""
        return self.p >= ALPHA


def trace(
    plan: Plan,
    baselines: Sequence[Baseline],
    given: Sequence[GivenText],
    *,
    store: Store,
    engine: Engine,
    output: Path,
    device: str = "auto",
    command: Sequence[str] = (),
    watch: Watch = lambda _: None,
) -> Trace:
    """Find out which model of a plan (`models_plan`) wrote given texts, or none of them, if one source wrote all.

    The models are run first, and what the store holds is not done again. Raises UserError for a model that cannot be
    had, and for models that are one (their weights are equal) or cannot be compared.
    """
    folder = identification = None
    if len(plan.variants) > 1:
        how: dict[str, Any] = {"device": device, "command": command, "watch": watch}
        _, folder = run_plan(plan, baselines, store=store, engine=engine, output=output, **how)
        known = open_source(folder, "level", store.root)
        identification = identify(known, choose(known), given, engine, watch)
    else:
        Run(plan, (), Schedule(store, engine, device, watch)).gather(transfer=False)
    texts = tuple(one.text for one in given)
    found = _likelihoods(plan, resolve(plan), texts, store, engine, device, watch)
    ps = [max(one.p for one in found)]
    if identification:
        ps.append((identification.pooled or identification.texts[0]).p)
    return Trace(
        schema=1,
        preset=plan.preset,
        texts=len(given),
        result=str(folder) if folder else None,
        models=tuple(sorted(found, key=lambda one: one.bits_per_byte)),
        identification=identification,
        p=min(1.0, len(ps) * min(ps)),
        notes=tuple(_notes(plan, identification)),
    )


def _likelihoods(
    plan: Plan,
    variants: Sequence[VariantStages],
    given: tuple[str, ...],
    store: Store,
    engine: Engine,
    device: str,
    watch: Watch,
) -> list[ModelLikelihood]:
    """How likely given texts are under each model, beside its own."""
    jobs = list[Job]()
    for of in variants:
        own, texts = of.variant.settings, min(plan.texts, ENOUGH)
        question = LikelyWriter(
            of.model,
            own.serve.function,
            own.numerics.threads,
            own.sampling.sampler,
            of.samples,
            texts,
            given,
            str(store.root),
            device,
        )
        jobs.append(Job(of.variant.level, "score", SCORE, question, needs=of.model.machine(device)))
    scored: dict[str, tuple[Likelihoods, Likelihoods]] = values(engine, jobs, watch)
    return [
        _one(of.variant.level, of.variant.settings.source.model, *scored[of.variant.level], plan.seed)
        for of in variants
    ]


def _one(label: str, model: str, own: Likelihoods, given: Likelihoods, seed: int) -> ModelLikelihood:
    mine, asked = _per_byte(own), _per_byte(given)
    # One half of the model's own texts says what is usual, and the other half is compared with.
    usual = float(mine[::2].mean())
    p = permutation_p(asked[None], mine[1::2], lambda mean: np.abs(mean - usual), seed)
    bits = -float(given.nats.sum()) / float(np.log(2))
    return ModelLikelihood(
        label=label,
        model=model,
        bits_per_token=bits / max(1, int(given.tokens.sum())),
        bits_per_byte=bits / max(1, int(given.bytes.sum())),
        own_bits_per_byte=-float(own.nats.sum()) / float(np.log(2)) / max(1, int(own.bytes.sum())),
        p=float(p[0]),
    )


def _per_byte(of: Likelihoods) -> Floats:
    """Bits per byte of each text that has any."""
    some = of.bytes > 0
    return np.asarray(-of.nats[some] / np.log(2) / of.bytes[some], dtype=np.float64)


def _notes(plan: Plan, found: Identification | None) -> list[str]:
    """Limits of the answer."""
    draw = plan.variants[0].settings.sampling
    how = "without a prompt" if not draw.prompt_characters else f"after {draw.prompt_characters} characters of a prompt"
    notes = [
        f"the models' own texts are drawn {how}, at temperature {draw.temperature:g}, and have at most "
        f"{draw.max_tokens} tokens: an answer holds for texts that were drawn like this, and were not changed since"
    ]
    if not plan.shared_tokenizer:
        notes.append("tokenizers differ: bits per byte can be compared between models, bits per token cannot")
    return [*notes, *(found.notes if found else ())]
