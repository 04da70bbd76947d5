"""What a task and a preset may say: strict records, and the files that hold them.

A preset is the whole experiment at one size. A task is one training factor: its fields, its levels, and the few
settings in which it differs from every preset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from natfp_bench.base import resources, yaml_source
from natfp_bench.base.errors import SpecError, UserError, did_you_mean, unknown
from natfp_bench.base.records import Record, flatten
from natfp_bench.base.yaml_source import Scalar, YamlSource

from .settings import Count, Settings, Share

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What may be the name of a task, level or run: a word that is safe as a file name."""

NO_FACTOR = {
    "sampling.texts": "it says how much is drawn, not from what",
    "sampling.block": "it says how much is drawn at a time, not from what",
    "sampling.max_tokens": "texts are compared at one length",
    "sampling.prompt_characters": "all variants continue the same prompts",
    "corpus.name": "models of different corpora differ in everything; a corpus's topics can be a factor",
    "corpus.seed": "it chooses the documents, which no model's user would call a training condition",
    "corpus.heldout_documents": "all variants are measured on the same documents",
    "source.kind": "a task compares sources of one kind",
    "source.replicate": "it names what levels have in common",
    "source.shared_tokenizer": "it says something of all models together",
    "source.trust_remote_code": "it is a permission",
    "tokenizer.train_bytes": "it says how much a tokenizer is learnt from, not which",
}
"""Settings that no task can vary, and why."""


NO_TRACE = ("seeds.", "rerun", "sampling.stream", "finetune.seed")
"""Factors whose level means nothing beyond one replicate: seed 1 of two runs has nothing in common."""

MATCH = "match"
"""The value of model.feed_forward that gives a model as many parameters as the preset's."""

TransformName = Literal[
    "lower_case", "no_punctuation", "shuffled_words", "truncated", "function_words", "content_words"
]


class SplitSpec(Record):
    """Which prompts are for testing: one in `test_every`; and whether levels are told on unseen replicates.

    `level: auto` holds replicates out wherever there are two or more and the factor is no seed.
    """

    test_every: int = Field(4, ge=2)
    level: Literal["auto", "unseen_prompt", "unseen_replicate"] = "auto"


class AnalysisSpec(Record):
    """What is studied beyond the scores, by one fast baseline that is refitted many times."""

    reference: str = Field("naive_bayes", description="the baseline that curves, transforms and permutations refit")
    permutations: Count = Field(99, description="of level labels, at most")
    texts: Count = Field(1000, description="texts a variant, at most, that each refit of a permutation uses")
    transforms: tuple[TransformName, ...] = Field((), description="what test texts are put through")
    transfer: bool = Field(True, description="also test on texts of other temperatures, and on prompted ones")
    margin: Share = Field(0.01, description="relative margin of bits per byte within which models are equally good")


class Preset(Record):
    """The whole experiment at one size."""

    summary: str
    notes: str = ""
    settings: Settings
    split: SplitSpec = SplitSpec()
    analysis: AnalysisSpec = AnalysisSpec()
    replicates: Count = 1


class Factor(Record):
    """The one training condition that a task varies.

    A level that is one value gives it to every field; a mapping gives each field its own. `x0.5` is half of what the
    preset says, so that a task holds at every size; `match`, of model.feed_forward alone, is the size that gives the
    model as many parameters as the preset's own has.
    """

    name: str
    fields: tuple[str, ...] = Field(min_length=1, description="settings, as dotted paths within one section")
    levels: dict[str, Scalar | dict[str, Scalar]] = Field(min_length=2, max_length=128)
    ordered: bool = Field(False, description="levels stand in an order, so that a guess can be nearly right")
    matched: Share | None = Field(None, description="promise: parameters of all variants agree within this share")

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
    """Return ` (did you mean 'x'?)` for the dotted paths nearest to one given, `width` meaning `model.width`."""
    last = [other for other in known if other.split(".")[-1] == path.split(".")[-1]]
    return f" (did you mean {' or '.join(map(repr, last))}?)" if last else did_you_mean(path, known)


def task_files(include: Iterable[Path] = ()) -> dict[str, Path]:
    """Find all task files by name: the bundled ones, then those of the included folders.

    A file whose name begins with `_` is there for others to include. Raises UserError for an included path that is
    no folder, or a name that stands twice.
    """
    return _files([resources.tasks(), *include], "task")


def trained_tasks(include: Iterable[Path] = ()) -> dict[str, Path]:
    """Find the task files whose models are trained here, so that they need no network; what `all` means."""
    found = {}
    for name, path in task_files(include).items():
        source = load_task(path)[0].settings.get("source", {})
        if not isinstance(source, dict) or source.get("kind", "train") == "train":
            found[name] = path
    return found


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


def load_task(path: Path) -> tuple[Task, YamlSource]:
    """Read a task file and check all that needs no preset; raises SpecError with every fault."""
    source = yaml_source.load(path)
    wrong = yaml_source.faults(source, Task)
    faults = [source.fault(key, what) for key, what in wrong]
    # What is sound is checked further, so that every fault is told at once: the faulty keys are put aside for it.
    sound = {key: value for key, value in source.data.items() if key not in {at[0] for at, _ in wrong if at}}
    stand_in = YamlSource({"task": path.stem, "version": 1, "summary": "", **sound}, source.where) if wrong else source
    if not yaml_source.faults(stand_in, Task):
        task = yaml_source.validate(stand_in, Task)
        faults += [*_names(task, source, path.stem), *_factor_faults(task, source), *_setting_faults(task, source)]
    if faults:
        raise SpecError(faults)
    return task, source


def _names(task: Task, source: YamlSource, stem: str) -> Iterable[str]:
    plain = "is no plain word (letters, digits, _.- and at most 64 of them)"
    if task.name != stem:
        yield source.fault(("task",), f"the task is called {task.name!r} and its file {stem!r}")
    elif not NAME.fullmatch(task.name):
        yield source.fault(("task",), f"the task's name {task.name!r} {plain}")
    for level in task.factor.levels:
        if not NAME.fullmatch(level):
            yield source.fault(("factor", "levels", level), f"level {level!r} {plain}")


def _factor_faults(task: Task, source: YamlSource) -> Iterable[str]:
    factor, known = task.factor, leaves(Settings)
    for i, path in enumerate(factor.fields):
        key = ("factor", "fields", i)
        if path not in known:
            yield source.fault(key, f"unknown field {path!r}{near(path, known)}")
        elif why := NO_FACTOR.get(path):
            yield source.fault(key, f"{path!r} is no factor: {why}")
        if path in factor.fields[:i]:
            yield source.fault(key, f"field {path!r} stands twice")
    sections = sorted({path.split(".")[0] for path in factor.fields if path in known})
    if len(sections) > 1:
        names = " and ".join(sections)
        yield source.fault(("factor", "fields"), f"two factors varied at once: fields of {names}; a task has one")
    yield from _level_faults(factor, source)


def _level_faults(factor: Factor, source: YamlSource) -> Iterable[str]:
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
        # Where whole levels are alike, that was said already; what matches different models differs.
        if len(factor.fields) > 1 and column[0] != MATCH and all(value == column[0] for value in column):
            yield source.fault(("factor", "fields", i), f"{path!r} is the same at every level, so it is no factor")


def _setting_faults(task: Task, source: YamlSource) -> Iterable[str]:
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
