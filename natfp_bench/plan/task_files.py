"""Tasks and presets: strict records, and the YAML files that hold them.

A preset is the whole experiment at one size. A task is one training factor: its fields, its levels, and the few
settings in which it differs from the presets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from natfp_bench.base import resources, yaml_records, yaml_source
from natfp_bench.base.errors import SpecError, UserError, did_you_mean, unknown
from natfp_bench.base.records import Record, flatten
from natfp_bench.base.yaml_source import Scalar, YamlSource

from . import crossing
from .fields import MAX_LEVELS, Count, Natural, Share
from .settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Names of tasks, levels and results: words that are safe as file names."""

NO_FACTOR = {
    "sampling.texts": "it is the number of texts, not their source",
    "sampling.block": "it is the number of texts drawn at a time, not their source",
    "sampling.max_tokens": "texts are compared at one length",
    "sampling.prompt_characters": "all variants continue the same prompts",
    "corpus.name": "corpora differ in everything; topics (corpus.topics) or files (corpus.part) of one can vary",
    "corpus.seed": "it only chooses other documents of the same kind",
    "corpus.heldout_documents": "all variants are measured on the same documents",
    "source.kind": "a task compares sources of one kind",
    "source.replicate": "levels have their replicates in common",
    "source.shared_tokenizer": "it is a fact about all models together",
    "source.trust_remote_code": "it is a permission",
    "finetune.parts": "it is how the data are divided; finetune.part is which of them a model reads",
    "tuning.parts": "it is how the data are divided; tuning.part is which of them a model reads",
    "source.gguf_file": "levels are models, not files of one",
    "tokenizer.train_bytes": "it is an amount of text, not a kind of text",
}
"""Settings that no task can vary, and why."""


NO_TRACE = ("seeds.", "rerun", "sampling.stream", "finetune.seed", "fork.branch")
"""Factors whose levels have no meaning across replicates: models of seed 1 in two replicates share nothing."""

LARGE = "large"
"""The tag of tasks of so many models that `--task all` does not stand for them."""

FILES_WANTED = "text:"
"""The corpus of a task that needs text files of the user's: `--corpus text:A,B` names them."""

MATCH = "match"
"""The value of model.feed_forward that gives a model as many parameters as the preset's model."""

MOST_STRANGERS = 500
"""Most strangers of a plan: each takes an ancestor of its own."""

MOST_SHARES = 20
"""Most shares of mixed streams."""

TransformName = Literal[
    "lower_case", "no_punctuation", "shuffled_words", "truncated", "function_words", "content_words"
]


class SplitSpec(Record):
    """How texts are split: one prompt in `test_every` is for testing, and replicates may be held out for levels.

    `level: auto` holds out replicates if there are two or more and the factor is not a seed.
    """

    test_every: int = Field(4, ge=2)
    level: Literal["auto", "unseen_prompt", "unseen_replicate"] = "auto"


class AnalysisSpec(Record):
    """Studies beyond the scores. One fast baseline, the reference attributor, is refitted for them many times."""

    reference: str = Field("naive_bayes", description="the baseline that curves, transforms and permutations refit")
    permutations: Count = Field(99, description="most permutations of the level labels")
    texts: Count = Field(1000, description="most training texts per variant in refits for permutations and transforms")
    transforms: tuple[TransformName, ...] = Field((), description="transforms that are applied to test texts")
    transfer: bool = Field(True, description="also test on texts of other temperatures, and on prompted texts")
    disguises: bool = Field(
        False,
        description="also test on texts as somebody may disguise them: drawn at temperature 0.8 or with top-p 0.9, "
        "mixed with the second half of another source's text, and rewritten by another model",
    )
    margin: Share = Field(0.01, description="models are equally good if their bits per byte differ by less, relatively")
    strangers: Annotated[int, Field(ge=0, le=MOST_STRANGERS)] = Field(
        0, description="in tasks whose levels are ancestors: models that descend from none of them, for p-values"
    )
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (),
        max_length=MOST_SHARES,
        description="shares at which the texts of one model are mixed into those of another, and estimated; as an "
        "option, numbers with commas between them: 0,0.05,0.25",
    )

    @field_validator("shares", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """Take numbers with commas between them, as `--set` gives them, for a list; put shares into their order."""
        parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
        try:
            return tuple(sorted({float(part) for part in parts}))
        except (TypeError, ValueError):
            raise ValueError("takes numbers from 0 to 1 with commas between them") from None


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

    If a level is one value, every field gets it; a mapping gives each field a value of its own. `x0.5` is half of the
    preset's value, so that a task makes sense at every size. `match`, for model.feed_forward only, is the size that
    gives the model as many parameters as the preset's model has.

    A crossing (`crossing`) states the values of nuisance seeds instead of fields and levels: each level is then one
    combination of them, such as `init0-order2`.
    """

    name: str
    fields: tuple[str, ...] = Field(min_length=1, description="settings that vary, as dotted paths in one section")
    levels: dict[str, Scalar | dict[str, Scalar]] = Field(min_length=2, max_length=MAX_LEVELS)
    ordered: bool = Field(False, description="the levels have an order, so a guess can be nearly right")
    matched: Share | None = Field(None, description="promise: all models have equally many parameters up to this share")
    own_seeds: bool = Field(False, description="each variant has seeds of its own, so that the levels mean nothing")
    crossed: dict[str, tuple[Natural, ...]] | None = Field(
        None, description="instead of fields and levels: values of nuisance seeds, each combination of which is a level"
    )

    def values(self, level: str) -> dict[str, Scalar]:
        """Value of each field at a level."""
        value = self.levels[level]
        return dict(value) if isinstance(value, dict) else dict.fromkeys(self.fields, value)


class Task(Record):
    """One task file."""

    name: str = Field(alias="task", description="name of the task and of its file")
    version: Count
    summary: str
    tags: tuple[str, ...] = ()
    control: Literal["negative", "positive"] | None = None
    factor: Factor
    replicates: Count | None = Field(None, description="number of replicates, instead of the preset's")
    nuisance: dict[str, tuple[Scalar, ...]] = Field(
        {}, description="settings in which replicates differ, instead of in seeds, with a value for each replicate"
    )
    settings: dict[str, Any] = Field({}, description="settings in which this task differs from the presets")
    analysis: dict[str, Any] = Field({}, description="studies in which this task differs from the presets")
    notes: str = ""


def leaves(model: type[Record], prefix: str = "") -> list[str]:
    """Dotted paths of all fields of a record type, down to the fields of nested records."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        nested = isinstance(inner, type) and issubclass(inner, Record)
        found += leaves(inner, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]  # type: ignore[arg-type]
    return found


def near(path: str, known: Sequence[str]) -> str:
    """Return ` (did you mean 'x'?)` for the dotted paths nearest to one given; `width` suggests `model.width`."""
    last = [other for other in known if other.split(".")[-1] == path.split(".")[-1]]
    return f" (did you mean {' or '.join(map(repr, last))}?)" if last else did_you_mean(path, known)


def task_files(include: Iterable[Path] = ()) -> dict[str, Path]:
    """Find all task files by name: the bundled ones, then those of the included folders.

    A file whose name begins with `_` is not a task; other files include it. Raises UserError if an included path is
    not a folder, or if two files have the same name.
    """
    return _files([resources.tasks(), *include], "task")


def trained_tasks(include: Iterable[Path] = (), *, large: bool = False) -> dict[str, Path]:
    """Find the tasks whose models are trained here on a corpus that is here; `--task all` means these.

    They need neither the network nor files of the user's. Those with the tag LARGE take as long as all others together,
    and are left out unless `large` asks for them, too.
    """
    found = {}
    for name, path in task_files(include).items():
        task = load_task(path)[0]
        if LARGE in task.tags and not large:
            continue
        sections = {key: value for key, value in task.settings.items() if isinstance(value, dict)}
        corpus = sections.get("corpus", {}).get("name", "")
        if sections.get("source", {}).get("kind", "train") == "train" and corpus != FILES_WANTED:
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
                raise UserError(f"two {kind}s have the name {path.stem!r}: {files[path.stem]} and {path}")
            files[path.stem] = path
    return files


def find(kind: str, name: str, files: dict[str, Path]) -> Path:
    """Look a task or preset up by name; raises UserError with the nearest known name."""
    if name not in files:
        hint = f"natfp-bench list {kind}s   shows all {len(files)}; --include-path FOLDER adds those of a folder"
        raise unknown(kind, name, files, hint=hint)
    return files[name]


def load_task(path: Path) -> tuple[Task, YamlSource]:
    """Read a task file and check everything that needs no preset; raises SpecError with every fault."""
    return check_task(yaml_source.examine(path), path.stem)


def check_task(source: YamlSource, name: str) -> tuple[Task, YamlSource]:
    """Check what a task file says, or would say if there were one of this name, as `load_task` does."""
    source = crossing.expanded(source)
    wrong = yaml_records.faults(source, Task)
    faults = [*source.faults, *(source.fault(key, what) for key, what in wrong)]
    # To report all faults at once, the sound keys are checked further; placeholders stand for the faulty ones.
    faulty = {at[0] for at in (*source.unsound, *(key for key, _ in wrong)) if at}
    sound = {key: value for key, value in source.data.items() if key not in faulty}
    placeholders = {"task": name, "version": 1, "summary": ""} if faulty or wrong else {}
    stand_in = YamlSource({**placeholders, **sound}, source.where)
    if not yaml_records.faults(stand_in, Task):
        task = yaml_records.validate(stand_in, Task)
        faults += [*_names(task, source, name), *_factor_faults(task, source)]
        faults += [*_nuisance_faults(task, source), *_setting_faults(task, source)]
    if faults:
        raise SpecError(faults)
    return task, source


def _names(task: Task, source: YamlSource, stem: str) -> Iterable[str]:
    plain = "is not a plain word (at most 64 letters, digits, and _.-)"
    if task.name != stem:
        yield source.fault(("task",), f"the task has the name {task.name!r}, but its file {stem!r}")
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
            yield source.fault(key, f"{path!r} cannot be a factor: {why}")
        if path in factor.fields[:i]:
            yield source.fault(key, f"field {path!r} is listed twice")
    sections = sorted({path.split(".")[0] for path in factor.fields if path in known})
    if len(sections) > 1:
        names = " and ".join(sections)
        yield source.fault(("factor", "fields"), f"two factors vary at once: fields of {names}; a task varies one")
    yield from _level_faults(factor, source)


def _level_faults(factor: Factor, source: YamlSource) -> Iterable[str]:
    values = {level: factor.values(level) for level in factor.levels}
    for level, given in values.items():
        key = ("factor", "levels", level)
        for path in given:
            if path not in factor.fields:
                what = f"two factors vary at once: level {level!r} sets {path!r}, which is not in factor.fields"
                yield source.fault((*key, path), what)
        for path in factor.fields:
            if path not in given:
                yield source.fault(key, f"level {level!r} has no value for {path!r}")
        twins = [other for other in values if values[other] == given]
        if twins[0] != level:
            yield source.fault(key, f"levels {twins[0]!r} and {level!r} are the same")
    for i, path in enumerate(factor.fields):
        column = [given.get(path) for given in values.values()]
        # With one field, equal values are equal levels, a fault reported above. `match` gives each level its own size.
        if len(factor.fields) > 1 and column[0] != MATCH and all(value == column[0] for value in column):
            yield source.fault(("factor", "fields", i), f"{path!r} is the same at every level; remove it")


def _nuisance_faults(task: Task, source: YamlSource) -> Iterable[str]:
    known, numbers = leaves(Settings), {path: len(values) for path, values in task.nuisance.items()}
    for path, values in task.nuisance.items():
        key = ("nuisance", path)
        if path not in known:
            yield source.fault(key, f"unknown setting {path!r}{near(path, known)}")
        elif path in task.factor.fields:
            yield source.fault(key, f"{path!r} is the factor's field: replicates have it in common")
        elif why := NO_FACTOR.get(path):
            yield source.fault(key, f"{path!r} cannot differ between replicates: {why}")
        if len(values) < max(numbers.values()):
            what = f"{path!r} has {len(values)} values, and another setting {max(numbers.values())}: one per replicate"
            yield source.fault(key, what)
    columns = list(zip(*task.nuisance.values(), strict=False))
    if len(set(map(repr, columns))) < len(columns):
        yield source.fault(("nuisance",), "two replicates have the same values, so that their models would be the same")


def _setting_faults(task: Task, source: YamlSource) -> Iterable[str]:
    known = leaves(Settings)
    for path, value in flatten(task.settings):
        key = ("settings", *path.split("."))
        if path in task.factor.fields:
            yield source.fault(key, f"{path!r} is the factor's field; set its values in factor.levels")
        elif any(other.startswith(f"{path}.") for other in known):
            if value != {}:
                yield source.fault(key, f"settings.{path} must be a mapping of keys to values")
        elif path not in known:
            yield source.fault(key, f"unknown setting {path!r}{near(path, known)}")
    if task.analysis:
        for at, what in yaml_records.faults(YamlSource(task.analysis, {}), AnalysisSpec):
            yield source.fault(("analysis", *at), what)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of the files that people write: task and preset. Both may have the key `include`."""
    include = {"include": {"type": "string", "description": "another file, whose keys this file overrides"}}
    found = {}
    for name, model in (("task", Task), ("preset", Preset)):
        schema = model.model_json_schema()
        schema["properties"] |= include
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        if name == "task":
            # A file states either of these; a loaded task has all of them.
            factor = schema["$defs"]["Factor"]
            factor["required"] = ["name"]
            factor["oneOf"] = [{"required": ["fields", "levels"]}, {"required": ["crossed"]}]
        found[name] = schema
    return found
