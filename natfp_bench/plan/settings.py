"""Everything that may differ between variants, as strict records: how a model is trained, served and sampled.

Each section is a record of its own. A field's default is what a preset may leave out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

TOPICS = ("harvest", "voyage", "mill", "market", "school", "court", "mountain", "illness", "music", "hunt")
"""Topics of the corpus `chronicle`, as its grammar has them."""

MAX_BLOCKS = 1_000
"""A variant's sample set is kept block by block, an entry of the store each."""

MAX_EPOCHS = 4
"""Repeating data more often changes what a language model learns (Muennighoff et al., arXiv 2305.16264)."""


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


Part = TypeVar("Part", bound=Record)


def _part(kind: type[Part], whole: Record) -> Part:
    """Take the fields of a smaller record out of a larger one."""
    return kind(**{name: getattr(whole, name) for name in kind.model_fields})


class CorpusSpec(Record):
    """Which documents: `chronicle`, `text:PATH[,PATH...]` or `hf:NAME[/CONFIG]`."""

    name: str
    seed: Natural = Field(0, description="seed of a generated corpus; files and the Hub have none")
    topics: str = Field("", description="train on these topics alone (a,b), where the corpus knows any; empty: on all")
    heldout_documents: Count = Field(description="documents kept back for bits per byte and prompts")

    @property
    def topic_names(self) -> tuple[str, ...]:
        """The topics one by one; none where all are meant."""
        return _names(self.topics)

    @field_validator("topics")
    @classmethod
    def _topics_of_the_corpus(cls, topics: str, info: ValidationInfo) -> str:
        names = _names(topics)
        if names and (corpus := info.data.get("name", "chronicle")) != "chronicle":
            raise ValueError(f"corpus {corpus!r} knows no topics; only 'chronicle' does")
        for topic in names:
            if topic not in TOPICS:
                near = did_you_mean(topic, TOPICS)
                raise ValueError(f"unknown topic {topic!r}{near}; known: {', '.join(TOPICS)}")
        if len(set(names)) < len(names):
            raise ValueError(f"a topic stands twice in {topics!r}")
        return topics


class TokenizerSpec(Record):
    """A byte-level BPE tokenizer, trained on the first documents of the training part."""

    vocabulary: int = Field(ge=257, le=2**17, description="256 bytes, the end-of-text token, and the merges")
    train_bytes: Count


class ModelSpec(Record):
    """A causal language model of the transformers library, sized by the terms common to all architectures."""

    architecture: Literal["llama", "gpt2", "gpt_neox"] = "llama"
    width: Count = Field(description="hidden size")
    layers: Count
    heads: Count
    feed_forward: Count = Field(description="inner size of the feed-forward blocks")
    context: int = Field(ge=8, description="positions")
    dropout: Share = 0.0
    tied_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModelSpec:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.architecture != "gpt2" and (self.width // self.heads) % 2:
            raise ValueError(f"width / heads is {self.width // self.heads}; rotary positions need an even number")
        return self


class OptimizerSpec(Record):
    """An optimiser of torch, weight decay on matrices only, and gradient clipping by norm.

    AdamW (Loshchilov & Hutter, 2019), Adafactor (Shazeer & Stern, 2018), Muon (Jordan et al., 2024) on the matrices of
    the layers beside AdamW on the rest, or SGD with Nesterov's momentum. Weight decay is decoupled, except SGD's, which
    is part of the gradient. `IDLE` tells which fields are of no use to which.
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
"""Fields that some optimisers do not read."""


class ScheduleSpec(Record):
    """The learning rate over the run; warm-up is told in tokens, the horizon is the token budget."""

    name: Literal["cosine", "linear", "constant", "warmup_stable_decay"] = "cosine"
    warmup_tokens: Natural


class BudgetSpec(Record):
    """How much training: tokens in all, and sequences (of one context each) a step."""

    tokens: Count = Field(description="the schedule's horizon")
    batch: Count
    epochs: int = Field(1, ge=1, le=MAX_EPOCHS, description="how often each block is read")
    stop: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="end the run after this share of its steps")


class FinetuneSpec(Record):
    """Fine-tuning after the run: on fresh documents, same optimiser, learning rate falling linearly to zero."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="tokens, as a share of budget.tokens; 0: none")
    lr: Positive = Field(0.25, description="peak learning rate, as a share of optimizer.lr")
    seed: Natural = Field(0, description="seed of the order of its blocks")


class SeedsSpec(Record):
    """The random choices of a training run, each with a stream of its own."""

    init: Natural = 0
    data_order: Natural = 0
    dropout: Natural = 0


class NumericsSpec(Record):
    """How the arithmetic is done: part of what a variant is, since float sums depend on it."""

    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of the products of matrices in training")
    threads: Count = Field(1, description="CPU threads of one job")
    micro_batch: Natural = Field(0, description="sequences that go through a model at once; 0: a whole batch")
    compile: bool = Field(False, description="train (on a GPU: and sample) with fused kernels: pays in long runs")


class ServeSpec(Record):
    """How a trained model is served: what is done to its weights before they are sampled from."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    quantization: Literal["none", "int8"] = Field("none", description="int8: each output channel rounded to 8 bits")


class SamplerSpec(Record):
    """The distribution that texts are drawn from; always explicit, nothing is left to a library's default."""

    max_tokens: Count
    temperature: Positive = 1.0
    top_k: Natural = Field(0, description="0 keeps the whole vocabulary")
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    prompt_characters: Natural = Field(0, description="0 samples from the begin token alone")


class DrawSpec(SamplerSpec):
    """How rows are drawn from that distribution."""

    stream: Natural = Field(0, description="index of the sampling stream")
    block: Count = Field(500, description="rows that are sampled together, always padded to this number")


class SamplingSpec(DrawSpec):
    """How a variant's sample set is drawn."""

    texts: Count = Field(description="texts per variant")

    @property
    def sampler(self) -> SamplerSpec:
        """The distribution alone."""
        return _part(SamplerSpec, self)

    @property
    def draw(self) -> DrawSpec:
        """How each row is drawn, however many there are."""
        return _part(DrawSpec, self)


SourceName = Literal["train", "checkpoint", "lm_eval", "texts"]


class SourceFacts(Record):
    """What is true of every source of a kind.

    trained: its models are trained here. likelihood: it gives the likelihood of a text. model: what `source.model`
    takes. prompted: it takes no empty prompt. task: it can be the subject of a task file.
    """

    model: str
    trained: bool = False
    likelihood: bool = False
    prompted: bool = False
    task: bool = True


SOURCES: dict[SourceName, SourceFacts] = {
    "train": SourceFacts(model="nothing", trained=True, likelihood=True),
    "checkpoint": SourceFacts(model="a Hub id or a folder", likelihood=True),
    "lm_eval": SourceFacts(model="the name of a backend of lm-eval", prompted=True),
    "texts": SourceFacts(model="the label", task=False),
}
"""All kinds of sources. What each does during a run is in its module of `pipeline/sources/`, named after the kind."""


class SourceSpec(Record):
    """Where a variant's texts come from, if not from a model that is trained here.

    `checkpoint`: any causal language model of the Hub, or of a folder. `lm_eval`: a backend of lm-evaluation-harness,
    which gives texts and no likelihoods. `texts`: texts that exist already, by label.
    """

    kind: SourceName = "train"
    model: str = Field("", description="checkpoint: Hub id or folder; lm_eval: the backend; texts: the label")
    revision: str = Field("", description="of a Hub id: branch, tag or commit; empty: main")
    subfolder: str = Field("", description="of the repository or folder")
    model_args: str = Field("", description="of the lm_eval backend, as --model_args takes them: key=value,...")
    replicate: str = Field("", description="names (a,b) that stand for {replicate}; in a plan, the variant's own")
    shared_tokenizer: bool = Field(True, description="all models read text as the same tokens (checked)")
    trust_remote_code: bool = Field(False, description="run the code that comes with a checkpoint")

    @property
    def facts(self) -> SourceFacts:
        """What is true of every source of this kind."""
        return SOURCES[self.kind]

    @property
    def trained(self) -> bool:
        """Whether the models are trained here."""
        return self.facts.trained

    @property
    def has_likelihood(self) -> bool:
        """Whether the source gives the likelihood of a text, and not only texts."""
        return self.facts.likelihood

    def filled(self, text: str) -> str:
        """Put the replicate's name in its place."""
        return text.replace("{replicate}", self.replicate)


class TextsSpec(Record):
    """Texts that exist already: which files, and which of their columns.

    group: column of what texts have in common, say a prompt or an author, so that they must stand on one side of a
    split; None where each text stands for itself.
    """

    paths: tuple[str, ...]
    text: str = "text"
    label: str = "label"
    group: str | None = None

    @property
    def name(self) -> str:
        """Names of the files, without their folders."""
        return "texts:" + ",".join(Path(path).name for path in self.paths)


class Recipe(Record):
    """Everything that determines how a model is trained, the documents and the experiment's seed apart."""

    tokenizer: TokenizerSpec
    model: ModelSpec
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    budget: BudgetSpec
    seeds: SeedsSpec = SeedsSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    numerics: NumericsSpec = NumericsSpec()
    rerun: Natural = Field(0, description="part of the variant's key and ignored by the trainer: a control")

    @property
    def steps(self) -> int:
        """Optimiser steps of the schedule's horizon: whole batches within the token budget."""
        return self.budget.tokens // (self.budget.batch * self.model.context)

    @property
    def stop_step(self) -> int:
        """Steps after which the run ends."""
        return round(self.steps * self.budget.stop)

    @property
    def finetune_steps(self) -> int:
        """Optimiser steps of the fine-tuning."""
        return round(self.steps * self.finetune.share)

    @property
    def tokens_trained(self) -> int:
        """Tokens that training reads, fine-tuning included."""
        return (self.stop_step + self.finetune_steps) * self.budget.batch * self.model.context

    @property
    def unique_blocks(self) -> int:
        """Distinct blocks that pre-training wants; what is fine-tuned on comes behind them."""
        return -(-self.steps * self.budget.batch // self.budget.epochs)


class Settings(Recipe):
    """Everything that may vary between variants: how a model is trained and how it is sampled."""

    corpus: CorpusSpec
    serve: ServeSpec = ServeSpec()
    sampling: SamplingSpec
    source: SourceSpec = SourceSpec()

    @model_serializer(mode="wrap")
    def _told(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Models that are trained here are what they were before there were other sources: same settings, same keys.
        told: dict[str, Any] = serialize(self)
        if self.source == SourceSpec():
            told.pop("source", None)
        return told

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.sampling.texts > MAX_BLOCKS * self.sampling.block:
            raise ValueError(
                f"sampling.texts {self.sampling.texts} are more than {MAX_BLOCKS:,} blocks of sampling.block "
                f"{self.sampling.block}"
            )
        if not self.source.trained:
            return self
        step = self.budget.batch * self.model.context
        if self.budget.tokens < step:
            raise ValueError(f"budget.tokens {self.budget.tokens} is less than one step of {step} tokens")
        room = self.model.context - (1 if self.sampling.prompt_characters else 0)
        if self.sampling.max_tokens > room:
            raise ValueError(f"sampling.max_tokens {self.sampling.max_tokens} is over model.context's room of {room}")
        if self.schedule.warmup_tokens > self.budget.tokens:
            raise ValueError(f"schedule.warmup_tokens is over budget.tokens {self.budget.tokens}")
        if self.budget.stop < 1 and self.finetune.share:
            raise ValueError("a run that is stopped early (budget.stop) is not fine-tuned (finetune.share)")
        if not self.stop_step:
            raise ValueError(f"budget.stop {self.budget.stop} ends the run before its first of {self.steps} steps")
        if self.finetune.share and not self.finetune_steps:
            raise ValueError(f"finetune.share {self.finetune.share} is less than one step of {step} tokens")
        return self

    @property
    def recipe(self) -> Recipe:
        """What determines how the model is trained."""
        return _part(Recipe, self)
