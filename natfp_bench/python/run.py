"""Runs from Python: of tasks, of curves, and of texts that exist already."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from natfp_bench import api
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import canonical_json
from natfp_bench.pipeline.curve_result import NAME
from natfp_bench.plan.plan import Plan

from .answers import Curve
from .finished import Result, Results
from .progress import plain_errors, watching

Names = str | Path | Sequence[str | Path]


class Where(TypedDict, total=False):
    """How and where plans run: arguments that change no figure, baselines and parity apart."""

    baselines: Names
    store: Path | str | None
    output: Path | str
    device: str
    workers: int | None
    engine: str
    ray_address: str | None
    sandbox: str
    parity: Sequence[str] | None
    progress: bool


class CurveWhere(TypedDict, total=False):
    """Where a curve runs: arguments that change no figure."""

    output: Path | str
    device: str
    workers: int | None
    engine: str
    ray_address: str | None
    sandbox: str


class Options(Where, total=False):
    """All arguments of `run` beside the task."""

    tags: Sequence[str]
    preset: str
    corpus: str | None
    settings: Mapping[str, Any] | None
    seed: int
    limit: int | None
    replicates: int | None
    fixed_texts: bool
    include: Sequence[Path | str]


@overload
def run(task: str, **options: Unpack[Options]) -> Result: ...
@overload
def run(task: list[str] | tuple[str, ...] = ..., **options: Unpack[Options]) -> Results: ...
@plain_errors
def run(
    task: str | Sequence[str] = (),
    *,
    tags: Sequence[str] = (),
    preset: str = "quick",
    baselines: Names = "fast",
    corpus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    fixed_texts: bool = False,
    include: Sequence[Path | str] = (),
    store: Path | str | None = None,
    output: Path | str = "results",
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    sandbox: str = "auto",
    parity: Sequence[str] | None = None,
    progress: bool = True,
) -> Result | Results:
    """Run tasks as `natfp-bench run` does: train models, sample texts from them, and attribute and rank.

    One task name gives one result; a list of names, or tags, gives a collection. Each result is also written to a
    folder below `output`. If a run is interrupted, the same call goes on where it stopped.

    Args:
        task: name of a task, or a list of names; `["all"]` stands for every task whose models are trained here.
        tags: also all tasks with one of these tags.
        preset: size of the experiment: `smoke`, `quick`, `standard` or `paper`.
        baselines: names and folders of classifiers, `fast` (all fast ones) or `all`.
        corpus: training text: `chronicle`, `text:PATH[,PATH...]` or `hf:NAME[/CONFIG]`.
        settings: dotted path -> value, for example `{"optimizer.lr": 2e-3}`.
        seed: of the whole experiment.
        limit: at most this many texts of each variant.
        replicates: runs of each level, instead of the preset's number.
        fixed_texts: train nothing, and score on the bundled texts.
        include: folders with more task and preset files.
        store: folder of the store; the default is $NATFP_STORE, else the user cache folder.
        output: folder for results.
        device: what models run on: `auto`, `cpu` or `cuda`.
        workers: number of worker processes; the default is one per core.
        engine: `local`, or `ray` (`pip install 'natfp-bench[ray]'`), which starts Ray on this machine until the run is
            done, or joins the cluster at `ray_address`.
        ray_address: address of a running Ray cluster; `auto` is the cluster of this machine.
        sandbox: `on`, `off`, or `auto`, which puts classifiers that are not bundled into a sandbox where the system has
            one.
        parity: also score the models by lm-eval, on held-out documents and on these tasks of lm-eval.
        progress: show what happens, on standard error or in the notebook.

    Returns:
        A `Result` for the name of one task, else `Results`.

    Raises:
        UserError: wrong input; before anything runs, if it can be known then.
        JobError: a job failed, and the input is not the reason.

    What failed in a run that went on (a model that diverged, an attributor, a check) is a Python warning, as is a
    damaged entry of the store.
    """
    one = isinstance(task, str)
    if one and (tags or task == "all"):
        raise UserError(f"{task!r} with tags, or 'all', stands for several tasks\n  give a list: run([{task!r}])")
    places = [Path(folder) for folder in include]
    names = [task] if isinstance(task, str) else [*task]
    chosen, left_out = api.find_tasks(names, tags=tags, include=places, fixed_texts=fixed_texts)
    overrides = _overrides(settings, corpus)
    if fixed_texts:
        if preset != "quick" or overrides or seed or limit or replicates:
            what = "preset, corpus, settings, seed, limit and replicates cannot be combined with fixed_texts"
            raise UserError(f"{what}\n  leave them out")
        plans = [api.plan_fixed_texts(name, include=places) for name in chosen]
    else:
        asked: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates, "include": places}
        plans = [api.plan_task(name, preset, overrides=overrides, **asked) for name in chosen]
    why = "left out, because they need models of the Hub, or models or text of yours"
    note = f"{why}: {', '.join(left_out)} (name them)"
    found = _run(
        plans,
        note if left_out else "",
        baselines=baselines,
        store=store,
        output=output,
        device=device,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        sandbox=sandbox,
        parity=parity,
        progress=progress,
    )
    return found[0] if one else found


@plain_errors
def sweep(
    task: str,
    over: Mapping[str, Sequence[Any]],
    *,
    preset: str = "quick",
    corpus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path | str] = (),
    **where: Unpack[Where],
) -> Results:
    """Run one task at every combination of some settings' values, as `natfp-bench sweep` does.

    Each combination is an ordinary run. Trainings go on from each other where the learning rate allows it; an
    interrupted sweep goes on where it stopped if it is called again. `trends` shows the curves.

    Args:
        task: name of the task.
        over: dotted path (or several, joined by `+`, that change together) -> values; `"x0.5"` is half of the preset's
            value: `{"budget.tokens": ["x0.5", "x1", "x2"], "model.width": [32, 64]}`.
        preset: size of the experiment.
        corpus: training text, as of `run`.
        settings: dotted path -> value, the same in every run.
        seed: of the whole experiment.
        limit: at most this many texts of each variant.
        replicates: runs of each level, instead of the preset's number.
        include: folders with more task and preset files.
        **where: `baselines`, `store`, `output`, `workers`, `sandbox`, `progress` and others, as of `run`.

    Returns:
        One result for each combination.

    Raises:
        UserError: a setting is unknown, is the task's factor, or has a value that does not fit.
        JobError: a job failed, and the input is not the reason.
    """
    plans = api.plan_sweep(
        task,
        {
            path: [one if isinstance(one, str) else canonical_json(one) for one in values]
            for path, values in over.items()
        },
        preset,
        overrides=_overrides(settings, corpus),
        seed=seed,
        limit=limit,
        replicates=replicates,
        include=[Path(folder) for folder in include],
    )
    return _run(plans, "", **where)


@plain_errors
def curve(
    task: str,
    texts: Sequence[int],
    *,
    baselines: Names | None = None,
    preset: str = "quick",
    corpus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path | str] = (),
    store: Path | str | None = None,
    progress: bool = True,
    **where: Unpack[CurveWhere],
) -> Curve:
    """Show how many training texts attributors need, as `natfp-bench curve` does.

    They learn from more and more texts of the same models, and are always tested on the test texts of the ordinary run.
    If it is interrupted, the same call goes on where it stopped. The result is also written to a folder below `output`.

    Args:
        task: name of the task.
        texts: numbers of training texts per model, in increasing order: `[250, 1000, 4000, 16000]`.
        baselines: names and folders of classifiers; the default is the reference attributor of the preset.
        preset: size of the experiment.
        corpus: training text, as of `run`.
        settings: dotted path -> value.
        seed: of the whole experiment.
        limit: at most this many texts of each model in the ordinary run, whose test texts these are.
        replicates: runs of each level, instead of the preset's number.
        include: folders with more task and preset files.
        store: folder of the store; the default is $NATFP_STORE, else the user cache folder.
        progress: show what happens, on standard error or in the notebook.
        **where: `output`, `device`, `workers`, `engine`, `ray_address` and `sandbox`, as of `run`.

    Raises:
        UserError: the numbers do not increase, or are too small or too large; or what `run` refuses.
        JobError: a job failed, and the input is not the reason.

    What failed in a curve that went on is a Python warning.
    """
    asked: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates}
    places = [Path(folder) for folder in include]
    overrides = _overrides(settings, corpus)
    planned = api.plan_curve(task, texts, preset, overrides=overrides, include=places, **asked)
    plan = planned.plan
    with watching(shown=progress) as (say, watch):
        most = f"up to {planned.texts[-1]} training texts each"
        say(f"{plan.task.name} ({plan.preset}): {len(plan.variants)} variants, {most}")
        try:
            record, folder = api.run_curve(
                planned,
                baselines=None if baselines is None else ",".join(_listed(baselines)),
                store=store,
                warn=lambda message: warnings.warn(message, stacklevel=2),
                watch=watch,
                **where,
            )
        except KeyboardInterrupt:
            say("interrupted; finished work is kept. To go on, run the same call again")
            raise
    for failure in record.failures:
        warnings.warn(f"{record.task.name}: {failure}", stacklevel=3)
    return Curve.at(record, folder / NAME)


@plain_errors
def run_texts(
    texts: str | Path | Sequence[str | Path],
    *,
    text_column: str = "text",
    label_column: str = "label",
    group_column: str | None = None,
    preset: str = "quick",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    **where: Unpack[Where],
) -> Result:
    """Attribute texts that exist already to their labels, as `natfp-bench texts` does. Nothing is trained.

    Args:
        texts: files, folders, or `LABEL=PATH`; tables have a column of texts and a column of labels.
        text_column: column of the text.
        label_column: column of the label that is guessed.
        group_column: column whose groups are never split between train and test.
        preset: its settings of the analysis are used.
        settings: dotted path -> value.
        seed: of the split and of the classifiers.
        limit: at most this many texts of each label.
        **where: `baselines`, `store`, `output`, `workers`, `sandbox`, `progress` and others, as of `run`.

    Raises:
        UserError: a file or a column is wrong, or a label has too few texts.
    """
    plan = api.plan_texts(
        _listed(texts),
        preset,
        text_column=text_column,
        label_column=label_column,
        group_column=group_column,
        overrides=_overrides(settings, None),
        seed=seed,
        limit=limit,
    )
    return _run([plan], "", **where)[0]


def _run(
    plans: Sequence[Plan],
    note: str,
    *,
    baselines: Names = "fast",
    store: Path | str | None = None,
    progress: bool = True,
    **how: Any,
) -> Results:
    """Run plans one after another, with live progress."""
    found: list[Result] = []
    with watching(shown=progress) as (say, watch):
        runs = api.run_plans(
            plans,
            baselines=",".join(_listed(baselines)),
            store=store,
            warn=lambda message: warnings.warn(message, stacklevel=2),
            watch=watch,
            **how,
        )
        try:
            if note:
                say(note)
            for plan in plans:
                say(f"{plan.task.name} ({plan.preset}): {len(plan.variants)} variants, {plan.texts} texts each")
                record, folder = next(runs)
                found.append(Result.at(record, folder / "result.json", store))
        except KeyboardInterrupt:
            say("interrupted; finished work is kept. To go on, run the same call again")
            raise
        finally:
            runs.close()
    for result in found:
        for failure in result.failures:
            warnings.warn(f"{result.task.name}: {failure}", stacklevel=4)
    return Results(found)


def _listed(given: str | Path | Sequence[str | Path]) -> list[str]:
    """One name, or several, as strings."""
    return [str(given)] if isinstance(given, str | Path) else [str(one) for one in given]


def _overrides(settings: Mapping[str, Any] | None, corpus: str | None) -> dict[str, str]:
    """Settings as YAML text."""
    found = {path: canonical_json(value) for path, value in (settings or {}).items()}
    return found if corpus is None else {**found, "corpus.name": canonical_json(corpus)}
