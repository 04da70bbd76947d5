"""Everything that may differ between variants, as strict records: how a model is trained, served and sampled.

Each section is a record of its own. A preset may leave out a field that has a default.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from natfp_bench.base.errors import did_you_mean
from natfp_bench.base.records import Record

from .descent import PARTNER, DeriveSpec, FinetuneSpec, ForkSpec, TeacherSpec, TuningSpec
from .fields import Count, Extended, Natural, Positive, Share, narrowed, separated
from .text_settings import MAX_BLOCKS, SamplingSpec, ServeSpec, SourceSpec

TOPICS = ("harvest", "voyage", "mill", "market", "school", "court", "mountain", "illness", "music", "hunt")
"""Topics of the corpus `chronicle`; a test compares them with its grammar."""

MAX_EPOCHS = 4
"""More repetitions of the data change what a language model learns (Muennighoff et al., arXiv 2305.16264)."""


def topics_of(corpus: str, topics: str) -> str:
    """Check that a corpus has these topics, written a,b; raises ValueError if not."""
    names = separated(topics)
    if names and corpus != "chronicle":
        raise ValueError(f"corpus {corpus!r} has no topics; only 'chronicle' has")
    for topic in names:
        if topic not in TOPICS:
            near = did_you_mean(topic, TOPICS)
            raise ValueError(f"unknown topic {topic!r}{near}; known: {', '.join(TOPICS)}")
    if len(set(names)) < len(names):
        raise ValueError(f"a topic is listed twice in {topics!r}")
    return topics


class CorpusSpec(Record):
    """The documents: `chronicle`, a corpus of the catalogue, `text:PATH[,PATH...]` or `hf:NAME[/CONFIG][@REVISION]`."""

    name: str
    seed: Natural = Field(0, description="seed of the generated corpus; files and Hub data sets have none")
    topics: str = Field("", description="train on these topics only (a,b); chronicle alone has topics; empty: on all")
    part: str = Field("", description="train on these files of text:A,B only (1 or 1,2), in equal amounts; empty: all")
    heldout_documents: Count = Field(description="documents held out for bits per byte and for prompts")

    @property
    def topic_names(self) -> tuple[str, ...]:
        """The topics one by one; empty means all."""
        return separated(self.topics)

    @property
    def part_numbers(self) -> tuple[int, ...]:
        """Numbers of the files that `part` names, from 1."""
        return tuple(map(int, separated(self.part)))

    @property
    def whole(self) -> CorpusSpec:
        """The corpus of which this one is a part, or this one: tokenizer and held-out documents come from it."""
        files = len(separated(self.name.removeprefix("text:")))
        part = ",".join(str(number) for number in range(1, files + 1)) if self.part else ""
        return self.model_copy(update={"topics": "", "part": part})

    @field_validator("part")
    @classmethod
    def _part_of_files(cls, part: str, info: ValidationInfo) -> str:
        names = separated(part)
        if names and not info.data.get("name", "text:").startswith("text:"):
            raise ValueError(f"corpus {info.data['name']!r} has no files to choose from; write text:FIRST,SECOND")
        if wrong := next((name for name in names if not re.fullmatch("[1-9][0-9]{0,3}", name)), None):
            raise ValueError(f"{wrong!r} is not the number of a file; the first file is 1")
        if len(set(names)) < len(names):
            raise ValueError(f"a file is listed twice in {part!r}")
        return ",".join(names)

    @field_validator("topics")
    @classmethod
    def _topics_of_the_corpus(cls, topics: str, info: ValidationInfo) -> str:
        return topics_of(info.data.get("name", "chronicle"), topics)


class TokenizerSpec(Record):
    """A byte-level BPE tokenizer, trained on the first documents of the training part."""

    vocabulary: int = Field(ge=257, le=2**17, description="tokens: 256 bytes, the end of text, and the merges")
    train_bytes: Count = Field(description="bytes of text that it is trained on")


class ModelSpec(Record):
    """A causal language model of the transformers library; all architectures share these terms for its size."""

    architecture: Literal["llama", "gpt2", "gpt_neox"] = "llama"
    width: Count = Field(description="hidden size")
    layers: Count
    heads: Count
    feed_forward: Count = Field(description="inner size of the feed-forward blocks")
    context: int = Field(ge=8, description="longest sequence, in tokens")
    dropout: Share = 0.0
    tied_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModelSpec:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.architecture != "gpt2" and (self.width // self.heads) % 2:
            raise ValueError(f"width / heads is {self.width // self.heads}; rotary embeddings need an even number")
        return self


class OptimizerSpec(Record):
    """An optimiser of torch, with weight decay on matrices only and gradient clipping by norm.

    AdamW (Loshchilov & Hutter, 2019), Adafactor (Shazeer & Stern, 2018), Muon (Jordan et al., 2024) for the matrices of
    the layers with AdamW for the rest, or SGD with Nesterov's momentum. Weight decay is decoupled, except in SGD, where
    it is part of the gradient. `IDLE` lists the fields that an optimiser does not use.
    """

    name: Literal["adamw", "adafactor", "muon", "sgd"] = "adamw"
    lr: Positive = Field(description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    momentum: Share = 0.95
    beta1: Share = 0.9
    beta2: Share = 0.95
    epsilon: Positive = 1e-8
    clip: Positive = Field(1.0, description="largest gradient norm")


IDLE = {
    "optimizer.momentum": ("adamw", "adafactor"),
    "optimizer.beta1": ("adafactor", "sgd"),
    "optimizer.beta2": ("adafactor", "sgd"),
    "optimizer.epsilon": ("adafactor", "sgd"),
}
"""Fields that some optimisers do not use: field -> those optimisers."""


class ScheduleSpec(Extended):
    """The learning rate over a training run, from warm-up to the end of the token budget."""

    later = ("decay_at_stop",)

    name: Literal["cosine", "linear", "constant", "warmup_stable_decay"] = "cosine"
    warmup_tokens: Natural = Field(description="length of the warm-up, in tokens")
    decay_at_stop: bool = Field(
        False, description="warmup_stable_decay: the last tenth before budget.stop decays, not that of the whole budget"
    )

    @model_validator(mode="after")
    def _has_a_decay(self) -> ScheduleSpec:
        if self.decay_at_stop and self.name != "warmup_stable_decay":
            raise ValueError(f"schedule {self.name} has no decay to move: decay_at_stop is for warmup_stable_decay")
        return self


class BudgetSpec(Extended):
    """The amount of training."""

    later = ("segments",)

    tokens: Count = Field(description="tokens of the whole schedule")
    batch: Count = Field(description="sequences per step, each as long as the context")
    epochs: int = Field(1, ge=1, le=MAX_EPOCHS, description="how often each block is read")
    stop: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="end training after this share of the steps")
    segments: str = Field(
        "",
        description="shares of the steps (a,b) at which every data order has read the same blocks; empty: at the end",
    )

    @field_validator("segments")
    @classmethod
    def _shares_that_grow(cls, segments: str) -> str:
        try:
            shares = [0.0, *map(float, separated(segments)), 1.0]
        except ValueError:
            raise ValueError(f"{segments!r} is no list of shares; for example 0.25,0.5") from None
        if any(not before < after for before, after in itertools.pairwise(shares)):
            raise ValueError(f"shares between 0 and 1 must grow, and those of {segments!r} do not")
        return segments

    @property
    def segment_ends(self) -> tuple[float, ...]:
        """The shares one by one."""
        return tuple(map(float, separated(self.segments)))


class SeedsSpec(Record):
    """Seeds of the random choices of a training run; each choice has a random stream of its own."""

    init: Natural = 0
    data_order: Natural = 0
    dropout: Natural = 0


class NumericsSpec(Record):
    """How the arithmetic is done. It is part of the recipe, because float sums depend on it."""

    dtype: Literal["float32", "bfloat16"] = Field("float32", description="type of matrix products in training")
    threads: Count = Field(1, description="CPU threads per job")
    micro_batch: Natural = Field(0, description="sequences that go through a model at once; 0: a whole batch")
    compile: bool = Field(False, description="use fused kernels to train, and on a GPU to sample: pays in long runs")


class Recipe(Record):
    """Everything that determines how a model is trained, except the documents and the experiment's seed."""

    tokenizer: TokenizerSpec
    model: ModelSpec
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    budget: BudgetSpec
    seeds: SeedsSpec = SeedsSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    fork: ForkSpec = ForkSpec()
    numerics: NumericsSpec = NumericsSpec()
    rerun: Natural = Field(0, description="a control: it changes the variant's key, and nothing in training")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole schedule: whole batches within the token budget."""
        return self.budget.tokens // (self.budget.batch * self.model.context)

    @property
    def stop_step(self) -> int:
        """Steps after which pre-training ends."""
        return round(self.steps * self.budget.stop)

    @property
    def fork_step(self) -> int:
        """Steps after which the copies of a forked run part."""
        return round(self.steps * self.fork.at)

    @property
    def decay_steps(self) -> int:
        """Steps of the decay that ends at `budget.stop`, if the schedule has one: a tenth of those before it."""
        warmup = self.schedule.warmup_tokens // (self.budget.batch * self.model.context)
        return max(0, min(self.stop_step // 10, self.stop_step - warmup)) if self.schedule.decay_at_stop else 0

    @property
    def trunk(self) -> Recipe | None:
        """The beginning that this run shares with others, as a run that stops there; None if it shares none.

        Copies share what is before the fork. Runs whose decay ends at their stop share a run without any decay.
        """
        if self.fork.at:
            budget = self.budget.model_copy(update={"stop": self.fork.at})
            return self.model_copy(update={"fork": ForkSpec(), "budget": budget})
        if self.decay_steps:
            budget = self.budget.model_copy(update={"stop": (self.stop_step - self.decay_steps) / self.steps})
            schedule = self.schedule.model_copy(update={"name": "constant", "decay_at_stop": False})
            return self.model_copy(update={"schedule": schedule, "budget": budget})
        return None

    @property
    def finetune_steps(self) -> int:
        """Optimiser steps of the fine-tuning."""
        return round(self.steps * self.finetune.share)

    @property
    def fresh_blocks(self) -> int:
        """Blocks for fine-tunings behind those of pre-training: those of all parts."""
        return self.finetune_steps * self.budget.batch * self.finetune.parts

    @property
    def tokens_trained(self) -> int:
        """Tokens that training reads, fine-tuning included."""
        return (self.stop_step + self.finetune_steps) * self.budget.batch * self.model.context

    @property
    def unique_blocks(self) -> int:
        """Distinct blocks that pre-training needs; the blocks of the fine-tuning come after them."""
        return -(-self.steps * self.budget.batch // self.budget.epochs)


class Settings(Recipe):
    """Everything that may vary between variants: how a model is trained and how it is sampled."""

    corpus: CorpusSpec
    serve: ServeSpec = ServeSpec()
    sampling: SamplingSpec
    source: SourceSpec = SourceSpec()
    tuning: TuningSpec = TuningSpec()
    teacher: TeacherSpec = TeacherSpec()
    derive: DeriveSpec = DeriveSpec()

    @model_serializer(mode="wrap")
    def _without_default_source(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The settings of models that are trained here, and so their keys, do not depend on there being other sources.
        shown: dict[str, Any] = serialize(self)
        if self.source == SourceSpec():
            shown.pop("source", None)
        if not self.source.facts.released:
            shown.pop("tuning", None)
        if not self.fork.at:
            shown.pop("fork", None)
        if self.teacher == TeacherSpec():
            shown.pop("teacher", None)
        if self.derive == DeriveSpec():
            shown.pop("derive", None)
        return shown

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.sampling.texts > MAX_BLOCKS * self.sampling.block:
            raise ValueError(
                f"sampling.texts {self.sampling.texts} is more than {MAX_BLOCKS:,} blocks of sampling.block "
                f"{self.sampling.block}"
            )
        if not self.source.trained:
            return self
        step = self.budget.batch * self.model.context
        if self.budget.tokens < step:
            raise ValueError(f"budget.tokens {self.budget.tokens} is less than one step of {step} tokens")
        room = self.model.context - (1 if self.sampling.prompt_characters else 0)
        # A released model has a context of its own; that of the settings is how long the texts are that it reads here.
        if self.sampling.max_tokens > room and not self.source.facts.released:
            raise ValueError(
                f"sampling.max_tokens {self.sampling.max_tokens} is more than the {room} that fit into model.context"
            )
        if self.schedule.warmup_tokens > self.budget.tokens:
            raise ValueError(f"schedule.warmup_tokens is more than budget.tokens {self.budget.tokens}")
        if self.budget.stop < 1 and self.finetune.share:
            raise ValueError("training that stops early (budget.stop) cannot be fine-tuned (finetune.share)")
        if not self.stop_step:
            raise ValueError(f"budget.stop {self.budget.stop} ends training before the first of {self.steps} steps")
        topics_of(self.corpus.name, self.finetune.topics)
        if self.finetune.file and not self.corpus.part:
            raise ValueError("finetune.file needs corpus.part, which says what is read before: --set corpus.part=1")
        if self.finetune.share and not self.finetune_steps:
            raise ValueError(f"finetune.share {self.finetune.share} is less than one step of {step} tokens")
        if self.fork.at:
            self._can_be_forked()
        if self.teacher.run >= 0 and (self.finetune.share or self.fork.at):
            raise ValueError("a student (teacher.run) is neither fine-tuned (finetune.share) nor forked (fork.at)")
        if self.derive.active:
            self._can_be_derived()
        return self

    def _can_be_forked(self) -> None:
        if self.budget.stop < 1 or self.finetune.share:
            raise ValueError("a run that stops early (budget.stop) or is fine-tuned (finetune.share) cannot be forked")
        if not 0 < self.fork_step < self.steps:
            where = "before the first" if self.fork_step == 0 else "after the last"
            raise ValueError(
                f"fork.at {self.fork.at:g} is {where} of {self.steps} steps: copies would share nothing, or everything"
            )
        if self.fork.kind == "dropout" and not self.model.dropout:
            raise ValueError("fork.kind dropout changes nothing while model.dropout is 0")

    def _can_be_derived(self) -> None:
        derive = self.derive
        if derive.merge and derive.partner == "finetuning" and not self.finetune.share:
            raise ValueError(
                "derive.merge with another fine-tuning needs one: set finetune.share, or derive.partner run"
            )
        if derive.average == 1:
            return
        if self.finetune.share or self.fork.at or self.schedule.decay_at_stop or self.budget.stop < 1:
            raise ValueError(
                "derive.average is of checkpoints of one whole run: leave out finetune.share, fork.at, "
                "schedule.decay_at_stop and budget.stop"
            )
        if len({round(self.steps * stop) for stop in derive.stops} - {0}) < derive.average:
            raise ValueError(
                f"derive.average: {self.steps} steps have no {derive.average} checkpoints so close together"
            )

    @property
    def recipe(self) -> Recipe:
        """What determines how the model is trained."""
        return narrowed(Recipe, self)

    @property
    def teacher_recipe(self) -> Recipe | None:
        """How the teacher is trained: as the student, with seeds of its own and to the end; None if there is none."""
        if self.teacher.run < 0:
            return None
        run = self.teacher.run
        seeds, whole = SeedsSpec(init=run, data_order=run, dropout=run), self.budget.model_copy(update={"stop": 1.0})
        return self.recipe.model_copy(update={"seeds": seeds, "budget": whole, "rerun": 0})

    @property
    def tail(self) -> CorpusSpec | None:
        """The documents of the fine-tuning, if others than those of the training before it."""
        tune = self.finetune
        if not tune.share or not (tune.topics or tune.file):
            return None
        other = {"topics": tune.topics} if tune.topics else {"part": str(tune.file)}
        return self.corpus.model_copy(update=other)

    @property
    def parents(self) -> tuple[Recipe, ...]:
        """Recipes of the models that this one is made of, `derive.shares` of each; its own if of no others."""
        derive, own = self.derive, self.recipe
        if self.teacher.same_init:
            own = own.model_copy(update={"seeds": own.seeds.model_copy(update={"init": self.teacher.run})})
        if derive.average > 1:
            budgets = [own.budget.model_copy(update={"stop": stop}) for stop in derive.stops]
            return tuple(own.model_copy(update={"budget": budget}) for budget in budgets)
        if derive.merge and derive.partner == "finetuning":
            tuned = own.finetune.model_copy(update={"seed": own.finetune.seed + PARTNER})
            return (own, own.model_copy(update={"finetune": tuned}))
        if derive.merge:
            seeds = SeedsSpec(**{name: seed + PARTNER for name, seed in own.seeds})
            return (own, own.model_copy(update={"seeds": seeds}))
        return (own,)

    @property
    def tuning_recipe(self) -> Recipe:
        """The recipe of a fine-tuning: size and tokenizer are those of the released model, so they have one value."""
        model = ModelSpec(width=2, layers=1, heads=1, feed_forward=1, context=self.model.context)
        tokenizer = TokenizerSpec(vocabulary=257, train_bytes=1)
        return self.recipe.model_copy(update={"model": model, "tokenizer": tokenizer})
