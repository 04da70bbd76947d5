"""From a task and a preset to a plan: the levels change the preset's settings, and become variants."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from natfp_bench.base import yaml_records, yaml_source
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.base.yaml_source import Scalar, YamlSource

from . import sources
from .ancestors import levels_are_ancestors
from .plan import Plan, Variant, check_one_factor, no_trace, parameters, values_of
from .settings import IDLE, ModelSpec, SeedsSpec, Settings
from .task_files import MATCH, Preset, Task, check_task, find, leaves, load_task, near, preset_files, task_files

RELATIVE = re.compile(r"x(\d+(?:\.\d+)?)")
"""A value of a level that is relative to the preset's value: `x0.5` is half of it."""

MAX_VARIANTS = 1_000
"""Most variants of a plan, which lists them one by one. Real tasks have far fewer."""


def make_plan(
    task: str | Path | YamlSource,
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path] = (),
) -> Plan:
    """Resolve a task at a preset into its variants.

    task: its name, its file, or what a file would say. overrides: setting -> value as YAML text (`{"optimizer.lr":
    "1e-3"}`). limit: use only the first so many texts of each variant. replicates: instead of the preset's number; a
    task that names its own keeps it. Raises UserError for an unknown task or preset, or for a limit or seed that makes
    no sense, and SpecError with every fault for files and overrides that are wrong.
    """
    path = find("task", task, task_files(include)) if isinstance(task, str) else task
    if seed < 0:
        raise UserError(f"--seed {seed} is negative\n  take 0 or more")
    task_record, task_source = load_task(path) if isinstance(path, Path) else check_task(path, path.data["task"])
    source = yaml_source.examine(find("preset", preset, preset_files(include)))
    yaml_records.validate(source, Preset)
    asked = dict(overrides or {})
    if replicates is not None and task_record.replicates is None:
        asked["replicates"] = str(replicates)
    values = _overrides(asked, task_record)
    chosen = _overlay(values).over(_choices_of(task_record, task_source).over(source))
    levels = _at_levels(task_record, task_source, chosen)
    if faults := list(sources.faults(task_record, task_source, levels, chosen, values)):
        raise SpecError(faults)
    base = next(iter(levels.values()))
    if not base.settings.source.trained:
        # Such sources have exactly the replicates that the task names.
        number = {"replicates": len(sources.replicates(base.settings.source))}
        levels = {level: preset.model_copy(update=number) for level, preset in levels.items()}
        base = base.model_copy(update=number)
    _check_effects(task_record, task_source, levels, chosen)
    _check_promises(task_record, task_source, levels, chosen)
    # Replicates are listed once it is known that they are not too many.
    variants = _variants(task_record, _replicates_of(task_record, task_source, chosen, levels))
    check_one_factor(variants, task_record.factor, task_record.nuisance)
    texts = base.settings.sampling.texts if limit is None else min(limit, base.settings.sampling.texts)
    if texts < 2 * base.split.test_every:
        given = f"--limit {limit}" if limit is not None else f"sampling.texts {texts}"
        need = 2 * base.split.test_every
        raise UserError(f"{given} leaves too few texts for training and testing\n  take at least {need} per variant")
    return Plan(
        task=task_record,
        preset=preset,
        notes=(base.notes,),
        seed=seed,
        overrides=values,
        split=base.split,
        analysis=base.analysis,
        texts=texts,
        variants=variants,
    )


def overlaid(preset: str, overrides: Mapping[str, str]) -> Preset:
    """Read a preset and change some of its settings; raises SpecError with every fault."""
    source = yaml_source.examine(find("preset", preset, preset_files()))
    values = {path: yaml_source.scalar(text, shown=f"--set {path}={text}") for path, text in overrides.items()}
    return yaml_records.validate(_overlay(values).over(source), Preset)


def _overrides(given: Mapping[str, str], task: Task) -> dict[str, Scalar]:
    known = [path.removeprefix("settings.") for path in leaves(Preset) if path not in ("summary", "notes")]
    faults, values = [], {}
    for path, text in given.items():
        shown = f"--set {path}={text}"
        if path in task.factor.fields:
            faults.append(f"{shown}: {task.name} varies {path!r}; the task's levels are its values")
        elif path not in known:
            faults.append(f"{shown}: unknown setting {path!r}{near(path, known)}")
        else:
            try:
                values[path] = yaml_source.scalar(text, shown=shown)
            except SpecError as error:
                faults += error.faults
    if faults:
        raise SpecError(faults)
    return values


def _overlay(values: Mapping[str, Scalar], place: str | None = None) -> YamlSource:
    """Turn dotted settings into a source with a preset's nesting; place: where they are set, None for options."""
    data: dict[str, Any] = {}
    where: dict[yaml_source.Key, str] = {}
    settings = leaves(Settings)
    for path, value in values.items():
        keys = (*(("settings",) if path in settings else ()), *path.split("."))
        at = data
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = value
        # The enclosing sections get this place too: a fault of a whole section then points at the changed value.
        where.update({keys[:depth]: place or f"--set {path}={value}" for depth in range(1, len(keys) + 1)})
    return YamlSource(data, where)


def _choices_of(task: Task, source: YamlSource) -> YamlSource:
    """The parts of a preset that a task changes: its settings, its studies and its number of replicates."""
    data: dict[str, Any] = {"settings": task.settings} if task.settings else {}
    if task.analysis:
        data["analysis"] = task.analysis
    if task.replicates is not None:
        data["replicates"] = task.replicates
    return YamlSource(data, {key: place for key, place in source.where.items() if key and key[0] in data})


def _at_levels(task: Task, source: YamlSource, chosen: YamlSource) -> dict[str, Preset]:
    """Put each level's values into the chosen settings, and validate the whole experiment at each level."""
    laid, found, faults = {}, {}, []
    wrong = yaml_records.faults(chosen, Preset)
    if wrong and any(
        _is_relative(value) for level in task.factor.levels for value in task.factor.values(level).values()
    ):
        # Values that are relative to faulty ones cannot be checked yet.
        raise SpecError([chosen.fault(*fault) for fault in wrong])
    base = None if wrong else yaml_records.validate(chosen, Preset)
    for level in task.factor.levels:
        key = ("factor", "levels", level)
        values = task.factor.values(level)
        if base:
            values, unsolved = _resolve(values, base.settings)
            faults += [f"{source.fault(key, what)} (level {level!r})" for what in unsolved]
        laid[level] = _overlay(values, source.place(key)).over(chosen)
        found[level] = yaml_records.faults(laid[level], Preset)
    if faults:
        raise SpecError(faults)
    # A fault that is the same at every level comes from the chosen settings, so it gets their place.
    shared = [fault for fault in next(iter(found.values())) if all(fault in others for others in found.values())]
    faults = [chosen.fault(key, what) for key, what in shared]
    for level, own in found.items():
        faults += [f"{laid[level].fault(*fault)} (level {level!r})" for fault in own if fault not in shared]
    if faults:
        raise SpecError(faults)
    levels = {level: yaml_records.validate(laid[level], Preset) for level in laid}
    for level, preset in levels.items():
        twin = next(other for other in levels if levels[other] == preset)
        if twin != level:
            what = f"levels {twin!r} and {level!r} are the same at this preset"
            faults.append(source.fault(("factor", "levels", level), what))
    if faults:
        raise SpecError(faults)
    return levels


def _replicates_of(
    task: Task, source: YamlSource, chosen: YamlSource, levels: dict[str, Preset]
) -> list[dict[str, Preset]]:
    """The levels of each replicate: alike, unless the task says in which settings replicates differ."""
    number = next(iter(levels.values())).replicates
    if not task.nuisance:
        return [levels] * number
    if number > (most := min(map(len, task.nuisance.values()))):
        what = f"{task.name} says what {most} replicates differ in, and {number} are asked for: --replicates {most}"
        raise SpecError([source.fault(("nuisance",), what)])
    found, place = [], source.place(("nuisance",))
    for replicate in range(number):
        values = {path: given[replicate] for path, given in task.nuisance.items()}
        found.append(_at_levels(task, source, _overlay(values, place).over(chosen)))
    return found


def _is_relative(value: Scalar) -> bool:
    return isinstance(value, str) and (value == MATCH or bool(RELATIVE.fullmatch(value)))


def _resolve(values: Mapping[str, Scalar], base: Settings) -> tuple[dict[str, Scalar], list[str]]:
    """Turn values that are relative to the preset (`x0.5`, `match`) into numbers; also return the faults."""
    flat = values_of(base)
    resolved, faults = dict(values), []
    for path, value in values.items():
        if not isinstance(value, str) or not (relative := RELATIVE.fullmatch(value)):
            continue
        if isinstance(flat[path], bool) or not isinstance(flat[path], int | float):
            faults.append(f"{path}: {value!r} is relative, but the preset's {flat[path]!r} is not a number")
            continue
        product = flat[path] * float(relative[1])
        if not math.isfinite(product):
            faults.append(f"{path}: {value!r} of the preset's {flat[path]!r} is too large")
            continue
        resolved[path] = round(product) if isinstance(flat[path], int) else product
    for path in [path for path, value in resolved.items() if value == MATCH]:
        if path != "model.feed_forward":
            faults.append(f"{path}: 'match' is only for model.feed_forward")
            continue
        shape = {name.removeprefix("model."): given for name, given in resolved.items() if name.startswith("model.")}
        try:
            resolved[path] = _matching(base.model.model_copy(update=shape), base)
        except ValueError as error:
            faults.append(f"{path}: no size matches the preset's number of parameters ({error})")
        except (ArithmeticError, TypeError):
            # Other values of the level are wrong; their validation reports that.
            resolved[path] = base.model.feed_forward
    return resolved, faults


def _matching(shape: ModelSpec, base: Settings) -> int:
    """Feed-forward size that gives a model of this shape as many parameters as the preset's model."""
    vocabulary = base.tokenizer.vocabulary
    # The number of parameters is linear in the feed-forward size.
    one, two = (parameters(shape.model_copy(update={"feed_forward": size}), vocabulary) for size in (1, 2))
    size = 1 + round((parameters(base.model, vocabulary) - one) / (two - one))
    if size < 1:
        raise ValueError("the rest of the model already has more")
    return size


def _check_effects(task: Task, source: YamlSource, levels: Mapping[str, Preset], chosen: YamlSource) -> None:
    """Refuse factors that change nothing, and replicates that would all be the same model."""
    first = next(iter(levels.values()))
    live = {f"seeds.{name}" for name in SeedsSpec.model_fields}
    if first.settings.source.facts.released and not any(preset.settings.tuning.lora_rank for preset in levels.values()):
        # All weights are there already; adapters begin at random ones.
        live.discard("seeds.init")
        if task.factor.fields == ("seeds.init",):
            what = "'seeds.init' changes nothing while tuning.lora_rank is 0: the released model has all weights"
            raise SpecError([source.fault(("factor", "fields"), what)])
    if all(preset.settings.model.dropout == 0 for preset in levels.values()):
        live.discard("seeds.dropout")
        if task.factor.fields == ("seeds.dropout",):
            what = "'seeds.dropout' changes nothing while model.dropout is 0"
            raise SpecError([source.fault(("factor", "fields"), what)])
    if any(preset.settings.teacher.same_init and preset.settings.teacher.run < 0 for preset in levels.values()):
        what = "teacher.same_init changes nothing without a teacher: set teacher.run"
        raise SpecError([chosen.fault(("settings", "teacher", "same_init"), what)])
    if dead := sorted(task.factor.crossed.keys() - live) if task.factor.crossed else []:
        why = {"seeds.init": "tuning.lora_rank", "seeds.dropout": "model.dropout"}
        what = "{0!r} changes nothing while {1} is 0, so the models of some cells would be the same"
        raise SpecError([source.fault(("factor", "crossed", path), what.format(path, why[path])) for path in dead])
    finetuned = any(preset.settings.finetune.share for preset in levels.values())
    derived = [preset.settings.derive for preset in levels.values()]
    optimizers = {preset.settings.optimizer.name for preset in levels.values()}
    for i, path in enumerate(task.factor.fields):
        idle = None
        if path.startswith("finetune.") and not finetuned:
            idle = "finetune.share is 0"
        elif optimizers <= set(IDLE.get(path, ())):
            idle = f"optimizer.name is {' or '.join(sorted(optimizers))}"
        elif path in ("derive.spacing", "derive.fading") and all(one.average == 1 for one in derived):
            idle = "derive.average is 1"
        elif path == "derive.partner" and not any(one.merge for one in derived):
            idle = "derive.merge is 0"
        if idle:
            raise SpecError([source.fault(("factor", "fields", i), f"{path!r} changes nothing while {idle}")])
    trained = first.settings.source.trained
    if task.factor.own_seeds:
        _check_own_seeds(task, source, levels)
    elif trained and first.replicates > 1 and live <= set(task.factor.fields) and not task.nuisance:
        what = f"{task.name} varies every seed that matters, so all replicates would be the same; set `replicates: 1`"
        raise SpecError([chosen.fault(("replicates",), what)])


def _check_own_seeds(task: Task, source: YamlSource, levels: Mapping[str, Preset]) -> None:
    """Check that no two variants share a seed: replicate r of a level adds r to the level's seeds."""
    if not all(path.startswith("seeds.") for path in task.factor.fields) or task.control != "negative":
        what = "only a negative control that varies seeds alone can have own_seeds"
        raise SpecError([source.fault(("factor", "own_seeds"), what)])
    replicates = next(iter(levels.values())).replicates
    for path in task.factor.fields:
        seeds = sorted(getattr(preset.settings.seeds, path.removeprefix("seeds.")) for preset in levels.values())
        if any(b - a < replicates for a, b in itertools.pairwise(seeds)):
            what = f"{path}: {replicates} replicates of two levels would share seeds; take levels further apart"
            raise SpecError([source.fault(("factor", "levels"), what)])


def _check_promises(task: Task, source: YamlSource, levels: Mapping[str, Preset], chosen: YamlSource) -> None:
    """Refuse requests of a task or an option that this plan cannot meet; report all of them at once."""
    faults = []
    first = next(iter(levels.values()))
    if (share := task.factor.matched) is not None:
        sizes = {
            level: parameters(preset.settings.model, preset.settings.tokenizer.vocabulary)
            for level, preset in levels.items()
        }
        if max(sizes.values()) > min(sizes.values()) * (1 + share):
            shown = ", ".join(f"{level} {size:,}" for level, size in sizes.items())
            faults.append(
                source.fault(("factor", "matched"), f"numbers of parameters differ by more than {share:g}: {shown}")
            )
    if (n := len(levels) * first.replicates) > MAX_VARIANTS:
        what = f"{n:,} variants are too many, {MAX_VARIANTS:,} are allowed: take fewer replicates or levels"
        faults.append(chosen.fault(("replicates",), what))
    if task.factor.crossed and first.replicates > 1:
        what = f"{task.name} has one model in each cell of its crossing; set `replicates: 1`"
        faults.append(chosen.fault(("replicates",), what))
    if first.split.level == "unseen_replicate":
        key = ("split", "level")
        if first.replicates < 2:
            faults.append(chosen.fault(key, f"unseen_replicate needs 2 replicates or more, not {first.replicates}"))
        if no_trace(task):
            what = f"{task.name} varies a seed, and its levels have no meaning across replicates: take unseen_prompt"
            faults.append(chosen.fault(key, what))
    if first.analysis.strangers and not (levels_are_ancestors(task) and first.replicates > 1):
        why = "needs 2 replicates or more" if levels_are_ancestors(task) else "is for tasks whose levels are ancestors"
        what = f"analysis.strangers {why}: base_id, base_far_id, teacher_id and teacher_same_init_id, or one like them"
        faults.append(chosen.fault(("analysis", "strangers"), what))
    if first.analysis.shares and first.replicates > 1 and first.split.level != "unseen_prompt" and not no_trace(task):
        what = "analysis.shares mixes texts of models that attributors have learnt from: take split.level unseen_prompt"
        faults.append(chosen.fault(("analysis", "shares"), what))
    sampling = first.settings.sampling
    if any(path.startswith("tokenizer.") for path in task.factor.fields) and (sampling.top_k or sampling.top_p < 1):
        # A text is scored in other tokens than it was drawn in, so even its own model may find it impossible.
        what = "tokenizers differ, so a truncated sampler gives no likelihoods: take top_k 0 and top_p 1"
        faults.append(chosen.fault(("settings", "sampling", "top_k" if sampling.top_k else "top_p"), what))
    if (
        task.factor.fields == ("budget.batch",)
        and len({preset.settings.tokens_trained for preset in levels.values()}) > 1
    ):
        what = "batch sizes must divide the token budget, or the models would not read the same data"
        faults.append(source.fault(("factor", "levels"), what))
    if faults:
        raise SpecError(faults)


def _variants(task: Task, every: Sequence[Mapping[str, Preset]]) -> tuple[Variant, ...]:
    factor = task.factor
    nuisance = [name for name in SeedsSpec.model_fields if factor.own_seeds or f"seeds.{name}" not in factor.fields]
    variants = []
    for replicate, levels in enumerate(every):
        for level, preset in levels.items():
            seeds = preset.settings.seeds
            if task.nuisance:
                settings = preset.settings
            elif preset.settings.source.trained:
                shifted = seeds.model_copy(update={name: getattr(seeds, name) + replicate for name in nuisance})
                settings = preset.settings.model_copy(update={"seeds": shifted})
            else:
                spec = preset.settings.source
                named = spec.model_copy(update={"replicate": sources.replicates(spec)[replicate]})
                settings = preset.settings.model_copy(update={"source": named})
            variants.append(Variant(level=level, replicate=replicate, settings=settings))
    return tuple(variants)
