"""A classifier's way onto the leaderboard: its scores on the fixed texts, and the rank that they would take.

The scores are written to the folder of the baseline as `results.json`, which is not part of its digest. Texts,
labels and code are public, so anyone can compute the scores again; `differences` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from natfp_bench.attributors.code_digest import RESULTS
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import disk, resources
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import AttributorError, UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline import ladder
from natfp_bench.pipeline.engine import Engine, Watch
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics.intervals import Interval

from .leaderboard import AttributorMean
from .over_models import TaskAccuracy, mean_over_models, ranks_over_models
from .protocols import Protocol

TOLERANCE = 0.01
"""Tolerated difference of accuracy, identifiability and bits: sums of floats differ between machines."""

COMPARED = ("accuracy", "identifiability", "bits")

SPLITS = (UNSEEN_REPLICATE, SEEN_REPLICATE, UNSEEN_PROMPT)

PACKAGES = ("natfp_bench", "numpy", "scikit-learn", "tokenizers", "torch", "transformers")


class SplitScore(Record):
    """Scores on one split; by_variant: accuracy on the texts of each variant."""

    chance: float
    accuracy: Interval
    identifiability: Interval
    bits: Interval
    by_variant: dict[str, float]


class TaskScore(Record):
    """Scores on one task; texts: digest of the fixed texts; control: a control does not count for ranks.

    unseen: on unseen replicates, None if the task holds none out; seen: on unseen prompts of seen models.
    """

    texts: str
    control: bool
    unseen: SplitScore | None
    seen: SplitScore


class Submission(Record):
    """The whole of a baseline's `results.json`; digest: of its code (`code_digest`); scores: by task.

    sandboxed: whether its code ran in a sandbox, on all tasks. Texts and labels are public, so this is what its authors
    say of themselves.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    name: str
    version: str
    digest: str
    packages: dict[str, str]
    sandboxed: bool = False
    scores: dict[str, TaskScore]


class RankLine(Record):
    """One line of the ranking, by each figure as on the leaderboard (`over_models`); None if no task has it."""

    name: str
    unseen: AttributorMean | None
    seen: AttributorMean


class Ranking(Record):
    """The ranks of a submission among the bundled baselines, over its tasks without controls, the best first.

    left_out: bundled baselines without scores for these tasks, these texts and their current code, each with its
    reason.
    """

    tasks: tuple[str, ...]
    places: tuple[RankLine, ...]
    left_out: dict[str, str]


def tasks_with_texts(names: Sequence[str] = ()) -> list[str]:
    """Tasks that have fixed texts, or the named ones; raises UserError if a named task has none."""
    for name in names:
        fixed_texts.check_offered(name)
    return list(dict.fromkeys(names)) or sorted(fixed_texts.read_manifest(resources.fixed_texts()).tasks)


def score_on_fixed_texts(
    baseline: Baseline,
    tasks: Sequence[str],
    store: Store,
    engine: Engine,
    output: Path,
    watch: Watch,
    sandbox: str = "on",
) -> list[tuple[Result, Path]]:
    """Score a baseline on the fixed texts of some tasks; returns each result with its folder."""
    shared: dict[str, Any] = {"store": store, "engine": engine, "output": output, "device": "cpu", "watch": watch}
    plans = [fixed_texts.make_fixed_plan(task) for task in tasks]
    return [run_plan(plan, [baseline], **shared, sandbox=sandbox) for plan in plans]


def submission(baseline: Baseline, found: Sequence[Result]) -> Submission:
    """Make a baseline's `results.json` from its results; raises AttributorError if it failed on a task."""
    scores = {}
    for result in found:
        protocol = Protocol([(Path(), result)])
        if error := protocol.main[baseline.name].error:
            raise AttributorError(f"{baseline.name} failed on {result.task.name}: {error}")
        by_split = {split: _split_score(of[baseline.name]) for split in SPLITS if (of := protocol.level(split))}
        scores[result.task.name] = TaskScore(
            texts=result.fixed_texts or (result.samples.digest if result.samples else ""),
            control=result.task.control is not None,
            unseen=by_split.get(UNSEEN_REPLICATE),
            seen=by_split.get(SEEN_REPLICATE) or by_split[UNSEEN_PROMPT],
        )
    versions = environment()
    return Submission(
        name=baseline.name,
        version=baseline.card.version,
        digest=baseline.digest,
        sandboxed=all(baseline.name in result.run.sandboxed for result in found),
        packages={"python": str(versions["python"]), **{name: str(versions[name]) for name in PACKAGES}},
        scores=dict(sorted(scores.items())),
    )


def _split_score(score: Score) -> SplitScore:
    metrics = {name: score.metrics[name] for name in COMPARED}
    return SplitScore(chance=score.chance, by_variant=score.by_variant, **metrics)


def kept_scores(baseline: Baseline, tasks: Sequence[str]) -> dict[str, TaskScore]:
    """Scores in a baseline's folder on other tasks than these, which stay when those of these tasks are written.

    Raises UserError, before anything is computed, if they are of other code, if the file there is no `results.json` of
    a submission, or if the baseline asks for knowledge.
    """
    ladder.require_texts(baseline, "fixed texts come with labels alone; natfp-bench run gives knowledge")
    path = baseline.folder / RESULTS
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return {}
    try:
        old = read(path)
    except UserError as error:
        raise UserError(f"{error}\n  it would be overwritten: move it away, or remove it") from None
    kept = {task: score for task, score in old.scores.items() if task not in tasks}
    if kept and old.digest != baseline.digest:
        raise UserError(
            f"{path} has scores of other code, which cannot stay beside new ones: {', '.join(kept)}\n"
            "  leave --task out to score all tasks again, or remove the file"
        )
    return kept


def write(made: Submission, folder: Path) -> Path:
    """Write `results.json` into a baseline's folder; raises UserError if it cannot be written."""
    path = folder.absolute() / RESULTS
    with disk.disk_faults(path.parent, "folder"), disk.whole(path) as fresh:
        fresh.write_text(made.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Submission:
    """Read a `results.json`; raises UserError if it is missing or damaged, or names what no fixed text is of."""
    try:
        found = Submission.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})\n  natfp-bench baseline submit writes it") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged{f' at {where}' if where else ''} ({first['msg']})") from None
    known = fixed_texts.read_manifest(resources.fixed_texts()).tasks
    for task, score in found.scores.items():
        if task not in known:
            raise UserError(f"{path}: damaged at scores ({task!r} has no fixed texts)")
        variants = {variant.name for variant in known[task].variants}
        for side in (score.unseen, score.seen):
            if side is not None and side.by_variant.keys() != variants:
                raise UserError(f"{path}: damaged at scores.{task} (by_variant names other variants)")
    return found


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
        try:
            rival = read(path)
        except UserError:
            left_out[baseline.name] = f"its {RESULTS} cannot be read"
            continue
        lacking = [task for task in tasks if task not in rival.scores]
        if rival.digest != baseline.digest:
            left_out[baseline.name] = "its scores are from other code"
        elif lacking:
            left_out[baseline.name] = f"no scores for {', '.join(lacking)}"
        elif any(rival.scores[task].texts != made.scores[task].texts for task in tasks):
            left_out[baseline.name] = "its scores are for other texts"
        else:
            rivals.append(rival)
    unseen, seen = (_means(rivals, tasks, side) for side in ("unseen", "seen"))
    places = [RankLine(name=name, unseen=unseen.get(name), seen=mean) for name, mean in seen.items()]

    def height(line: RankLine) -> float:
        return (line.unseen or line.seen).identifiability.value

    return Ranking(tasks=tasks, places=tuple(sorted(places, key=lambda of: (-height(of), of.name))), left_out=left_out)


def _means(
    rivals: Sequence[Submission], tasks: Sequence[str], side: Literal["unseen", "seen"]
) -> dict[str, AttributorMean]:
    """Mean identifiability of each rival on one side of the tasks that have it, and its rank."""
    manifest = fixed_texts.read_manifest(resources.fixed_texts()).tasks if tasks else {}
    given: dict[str, list[TaskAccuracy]] = {}
    for rival in rivals:
        for task in tasks:
            score: SplitScore | None = getattr(rival.scores[task], side)
            if score is not None:
                models = {variant.name: variant.model for variant in manifest[task].variants}
                names = sorted(score.by_variant)
                accuracy = [score.by_variant[name] for name in names]
                levels = [name.rpartition("/r")[0] for name in names]
                one = TaskAccuracy(score.chance, accuracy, [models[name] for name in names], levels)
                given.setdefault(rival.name, []).append(one)
    ranks = ranks_over_models(given)
    return {
        name: AttributorMean(identifiability=mean_over_models(own), rank=ranks.get(name), tasks=len(own))
        for name, own in given.items()
    }


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
        if ours.texts != theirs.texts or (ours.unseen is None) != (theirs.unseen is None):
            found.append(f"{task}: the submitted scores are for other texts")
            continue
        for side, one, other in (("unseen", ours.unseen, theirs.unseen), ("seen", ours.seen, theirs.seen)):
            for name in COMPARED if one and other else ():
                mine, submitted = getattr(one, name).value, getattr(other, name).value
                if abs(mine - submitted) > TOLERANCE:
                    found.append(f"{task}, {side} models: {name} is {mine:.3f}, but submitted was {submitted:.3f}")
    return sorted(found)
