"""Results made by hand: figures of attributors by task and split, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from natfp_bench.pipeline.result import (
    AttributorId,
    CorpusResult,
    Detectable,
    FactorResult,
    FactorStudy,
    Result,
    RunInfo,
    SampleResult,
    Score,
    TaskId,
    VariantResult,
)
from natfp_bench.statistics.intervals import Interval

VARIANTS = ("a/r0", "b/r0", "c/r0", "d/r0")

UNSEEN, SEEN, PROMPT = "unseen_replicate", "seen_replicate", "unseen_prompt"


def plain(value: float, spread: float | None = None) -> Interval:
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return Interval(value=value, low=low, high=high, method="t" if spread else "none", units="replicates", n_units=3)


def scored(name: str, split: str, value: float | None, **more: Any) -> Score:
    """A score of the level among four; `value`: its identifiability, None if the attributor failed."""
    access = "likelihood" if name in ("ceiling", "likelihood_reference") else "text"
    digest = more.pop("digest", f"code of {name}")
    rung = more.pop("knowledge", "weights" if access == "likelihood" else "texts")
    who = AttributorId(name=name, version="1", digest=digest, access=access, floor=name == "majority", knowledge=rung)
    given: dict[str, Any] = {"status": "failed", "error": "fit raised"}
    if value is not None:
        found = {
            "identifiability": plain(value, 0.01),
            "accuracy": plain(0.25 + 0.75 * value),
            "bits": plain(2 * value),
        }
        given = {"status": "ok", "metrics": found, "rank": 1 if access == "text" else None}
        # Replicates, or tenths of the prompts, that are all alike unless a test says otherwise.
        given["parts"] = more.pop("parts", (0.25 + 0.75 * value,) * (3 if split == UNSEEN else 10))
        given["by_variant"] = more.pop("by_variant", dict.fromkeys(VARIANTS, 0.25 + 0.75 * value))
    frame = {"split": split, "target": "level", "classes": ("a", "b", "c", "d"), "chance": 0.25}
    return Score(attributor=who, **frame, **given, **more)


def variant(name: str, key: str) -> VariantResult:
    """A variant of which only its name, and the key of its model, are known."""
    level, replicate = name.split("/r")
    unknown = {field: None for field, info in VariantResult.model_fields.items() if info.is_required()}
    told = {"name": name, "level": level, "replicate": int(replicate), "key": key, "source": "train", "status": "ok"}
    return VariantResult(**{**unknown, "settings": {}, **told})


def studied(**parts: Any) -> FactorStudy:
    return FactorStudy(reference="bayes", **{"detectable": Detectable(instance=0.4, factor=0.07), **parts})


Figures = dict[str, dict[str, float | None]]


def bare_result(scores: Sequence[Score], levels: Sequence[str], run: RunInfo, **changes: Any) -> Result:
    """A result with these scores and nothing else; `task__name` changes the name of its task."""
    values: dict[str, Any] = {
        "protocol_digest": "p" * 64,
        "overrides": {},
        "seed": 0,
        "task": TaskId(name="seed_id", version=1, digest="t" * 64, tags=(), control=None),
        "preset": "quick",
        "factor": FactorResult(name="seed", fields=("x",), levels=tuple(levels)),
        "corpus": CorpusResult(name="chronicle", digest="c" * 64, documents=1, bytes=1, tokens=1),
        "variants": (),
        "samples": SampleResult(
            per_variant=500, max_tokens=8, prompted=False, mean_tokens=8.0, ended=0.0, digest="s" * 64
        ),
        "scores": tuple(scores),
        "likelihood": (),
        "mean_kl": None,
        "study": None,
        "checks": (),
        "run": run,
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        values[section] = values[section].model_copy(update={key: value}) if key else value
    return Result(schema=1, **values)


def write_result(folder: Path, task: str, figures: Figures, scores: Sequence[Score] = (), **changes: Any) -> Path:
    """Write a result into a folder, from figures: split -> attributor -> identifiability; returns its file."""
    number = len(list(folder.iterdir()))
    run = RunInfo(
        id=f"run{number}",
        started=f"2026-01-01T00:00:{number:02}+00:00",
        command=("natfp-bench", "run"),
        seconds={"total": 1.0},
        work={},
        attributors={f"level/{name}": {"fit": 2.0, "predict": 0.5} for split in figures.values() for name in split},
        environment={"cores": 2},
    )
    made = [scored(name, split, at) for split, who in figures.items() for name, at in who.items()]
    own: dict[str, Any] = {
        "protocol_digest": f"protocol of {task}",
        "task__name": task,
        "factor__name": f"factor of {task}",
    }
    own["variants"] = tuple(variant(name, f"{task} {name}") for name in VARIANTS)
    result = bare_result([*made, *scores], "abcd", run, **{**own, "study": studied(), **changes})
    path = folder / f"{number}" / "result.json"
    path.parent.mkdir()
    path.write_text(result.to_json())
    return path
