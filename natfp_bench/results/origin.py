"""From a result back to its texts: the result file, its sample sets in a store, and the command that remakes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Result, VariantResult
from natfp_bench.pipeline.sources.kind import source_kind
from natfp_bench.pipeline.stages.sample import SampleStage
from natfp_bench.pipeline.stages.stage import KnownModel
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.settings import Settings


def find_result(given: Path) -> Path:
    """Find the one `result.json` of a file or folder; raises UserError if there is none, or several."""
    none = f"no result in {given}\n  natfp-bench run --task seed_id   makes one"
    return the_only(results.find([given]), given, "results", none)


def the_only(found: Sequence[Path], given: Path, what: str, none: str) -> Path:
    """Return the one path that was found; raises UserError if there is none (then this is said), or several."""
    if not found:
        raise UserError(none)
    if len(found) > 1:
        listed = "\n  ".join(str(path) for path in found[:5])
        raise UserError(f"{given} holds {len(found)} {what}, but this command takes one:\n  {listed}")
    return found[0]


NAMES_TASKS = ("--task", "--tasks", "--tag", "--tags")
"""Options of commands that name tasks, each with a value."""


def remake(result: Result) -> str:
    """The command that makes the texts of a result again: the one that made them, if it is known, for this task."""
    if result.run.command:
        return shlex.join(_alone(result.run.command, result.task.name))
    if {of.source for of in result.variants} == {"texts"}:
        return "natfp-bench texts FILES"
    command = ["natfp-bench", "run", "--task", result.task.name]
    if result.fixed_texts:
        return shlex.join([*command, "--fixed-texts"])
    command += ["--preset", result.preset]
    for name, value in result.overrides.items():
        command += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    replicates = len({of.replicate for of in result.variants})
    if replicates > 1 and {of.source for of in result.variants} == {"train"}:
        command += ["--replicates", str(replicates)]
    if result.seed:
        command += ["--seed", str(result.seed)]
    if result.samples and result.samples.per_variant != result.variants[0].settings["sampling"]["texts"]:
        command += ["--limit", str(result.samples.per_variant)]
    return shlex.join(command)


def _alone(command: Sequence[str], task: str) -> list[str]:
    """The same command for one task, where it names tasks or tags."""
    kept, words = list[str](), iter(command)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in NAMES_TASKS:
            kept.append(word)
            continue
        if not equals:
            next(words, None)
        if "--task" not in kept:
            kept += ["--task", task]
    return kept


def settings_of(variant: VariantResult) -> Settings:
    """Settings of a variant, as they were written; raises UserError if another version wrote them."""
    try:
        return Settings.model_validate_json(json.dumps(variant.settings))
    except ValidationError as error:
        raise UserError(
            f"{variant.name}: settings of another version ({error.errors()[0]['msg']})\n  use the version that wrote it"
        ) from None


def sample_stages(
    result: Result, variants: Sequence[VariantResult], store: Store, *, include: Sequence[Path] = ()
) -> list[tuple[SampleStage, ...]]:
    """Sample sets of some variants of a result, all in the store; fixed texts are copied into it.

    Raises UserError if the store lacks any, or if the fixed texts have changed, with the command that remakes them.
    """
    if result.fixed_texts:
        plan = fixed_texts.make_fixed_plan(result.task.name, include=include)
        if plan.fixed_texts != result.fixed_texts:
            raise UserError(
                f"the fixed texts of {result.task.name} have changed since this result\n"
                f"  {remake(result)}   gives a result for the current ones"
            )
        installed = {of.variant.name: of.samples for of in fixed_texts.install(plan, store)}
        return [installed[variant.name] for variant in variants]
    texts = result.samples.per_variant if result.samples else 0
    made = [settings_of(of) for of in variants]
    if any(of.source.kind != "texts" and not 0 < texts <= of.sampling.texts for of in made):
        raise UserError(f"the result is damaged: {texts} texts per variant are impossible (samples.per_variant)")
    found = [
        source_kind(own.source.kind).samples(KnownModel(of.key), own, result.seed, texts)
        for own, of in zip(made, variants, strict=True)
    ]
    lacking = [
        of.name
        for of, wanted in zip(variants, found, strict=True)
        if any(store.open(stage.kind, stage.key) is None for stage in wanted)
    ]
    if lacking:
        raise UserError(
            f"the texts of {', '.join(lacking)} are not in the store {store.root}\n"
            f"  {remake(result)}   makes them again; --store names another store"
        )
    return found
