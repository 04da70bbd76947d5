"""Settings of texts: the source that writes them, how a model is served, and how texts are drawn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from natfp_bench.base.records import Record

from .fields import Count, Extended, Natural, Positive, narrowed

MAX_BLOCKS = 1_000
"""Most blocks of a sample set: each is an entry of the store."""

SourceName = Literal["train", "finetune", "checkpoint", "lm_eval", "texts"]


class SourceFacts(Record):
    """Facts about a kind of source.

    model: what `source.model` names. trained: its models are trained here. released: their training starts from a
    released model. likelihood: it gives the likelihood of a text. prompted: every text needs a prompt. task: a task
    file can compare sources of this kind.
    """

    model: str
    trained: bool = False
    released: bool = False
    likelihood: bool = False
    prompted: bool = False
    task: bool = True


SOURCES: dict[SourceName, SourceFacts] = {
    "train": SourceFacts(model="nothing", trained=True, likelihood=True),
    "finetune": SourceFacts(model="a Hub id or a folder", trained=True, released=True, likelihood=True),
    "checkpoint": SourceFacts(model="a Hub id or a folder", likelihood=True),
    "lm_eval": SourceFacts(model="the name of a backend of lm-eval", prompted=True),
    "texts": SourceFacts(model="the label", task=False),
}
"""All kinds of sources. What a kind does during a run is in `pipeline/sources/`, in the module of the same name."""


class SourceSpec(Extended):
    """Where a variant's texts come from.

    `train`: a model that is trained here. `finetune`: a released model that is trained further here. `checkpoint`: any
    causal language model of the Hub, or in a folder.
    `lm_eval`: a backend of lm-evaluation-harness, which gives texts and no likelihoods. `texts`: texts from files,
    with a label each.
    """

    later = ("gguf_file",)

    kind: SourceName = "train"
    model: str = Field("", description="checkpoint, finetune: Hub id or folder; lm_eval: the backend; texts: label")
    revision: str = Field("", description="branch, tag or commit of a Hub id; empty: main")
    subfolder: str = Field("", description="folder of the model inside the repository or folder")
    model_args: str = Field("", description="arguments of the lm_eval backend, as in --model_args: key=value,...")
    replicate: str = Field("", description="names (a,b) that replace {replicate}; in a plan, the variant's own name")
    shared_tokenizer: bool = Field(True, description="all models have the same tokenizer (checked)")
    trust_remote_code: bool = Field(False, description="run the code that comes with a checkpoint")
    gguf_file: str = Field("", description="name of a GGUF file there, whose weights are turned back into floats")

    @property
    def facts(self) -> SourceFacts:
        """Facts about this kind of source."""
        return SOURCES[self.kind]

    @property
    def trained(self) -> bool:
        """Whether the models are trained here."""
        return self.facts.trained

    @property
    def has_likelihood(self) -> bool:
        """Whether the source also gives the likelihood of a text."""
        return self.facts.likelihood

    def filled(self, text: str) -> str:
        """Replace {replicate} by the replicate's name."""
        return text.replace("{replicate}", self.replicate)


class TextsSpec(Record):
    """Texts from files: the files and the names of their columns.

    group: column whose groups (say, prompts or authors) are never split between train and test; None if every text is
    independent of the others.
    """

    paths: tuple[str, ...]
    text: str = "text"
    label: str = "label"
    group: str | None = None

    @property
    def name(self) -> str:
        """Names of the files, without their folders."""
        return "texts:" + ",".join(Path(path).name for path in self.paths)


class ServeSpec(Record):
    """How a trained model is served: what happens to its weights before texts are sampled, and how it computes."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    quantization: Literal["none", "int8", "int4", "int8_tensor", "int4_tensor"] = Field(
        "none", description="weights in 8 or 4 bits, scaled by output channel, or by whole matrix (_tensor)"
    )
    batch: Natural = Field(0, description="texts that go through the model at once; 0: sampling.block")
    compile: bool = Field(False, description="sample with fused kernels on any device; needs a C++ compiler")

    @property
    def function(self) -> ServeSpec:
        """What makes it another function of a text; batches and kernels only round its sums in another order."""
        return ServeSpec(dtype=self.dtype, quantization=self.quantization)


class SamplerSpec(Record):
    """The distribution that texts are drawn from; no part of it is left to a library's default."""

    max_tokens: Count = Field(description="longest text, in tokens")
    temperature: Positive = 1.0
    top_k: Natural = Field(0, description="keep the k most probable tokens; 0: the whole vocabulary")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="keep the most probable tokens, up to this sum")
    prompt_characters: Natural = Field(0, description="length of prompts; 0: no prompt, only the begin token")


class DrawSpec(SamplerSpec):
    """How texts are drawn from that distribution."""

    stream: Natural = Field(0, description="index of the random stream")
    block: Count = Field(500, description="texts that are sampled together; always padded to this number")


class SamplingSpec(DrawSpec):
    """How a variant's sample set is drawn."""

    texts: Count = Field(description="texts per variant")

    @property
    def sampler(self) -> SamplerSpec:
        """The distribution alone."""
        return narrowed(SamplerSpec, self)

    @property
    def draw(self) -> DrawSpec:
        """How each text is drawn; how many there are is left out."""
        return narrowed(DrawSpec, self)
