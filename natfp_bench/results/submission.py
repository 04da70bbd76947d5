"""A classifier's way onto the leaderboard: a folder to begin with, scores on the fixed texts, the rank they would take.

The scores lie in the folder as `results.json`, which is no part of the folder's digest. Texts, labels and code are
public, so that anyone can compute them again; `differences` says whether they came out the same.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field, ValidationError

from natfp_bench.attributors import registry
from natfp_bench.attributors.registry import RESULTS, Baseline
from natfp_bench.base import resources
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import AttributorError, UserError, unknown
from natfp_bench.base.records import Record
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline.engine import Engine, Watch
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store
from natfp_bench.statistics.metrics import Interval

from .protocols import Protocol

TEMPLATES = Path(__file__).parents[1] / "attributors" / "template"
"""What `baseline new` writes, `$name` put in."""

TOLERANCE = 0.01
"""How far accuracy, identifiability and bits may be from the submitted ones: other machines add floats otherwise."""

PACKAGES = ("natfp_bench", "numpy", "scikit-learn", "tokenizers", "torch", "transformers")


class TaskScore(Record):
    """What was reached on one task; texts: digest of the fixed texts; control: whether the task counts for no rank."""

    texts: str
    split: str
    control: bool
    accuracy: Interval
    identifiability: Interval
    bits: Interval


class Submission(Record):
    """The whole of a folder's `results.json`; digest: of the folder's other files; scores by task."""

    schema_: Literal[1] = Field(1, alias="schema")
    name: str
    version: str
    digest: str
    packages: dict[str, str]
    scores: dict[str, TaskScore]

    def mean(self, tasks: Sequence[str]) -> float:
        """Mean identifiability over some tasks, to twelve digits, so that a tie is one whatever the rounding."""
        return round(fmean(self.scores[task].identifiability.value for task in tasks), 12)


class Place(Record):
    """One line of the ranking: 1 + how many have a higher mean identifiability."""

    rank: int
    name: str
    identifiability: float


class Ranking(Record):
    """Where a submission stands beside the bundled baselines, over its tasks, controls left out.

    left_out: bundled baselines without scores of these tasks, texts and their own code, each with its reason.
    """

    tasks: tuple[str, ...]
    places: tuple[Place, ...]
    left_out: dict[str, str]


def new(name: str, parent: Path) -> Path:
    """Write a working baseline to begin with; returns its folder.

    Raises UserError for a name that is none, or taken, and for a folder that exists or cannot be written.
    """
    registry.check_name(name)
    if name in {folder.name for folder in resources.baselines().iterdir()}:
        raise UserError(f"there is a bundled baseline {name!r} already\n  take another name")
    folder = parent / name
    try:
        folder.mkdir(parents=True)
        for template in sorted(TEMPLATES.iterdir()):
            text = string.Template(template.read_text(encoding="utf-8")).safe_substitute(name=name)
            (folder / template.name.removesuffix(".txt")).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UserError(f"{folder} exists\n  take another name, or another --output") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return folder


def tasks_with_texts(names: Sequence[str] = ()) -> list[str]:
    """Tasks that have fixed texts, or those named; raises UserError for one without."""
    known = fixed_texts.read_manifest(resources.fixed_texts()).tasks
    for name in names:
        if name not in known:
            raise unknown("task with fixed texts", name, known)
    return list(dict.fromkeys(names)) or sorted(known)


def score_on_fixed_texts(
    baseline: Baseline, tasks: Sequence[str], store: Store, engine: Engine, output: Path, watch: Watch
) -> list[Result]:
    """Score a baseline on the fixed texts of some tasks, in a worker within its card's limits."""
    plans = [fixed_texts.make_fixed_plan(task) for task in tasks]
    return [
        run_plan(plan, [baseline], store=store, engine=engine, output=output, device="cpu", watch=watch)[0]
        for plan in plans
    ]


def submission(baseline: Baseline, found: Sequence[Result]) -> Submission:
    """Make a baseline's `results.json` of its results; raises AttributorError where it failed on a task."""
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
    """Write `results.json` into a baseline's folder; raises UserError where that cannot be."""
    path = folder / RESULTS
    try:
        path.write_text(made.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def read(path: Path) -> Submission:
    """Read a `results.json`; raises UserError where it is none."""
    try:
        return Submission.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})\n  natfp-bench baseline submit writes it") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged{f' at {where}' if where else ''} ({first['msg']})") from None


def ranking(made: Submission, baselines: Sequence[Baseline]) -> Ranking:
    """Rank a submission beside the scores that lie in the folders of some baselines."""
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
            left_out[baseline.name] = "its scores are of other code"
        elif lacking:
            left_out[baseline.name] = f"no scores of {', '.join(lacking)}"
        elif any(rival.scores[task].texts != made.scores[task].texts for task in tasks):
            left_out[baseline.name] = "its scores are of other texts"
        else:
            rivals.append(rival)
    means = {rival.name: rival.mean(tasks) for rival in rivals} if tasks else {}
    places = [
        Place(rank=1 + sum(other > mean for other in means.values()), name=name, identifiability=mean)
        for name, mean in means.items()
    ]
    return Ranking(tasks=tasks, places=tuple(sorted(places, key=lambda of: (of.rank, of.name))), left_out=left_out)


def differences(made: Submission, claimed: Submission) -> list[str]:
    """Say in what a submission's scores, computed again, differ from those that are claimed."""
    found = [
        f"{what} is {ours}, submitted was {theirs}"
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
            found.append(f"{task}: the submitted scores are of other texts")
            continue
        for name in ("accuracy", "identifiability", "bits"):
            one, other = getattr(ours, name).value, getattr(theirs, name).value
            if abs(one - other) > TOLERANCE:
                found.append(f"{task}: {name} is {one:.3f}, submitted was {other:.3f}")
    return sorted(found)
