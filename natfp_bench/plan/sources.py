"""What a task may say of sources that are not trained here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from natfp_bench.base.yaml_source import Scalar, YamlSource

from .descent import DeriveSpec, TeacherSpec, TuningSpec
from .settings import Recipe, Settings
from .task_files import Preset, Task
from .text_settings import ServeSpec, SourceSpec

TRAINING = tuple(name for name in Recipe.model_fields if name != "numerics")
"""Sections of the settings that say how a model is trained."""

NAMED = ("model", "revision", "subfolder", "model_args")
"""Fields in which `{replicate}` stands for the replicate's name."""


def replicates(spec: SourceSpec) -> list[str]:
    """Names of the replicates, one empty name where there are none."""
    return [name.strip() for name in spec.replicate.split(",") if name.strip()] or [""]


def faults(
    task: Task, file: YamlSource, levels: Mapping[str, Preset], chosen: YamlSource, given: Mapping[str, Scalar]
) -> Iterable[str]:
    """Say what a task asks for and its kind of source cannot give; `given`: what is set on the command line."""
    first = next(iter(levels.values())).settings
    kind, spec = first.source.kind, first.source
    place = ("settings", "source", "kind")
    if spec.facts.released:
        yield from _finetuning(task, file, levels, chosen, given)
        return
    tuned = {level for level, preset in levels.items() if preset.settings.tuning != TuningSpec()}
    if tuned:
        what = f"tuning changes nothing: a {kind} source is not fine-tuned; source.kind: finetune is"
        at = ("settings", "tuning")
        yield chosen.fault(at, what) if at in chosen.where else file.fault(("factor", "fields"), what)
    if spec.trained:
        if spec != SourceSpec():
            what = "the other fields of source change nothing while source.kind is 'train'"
            # Where no settings speak of the source, it is the levels that do.
            yield chosen.fault(place, what) if place[:2] in chosen.where else file.fault(("factor", "fields"), what)
        return
    if first.fork.at:
        yield _no_fork(file, chosen, f"a {kind} source is not trained here")
    yield from _not_derived(file, levels, chosen, f"a {kind} source is not trained here")
    if not spec.facts.task:
        yield chosen.fault(place, "given texts need no task: natfp-bench texts FILE")
        return
    for i, path in enumerate(task.factor.fields):
        if path.split(".")[0] in TRAINING:
            yield file.fault(("factor", "fields", i), f"{path!r} changes nothing: a {kind} source is not trained here")
    for path in given:
        if path.split(".")[0] in (*TRAINING, "replicates"):
            yield f"--set {path}={given[path]}: changes nothing: a {kind} source is not trained here"
    names = replicates(spec)
    if len(set(names)) < len(names):
        yield chosen.fault(("settings", "source", "replicate"), "a replicate is named twice")
    for level, preset in levels.items():
        yield from (f"{fault} (level {level!r})" for fault in _level(preset.settings, names, file, chosen))
    if kind == "lm_eval" and any(preset.settings.serve != ServeSpec() for preset in levels.values()):
        what = "serve changes nothing: a backend of lm-eval serves its own model, as source.model_args say"
        at = ("settings", "serve")
        yield chosen.fault(at, what) if at in chosen.where else file.fault(("factor", "fields"), what)
    if spec.facts.prompted and not first.sampling.prompt_characters:
        what = f"{kind} sources take no empty prompt: set sampling.prompt_characters"
        yield chosen.fault(place, what)


def _no_fork(file: YamlSource, chosen: YamlSource, why: str) -> str:
    """Say that there is no run that could be forked, where the fork is asked for."""
    at = ("settings", "fork", "at")
    what = f"a fork is of a run that is trained here from nothing: {why}"
    return chosen.fault(at, what) if at in chosen.where else file.fault(("factor", "fields"), what)


def _not_derived(file: YamlSource, levels: Mapping[str, Preset], chosen: YamlSource, why: str) -> Iterable[str]:
    """Say that nothing is made of these weights, and that they learn from no teacher, where it is asked for."""
    for name, default in (("derive", DeriveSpec()), ("teacher", TeacherSpec())):
        if all(getattr(preset.settings, name) == default for preset in levels.values()):
            continue
        at = ("settings", name)
        what = f"{name} is for models that are trained here from nothing: {why}"
        yield chosen.fault(at, what) if at in chosen.where else file.fault(("factor", "fields"), what)


FIXED = ("tokenizer", "model", "finetune", "fork")
"""Sections that change nothing in fine-tuning a released model, except `model.context`."""


def _finetuning(
    task: Task, file: YamlSource, levels: Mapping[str, Preset], chosen: YamlSource, given: Mapping[str, Scalar]
) -> Iterable[str]:
    """Say what a task of fine-tuned models asks for and cannot have."""

    def idle(path: str) -> bool:
        return path.split(".")[0] in FIXED and path != "model.context"

    for i, path in enumerate(task.factor.fields):
        if path.startswith("source."):
            what = f"{path!r} cannot be a factor: all levels of a fine-tuning start from one model"
            yield file.fault(("factor", "fields", i), what)
        elif idle(path):
            yield file.fault(("factor", "fields", i), f"{path!r} changes nothing: the model is a released one")
    for path in given:
        if idle(path):
            yield f"--set {path}={given[path]}: changes nothing: the model is a released one"
    settings = next(iter(levels.values())).settings
    for name in ("replicate", "model_args"):
        if getattr(settings.source, name):
            what = f"source.{name} changes nothing: replicates of a fine-tuning differ in their seeds"
            yield chosen.fault(("settings", "source", name), what)
    if settings.fork.at:
        yield _no_fork(file, chosen, "a fine-tuning starts from a released model")
    yield from _not_derived(file, levels, chosen, "a fine-tuning starts from a released model")
    if settings.finetune.share:
        what = "finetune.share is for models that are trained here from nothing; a fine-tuning has budget.tokens"
        yield chosen.fault(("settings", "finetune", "share"), what)


def _level(settings: Settings, names: list[str], file: YamlSource, chosen: YamlSource) -> Iterable[str]:
    def fault(name: str, what: str) -> str:
        """Where the settings do not speak of the field, the task is named that needs it."""
        at = ("settings", "source", name)
        return chosen.fault(at, what) if at in chosen.where else file.fault(("factor", "fields"), what)

    spec = settings.source
    if not spec.model:
        yield fault("model", f"source.model is empty: it takes {spec.facts.model}")
    used = any("{replicate}" in getattr(spec, name) for name in NAMED)
    if used != (names != [""]):
        yield fault("replicate", "source.replicate and {replicate} in a name need each other: give both or neither")
