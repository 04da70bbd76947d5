"""What a task and a preset may say: strict records, and the files that hold them.

A preset is the whole experiment at one size. A task is one training factor: its fields, its levels, and the few
settings in which it differs from every preset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from . import resources, yaml_source
from .errors import SpecError, UserError, did_you_mean, unknown
from .records import Record, flatten
from .yaml_source import Scalar, Source

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What may be the name of a task, level or run: a word that is safe as a file name."""

NO_FACTOR = {
    "sampling.texts": "it says how much is drawn, not from what",
    "sampling.block": "it says how much is drawn at a time, not from what",
    "sampling.max_tokens": "texts are compared at one length",
    "sampling.prompt_characters": "all variants continue the same prompts",
    "corpus": "other documents make other tokenizers, and the ceiling needs a shared one",
    "tokenizer": "the ceiling needs a shared tokenizer",
}
"""Settings, or whole sections, that no task can vary, and why."""


class CorpusSpec(Record):
    """Which documents: `chronicle`, `text:PATH[,PATH...]` or `hf:NAME[/CONFIG]`."""

    name: str
    seed: Natural = Field(0, description="seed of a generated corpus; files and the Hub have none")
    heldout_documents: Count = Field(description="documents kept back for bits per byte and prompts")


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
    """AdamW (Loshchilov & Hutter, 2019), weight decay on matrices only, and gradient clipping by norm."""

    name: Literal["adamw"] = "adamw"
    lr: Positive = Field(description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Share = 0.9
    beta2: Share = 0.95
    epsilon: Positive = 1e-8
    clip: Positive = Field(1.0, description="largest gradient norm")


class ScheduleSpec(Record):
    """The learning rate over the run; warm-up is told in tokens, the horizon is the token budget."""

    name: Literal["cosine", "linear", "constant", "warmup_stable_decay"] = "cosine"
    warmup_tokens: Natural


class BudgetSpec(Record):
    """How much training: tokens in all, and sequences (of one context each) a step."""

    tokens: Count
    batch: Count


class SeedsSpec(Record):
    """The random choices of a training run, each with a stream of its own."""

    init: Natural = 0
    data_order: Natural = 0
    dropout: Natural = 0


class NumericsSpec(Record):
    """How the arithmetic is done: part of what a variant is, since float sums depend on it."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: Count = Field(1, description="CPU threads of one job")
    micro_batch: Natural = Field(0, description="sequences that go through a model at once; 0: a whole batch")


class SamplingSpec(Record):
    """How texts are drawn from a model: always explicit, nothing left to a library's default."""

    texts: Count = Field(description="texts per variant")
    max_tokens: Count
    temperature: Positive = 1.0
    top_k: Natural = Field(0, description="0 keeps the whole vocabulary")
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    prompt_characters: Natural = Field(0, description="0 samples from the begin token alone")
    stream: Natural = Field(0, description="index of the sampling stream")
    block: Count = Field(500, description="rows that are sampled together, always padded to this number")


class SplitSpec(Record):
    """Which prompts are for testing: one in `test_every`."""

    test_every: int = Field(4, ge=2)


class Settings(Record):
    """Everything that may vary between variants: how a model is trained and how it is sampled."""

    corpus: CorpusSpec
    tokenizer: TokenizerSpec
    model: ModelSpec
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    budget: BudgetSpec
    seeds: SeedsSpec = SeedsSpec()
    numerics: NumericsSpec = NumericsSpec()
    rerun: Natural = Field(0, description="part of the variant's key and ignored by the trainer: a control")
    sampling: SamplingSpec

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        step = self.budget.batch * self.model.context
        if self.budget.tokens < step:
            raise ValueError(f"budget.tokens {self.budget.tokens} is less than one step of {step} tokens")
        room = self.model.context - (1 if self.sampling.prompt_characters else 0)
        if self.sampling.max_tokens > room:
            raise ValueError(f"sampling.max_tokens {self.sampling.max_tokens} is over model.context's room of {room}")
        if self.schedule.warmup_tokens > self.budget.tokens:
            raise ValueError(f"schedule.warmup_tokens is over budget.tokens {self.budget.tokens}")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps: whole batches within the token budget."""
        return self.budget.tokens // (self.budget.batch * self.model.context)


class Preset(Record):
    """The whole experiment at one size."""

    summary: str
    notes: str = ""
    settings: Settings
    split: SplitSpec = SplitSpec()
    replicates: Count = 1


class Factor(Record):
    """The one training condition that a task varies.

    A level that is one value gives it to every field; a mapping gives each field its own.
    """

    name: str
    fields: tuple[str, ...] = Field(min_length=1, description="settings, as dotted paths within one section")
    levels: dict[str, Scalar | dict[str, Scalar]] = Field(min_length=2)

    def values(self, level: str) -> dict[str, Scalar]:
        """Value of each field at a level."""
        value = self.levels[level]
        return dict(value) if isinstance(value, dict) else dict.fromkeys(self.fields, value)


class Task(Record):
    """One task file."""

    name: str = Field(alias="task", description="the file's name")
    version: Count
    summary: str
    tags: tuple[str, ...] = ()
    control: Literal["negative", "positive"] | None = None
    factor: Factor
    replicates: Count | None = Field(None, description="overrides the preset's number")
    settings: dict[str, Any] = Field({}, description="settings in which this task differs from every preset")
    notes: str = ""


def leaves(model: type[Record], prefix: str = "") -> list[str]:
    """Dotted paths of all fields of a record type, nested records opened."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        nested = isinstance(inner, type) and issubclass(inner, Record)
        found += leaves(inner, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]  # type: ignore[arg-type]
    return found


def near(path: str, known: Sequence[str]) -> str:
    """Return ` (did you mean 'x'?)` for the dotted path nearest to one given, `lr` meaning `optimizer.lr`."""
    last = [other for other in known if other.split(".")[-1] == path.split(".")[-1]]
    return f" (did you mean {last[0]!r}?)" if len(last) == 1 else did_you_mean(path, known)


def task_files(include: Iterable[Path] = ()) -> dict[str, Path]:
    """Find all task files by name: the bundled ones, then those of the included folders.

    A file whose name begins with `_` is there for others to include. Raises UserError for an included path that is
    no folder, or a name that stands twice.
    """
    return _files([resources.tasks(), *include], "task")


def preset_files(include: Iterable[Path] = ()) -> dict[str, Path]:
    """Find all preset files by name, in `presets/` below each folder of tasks."""
    folders = [folder / "presets" for folder in include]
    return _files([resources.tasks() / "presets", *(folder for folder in folders if folder.is_dir())], "preset")


def _files(folders: Sequence[Path], kind: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"no folder {str(folder)!r}\n  --include-path takes a folder of task files")
        for path in sorted(folder.glob("[!_.]*.yaml")):
            if path.stem in files:
                raise UserError(f"two {kind}s are called {path.stem!r}: {files[path.stem]} and {path}")
            files[path.stem] = path
    return files


def find(kind: str, name: str, files: dict[str, Path]) -> Path:
    """Look a task or preset up by name; raises UserError with the nearest known name."""
    if name not in files:
        raise unknown(kind, name, files, hint=f"natfp-bench list {kind}s   shows all {len(files)}")
    return files[name]


def load_task(path: Path) -> tuple[Task, Source]:
    """Read a task file and check all that needs no preset; raises SpecError with every fault."""
    source = yaml_source.load(path)
    wrong = yaml_source.faults(source, Task)
    faults = [source.fault(key, what) for key, what in wrong]
    # What is sound is checked further, so that every fault is told at once: the faulty keys are put aside for it.
    sound = {key: value for key, value in source.data.items() if key not in {at[0] for at, _ in wrong if at}}
    stand_in = Source({"task": path.stem, "version": 1, "summary": "", **sound}, source.where) if wrong else source
    if not yaml_source.faults(stand_in, Task):
        task = yaml_source.validate(stand_in, Task)
        faults += [*_names(task, source, path.stem), *_factor_faults(task, source), *_setting_faults(task, source)]
    if faults:
        raise SpecError(faults)
    return task, source


def _names(task: Task, source: Source, stem: str) -> Iterable[str]:
    plain = "is no plain word (letters, digits, _.- and at most 64 of them)"
    if task.name != stem:
        yield source.fault(("task",), f"the task is called {task.name!r} and its file {stem!r}")
    elif not NAME.fullmatch(task.name):
        yield source.fault(("task",), f"the task's name {task.name!r} {plain}")
    for level in task.factor.levels:
        if not NAME.fullmatch(level):
            yield source.fault(("factor", "levels", level), f"level {level!r} {plain}")


def _factor_faults(task: Task, source: Source) -> Iterable[str]:
    factor, known = task.factor, leaves(Settings)
    for i, path in enumerate(factor.fields):
        key = ("factor", "fields", i)
        if path not in known:
            yield source.fault(key, f"unknown field {path!r}{near(path, known)}")
        elif why := NO_FACTOR.get(path) or NO_FACTOR.get(path.split(".")[0]):
            yield source.fault(key, f"{path!r} is no factor: {why}")
        if path in factor.fields[:i]:
            yield source.fault(key, f"field {path!r} stands twice")
    sections = sorted({path.split(".")[0] for path in factor.fields if path in known})
    if len(sections) > 1:
        names = " and ".join(sections)
        yield source.fault(("factor", "fields"), f"two factors varied at once: fields of {names}; a task has one")
    yield from _level_faults(factor, source)


def _level_faults(factor: Factor, source: Source) -> Iterable[str]:
    values = {level: factor.values(level) for level in factor.levels}
    for level, given in values.items():
        key = ("factor", "levels", level)
        for path in given:
            if path not in factor.fields:
                what = f"two factors varied at once: level {level!r} sets {path!r}, which is none of factor.fields"
                yield source.fault((*key, path), what)
        for path in factor.fields:
            if path not in given:
                yield source.fault(key, f"level {level!r} gives no value to {path!r}")
        twins = [other for other in values if values[other] == given]
        if twins[0] != level:
            yield source.fault(key, f"levels {twins[0]!r} and {level!r} are the same")
    for i, path in enumerate(factor.fields):
        column = [given.get(path) for given in values.values()]
        # Where whole levels are alike, that was said already.
        if len(factor.fields) > 1 and all(value == column[0] for value in column):
            yield source.fault(("factor", "fields", i), f"{path!r} is the same at every level, so it is no factor")


def _setting_faults(task: Task, source: Source) -> Iterable[str]:
    known = leaves(Settings)
    for path, value in flatten(task.settings):
        key = ("settings", *path.split("."))
        if path in task.factor.fields:
            yield source.fault(key, f"{path!r} is the factor's field; its values stand in factor.levels")
        elif any(other.startswith(f"{path}.") for other in known):
            if value != {}:
                yield source.fault(key, f"settings.{path} must be a mapping of keys to values")
        elif path not in known:
            yield source.fault(key, f"unknown setting {path!r}{near(path, known)}")


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of the files that people write: task and preset (an `include` key may stand in both)."""
    include = {"include": {"type": "string", "description": "a file whose keys this one overrides"}}
    found = {}
    for name, model in (("task", Task), ("preset", Preset)):
        schema = model.model_json_schema()
        schema["properties"] |= include
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        found[name] = schema
    return found
