"""A classifier's way onto the leaderboard: its scores on the fixed texts, and the rank that they would take.

The scores are written to the folder of the baseline as `results.json`, which is not part of its digest. Texts,
labels and code are public, so anyone can compute the scores again; `differences` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field, ValidationError

from natfp_bench.attributors.code_digest import RESULTS
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import resources
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import AttributorError, UserError, unknown
from natfp_bench.base.records import Record
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline.engine import Engine, Watch
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store
from natfp_bench.statistics.intervals import Interval

from .protocols import Protocol

TOLERANCE = 0.01
"""Tolerated difference of accuracy, identifiability and bits: sums of floats differ between machines."""

PACKAGES = ("natfp_bench", "numpy", "scikit-learn", "tokenizers", "torch", "transformers")


class TaskScore(Record):
    """Scores on one task; texts: digest of the fixed texts; control: a control does not count for ranks."""

    texts: str
    split: str
    control: bool
    accuracy: Interval
    identifiability: Interval
    bits: Interval


class Submission(Record):
    """The whole of a baseline's `results.json`; digest: of its code (`code_digest`); scores: by task."""

    schema_: Literal[1] = Field(1, alias="schema")
    name: str
    version: str
    digest: str
    packages: dict[str, str]
    scores: dict[str, TaskScore]

    def mean(self, tasks: Sequence[str]) -> float:
        """Mean identifiability over some tasks, rounded to twelve digits so that rounding errors break no ties."""
        return round(fmean(self.scores[task].identifiability.value for task in tasks), 12)


class RankLine(Record):
    """One line of the ranking; rank: 1 + number of baselines with a higher mean identifiability."""

    rank: int
    name: str
    identifiability: float


class Ranking(Record):
    """The rank of a submission among the bundled baselines, over its tasks without controls.

    left_out: bundled baselines without scores for these tasks, these texts and their current code, each with its
    reason.
    """

    tasks: tuple[str, ...]
    places: tuple[RankLine, ...]
    left_out: dict[str, str]


def tasks_with_texts(names: Sequence[str] = ()) -> list[str]:
    """Tasks that have fixed texts, or the named ones; raises UserError if a named task has none."""
    known = fixed_texts.read_manifest(resources.fixed_texts()).tasks
    for name in names:
        if name not in known:
            raise unknown("task with fixed texts", name, known)
    return list(dict.fromkeys(names)) or sorted(known)


def score_on_fixed_texts(
    baseline: Baseline, tasks: Sequence[str], store: Store, engine: Engine, output: Path, watch: Watch
) -> list[Result]:
    """Score a baseline on the fixed texts of some tasks, in a worker within the limits of its card."""
    plans = [fixed_texts.make_fixed_plan(task) for task in tasks]
    return [
        run_plan(plan, [baseline], store=store, engine=engine, output=output, device="cpu", watch=watch)[0]
        for plan in plans
    ]


def submission(baseline: Baseline, found: Sequence[Result]) -> Submission:
    """Make a baseline's `results.json` from its results; raises AttributorError if it failed on a task."""
    scores = {}
    for result in found:
        score = Protocol([(Path(), result)]).main[baseline.name]
        if score.error:
            raise AttributorError(f"{baseline.name} failed on {result.task.name}: {score.error}")
        scores[result.task.name] = TaskScore(
            texts=result.fixed_texts or "",
            split=score.split,
            control=result.task.control is not None,
            **{name: score.metrics[name] for name in ("accuracy", "identifiability", "bits")},
        )
    versions = environment()
    return Submission(
        name=baseline.name,
        version=baseline.card.version,
        digest=baseline.digest,
        packages={"python": str(versions["python"]), **{name: str(versions[name]) for name in PACKAGES}},
        scores=dict(sorted(scores.items())),
    )


def write(made: Submission, folder: Path) -> Path:
    """Write `results.json` into a baseline's folder; raises UserError if it cannot be written."""
    path = folder / RESULTS
    try:
        path.write_text(made.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def read(path: Path) -> Submission:
    """Read a `results.json`; raises UserError if it is missing or damaged."""
    try:
        return Submission.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})\n  natfp-bench baseline submit writes it") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged{f' at {where}' if where else ''} ({first['msg']})") from None


def ranking(made: Submission, baselines: Sequence[Baseline]) -> Ranking:
    """Rank a submission among some baselines, by the scores in their folders."""
    tasks = tuple(name for name, score in made.scores.items() if not score.control)
    rivals, left_out = [made], {}
    for baseline in baselines if tasks else ():
        if baseline.name == made.name:
            continue
        path = baseline.folder / RESULTS
        if not path.is_file():
            left_out[baseline.name] = f"no {RESULTS}"
            continue
        rival = read(path)
        lacking = [task for task in tasks if task not in rival.scores]
        if rival.digest != baseline.digest:
            left_out[baseline.name] = "its scores are from other code"
        elif lacking:
            left_out[baseline.name] = f"no scores for {', '.join(lacking)}"
        elif any(rival.scores[task].texts != made.scores[task].texts for task in tasks):
            left_out[baseline.name] = "its scores are for other texts"
        else:
            rivals.append(rival)
    means = {rival.name: rival.mean(tasks) for rival in rivals} if tasks else {}
    places = [
        RankLine(rank=1 + sum(other > mean for other in means.values()), name=name, identifiability=mean)
        for name, mean in means.items()
    ]
    return Ranking(tasks=tasks, places=tuple(sorted(places, key=lambda of: (of.rank, of.name))), left_out=left_out)


def differences(made: Submission, claimed: Submission) -> list[str]:
    """List the differences between the scores of a submission, computed again, and the submitted ones."""
    found = [
        f"{what}: {ours}, but submitted: {theirs}"
        for what, ours, theirs in (
            ("name", made.name, claimed.name),
            ("version", made.version, claimed.version),
            ("digest of the code", made.digest, claimed.digest),
            ("tasks", ", ".join(made.scores), ", ".join(claimed.scores)),
        )
        if ours != theirs
    ]
    for task in made.scores.keys() & claimed.scores.keys():
        ours, theirs = made.scores[task], claimed.scores[task]
        if (ours.texts, ours.split) != (theirs.texts, theirs.split):
            found.append(f"{task}: the submitted scores are for other texts")
            continue
        for name in ("accuracy", "identifiability", "bits"):
            one, other = getattr(ours, name).value, getattr(theirs, name).value
            if abs(one - other) > TOLERANCE:
                found.append(f"{task}: {name} is {one:.3f}, but submitted was {other:.3f}")
    return sorted(found)
