"""From labelled texts to a plan: the labels are the levels, and everything else comes from the preset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from natfp_bench.base.errors import UserError
from natfp_bench.base.yaml_source import scalar
from natfp_bench.plan.fields import MAX_LEVELS
from natfp_bench.plan.make_plan import overlaid
from natfp_bench.plan.plan import Plan, Variant
from natfp_bench.plan.task_files import Factor, Task
from natfp_bench.plan.text_settings import SourceSpec, TextsSpec

from . import labelled_texts

SECTIONS = ("analysis", "split")
"""Sections of a preset that matter for texts from files."""

LABELS = "--label-column names their column; files of plain text without it are labelled by their name or folder"


def plan_from_texts(
    spec: TextsSpec,
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Plan:
    """Plan to attribute texts to their labels, with equally many texts of each: as many as the rarest label has.

    limit: at most so many texts of each label. Raises UserError if a file or column is wrong, if there are fewer than
    two labels or too many, or if a label has too few texts for training and testing.
    """
    if wrong := [path for path in overrides or {} if path.split(".")[0] not in SECTIONS]:
        raise UserError(
            f"--set {wrong[0]} changes nothing: your texts come from no model that is made here\n  leave it out"
        )
    chosen = overlaid(preset, overrides or {})
    every = chosen.split.test_every
    read = labelled_texts.read(spec, every)
    found, paths = read.sides(every), ", ".join(spec.paths)
    if len(found) > MAX_LEVELS:
        raise UserError(f"{paths}: {len(found):,} labels found, at most {MAX_LEVELS} are allowed\n  {LABELS}")
    used = labelled_texts.balanced(found, every, limit)
    if used < (need := 2 * every):
        fewest = min(found, key=lambda label: min(found[label][0] // (every - 1), found[label][1]))
        train, test = found[fewest]
        what = f"{paths}: label {fewest!r} has {train} texts for training and {test} for testing"
        if limit is not None and labelled_texts.balanced(found, every) >= need:
            what = f"--limit {limit} leaves too few texts for training and testing"
        take = f"take at least {need} texts of each label, from {every} prompts or groups or more"
        raise UserError("\n  ".join([what, *read.removals(every), take]))
    plan = plan_from_labels(
        _name(spec), spec.label, list(found), preset, overrides=overrides, seed=seed, texts=used, given=spec
    )
    return plan.model_copy(update={"notes": read.removals(every)})


def plan_from_labels(
    name: str,
    column: str,
    labels: Sequence[str],
    preset: str,
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    texts: int,
    given: TextsSpec | None = None,
) -> Plan:
    """Plan to attribute texts to labels, with `texts` texts of each; given: None if the texts were read before."""
    chosen = overlaid(preset, overrides or {})
    task = Task(
        task=name,
        version=1,
        summary=f"Which {column} wrote a text?",
        tags=("texts",),
        factor=Factor(name=column, fields=("source.model",), levels={label: label for label in labels}),
    )
    variants = [
        Variant(
            level=label,
            replicate=0,
            settings=chosen.settings.model_copy(update={"source": SourceSpec(kind="texts", model=label)}),
        )
        for label in labels
    ]
    return Plan(
        task=task,
        preset=preset,
        seed=seed,
        overrides={path: scalar(text, shown=f"--set {path}={text}") for path, text in (overrides or {}).items()},
        split=chosen.split,
        analysis=chosen.analysis.model_copy(update={"transfer": False}),
        texts=texts,
        variants=tuple(variants),
        given=given,
    )


def _name(spec: TextsSpec) -> str:
    """A name for results: that of the first file, made safe as a file name."""
    first = Path(spec.paths[0].rpartition("=")[2]).name.split(".")[0]
    return "texts_" + (re.sub(r"[^A-Za-z0-9_-]+", "_", first).strip("_")[:50] or "given")
