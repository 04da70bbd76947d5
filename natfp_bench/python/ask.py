"""What finished runs say, from Python: results, leaderboards, a site, and who wrote given texts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from natfp_bench import api
from natfp_bench.base.errors import UserError, unknown
from natfp_bench.pipeline import curve_result
from natfp_bench.pipeline import result_files as records
from natfp_bench.pipeline.store import default_root

from . import frames
from .answers import Identification, Leaderboard
from .finished import Result, Results, shown_as
from .progress import plain_errors, watching

if TYPE_CHECKING:
    import pandas as pd

    from natfp_bench.attributors.registry import Baseline
    from natfp_bench.results.trends import Trend
    from natfp_bench.results.unlabelled_texts import GivenText

RESULTS = Path("results")
"""Where results are written and looked for, unless an argument says otherwise."""

Found = Path | str | Result | Sequence[Path | str | Result]
"""Results, `result.json` files, and folders that contain some."""


@plain_errors
def load_results(*paths: Path | str, store: Path | str | None = None) -> Results:
    """Read finished runs from `result.json` files, and from folders that contain some; the default is `results/`.

    Args:
        *paths: files and folders.
        store: folder of the store that has their models and texts; the default is $NATFP_STORE, else the user cache
            folder.

    Raises:
        UserError: a path does not exist, or a result is damaged or of another schema.
    """
    return Results([Result.at(records.read(path), path, store) for path in _files(paths or RESULTS)])


@plain_errors
def leaderboard(results: Found = RESULTS) -> Leaderboard:
    """Rank factors by identifiability, and attributors, as `natfp-bench leaderboard` does.

    Args:
        results: results, `result.json` files, or folders that contain some.

    Returns:
        The leaderboards of every setting, and the boards of every protocol. A file that cannot be used is skipped: it
        is a warning, and among the `faults`.

    Raises:
        UserError: no result can be used.
    """
    from natfp_bench.results.leaderboard import leaderboards

    found = leaderboards(_files(results))
    _skipped(found.faults)
    if not found.boards:
        raise UserError("no results found\n  natfp_bench.run('seed_id') makes some")
    return shown_as(Leaderboard, found)


@plain_errors
def trends(results: Found = RESULTS) -> list[Trend]:
    """Find the trends of results that differ in settings that were swept, as `natfp-bench leaderboard --trends` does.

    Args:
        results: results, `result.json` files, or folders that contain some.

    Returns:
        A trend for each task, preset, corpus and seed that has several points, with its lines and their fitted laws. A
        file that cannot be used is skipped, with a warning.

    Raises:
        UserError: a path does not exist.
    """
    from natfp_bench.results.protocols import read_protocols
    from natfp_bench.results.trends import trends_of

    protocols, faults = read_protocols(_files(results))
    _skipped(faults)
    return trends_of(protocols)


@plain_errors
def distances(results: Found = RESULTS) -> pd.DataFrame:
    """Measure how far the models of results are from each other, as `natfp-bench export --format distances` does.

    Args:
        results: results, `result.json` files, or folders that contain some.

    Returns:
        One row for each pair of models of a result: the mean KL divergence in bits per token of both directions, or
        where there are no likelihoods a classifier two-sample distance, each with its standard error over texts.
        `source_a` and `source_b` name a model that several results have in common; such pairs are there once.

    Raises:
        UserError: no result is found, or its models cannot be compared.
    """
    from natfp_bench.results.distances import COLUMNS, distance_rows

    read = [records.read(path) for path in _files(results)]
    if not read:
        raise UserError("no results found\n  natfp_bench.run('seed_id') makes some")
    return frames.frame(distance_rows(read), COLUMNS)


@plain_errors
def report(
    results: Found = RESULTS,
    output: Path | str | None = "site",
    *,
    figures: Path | str | None = None,
    only: Sequence[str] = (),
    overwrite: bool = False,
    store: Path | str | None = None,
) -> Path:
    """Make a static site of results, as `natfp-bench report -o` does: leaderboards, tasks, attributors and figures.

    Args:
        results: results, `result.json` files, or folders that contain some.
        output: folder of the site; None makes no site.
        figures: also write every figure as SVG and PDF to this folder.
        only: with `figures`: only those of these names; `*` stands for any text.
        overwrite: write into a folder that has other files.
        store: folder of the store that has the texts; the default is $NATFP_STORE, else the user cache folder.

    Returns:
        The first page of the site, or the folder of the figures if no site was asked for.

    Raises:
        UserError: no result can be used, or a folder cannot be written. A file that is skipped is a warning.
    """
    from natfp_bench.report import site

    if output is None and figures is None:
        raise UserError("report: say what to write\n  output='site', or figures='figures'")
    if only and figures is None:
        raise UserError("only= chooses figures, so it needs figures=FOLDER")
    curves = curve_result.find(Path(one) for one in _listed(results) if not isinstance(one, Result))
    given = [one for one in _listed(results) if isinstance(one, Result) or Path(one) not in curves]
    found = site.read(_files(given), Path(store) if store else default_root(), curves)
    _skipped(found.found.faults)
    made = list(site.pages(found))
    drawn = site.chosen_figures(made, [*only])
    if output is not None:
        rendered = site.render(made, site.written_by("called from Python"))
        site.write(rendered, Path(output), overwrite=overwrite)
    if figures is not None:
        site.write_figures(drawn, Path(figures), overwrite=overwrite)
    return Path(figures or "") if output is None else Path(output) / "index.html"


@plain_errors
def identify(
    result: Result | Path | str,
    texts: str | Sequence[str] = (),
    *,
    files: Sequence[Path | str] = (),
    baseline: str | Path | None = None,
    target: Literal["instance", "level"] = "instance",
    text_column: str = "text",
    include: Sequence[Path | str] = (),
    workers: int | None = None,
    store: Path | str | None = None,
    progress: bool = True,
) -> Identification:
    """Say which variant of a result most likely wrote some texts, as `natfp-bench identify` does.

    The answer also says whether a source that is none of the variants may have written them.

    Args:
        result: a result, its `result.json`, or its folder.
        texts: the texts themselves.
        files: files with more texts: plain text, or tables with a column of texts.
        baseline: name or folder of a classifier; the default is the best one of the result.
        target: what is guessed: `instance` (which variant) or `level`.
        text_column: column of the texts in tables.
        include: folders with more task and preset files.
        workers: number of worker processes; the default is one per core.
        store: folder of the store that has the texts of the result; the default is that of the result.
        progress: show what happens, on standard error or in the notebook.

    Raises:
        UserError: there are no texts, one is empty, or the store lacks the texts of the result.
    """
    from natfp_bench.results import identify as stage

    if target not in ("instance", "level"):
        raise unknown("target", target, ("instance", "level"))
    given = given_texts([texts] if isinstance(texts, str) else texts, files, text_column)
    named = _one_baseline(str(baseline)) if baseline else None
    path, root = (result.path, result.store) if isinstance(result, Result) else (Path(result), default_root())
    source = stage.open_source(
        path,
        target,
        Path(store) if store else root,
        include=[Path(folder) for folder in include],
        warn=lambda message: warnings.warn(message, stacklevel=4),
    )
    chosen = named or stage.choose(source)
    with closing(api.local_engine(workers)) as engine, watching(shown=progress) as (_, watch):
        found = stage.identify(source, chosen, given, engine, watch)
    return shown_as(Identification, found)


def given_texts(texts: Sequence[str], files: Sequence[Path | str], column: str) -> list[GivenText]:
    """Texts and files as `identify` reads them."""
    from natfp_bench.results import unlabelled_texts

    found = [unlabelled_texts.GivenText("text", place, text) for place, text in enumerate(texts, 1)]
    for one in found:
        if not one.text.strip():
            raise UserError(f"{one.place} is empty\n  an empty text is no evidence of who wrote it; leave it out")
    found += unlabelled_texts.read_all([str(file) for file in files], column)
    if not found:
        raise UserError("no text is given\n  give a list of texts, or files=[FILE, ...]")
    return found


def _one_baseline(given: str) -> Baseline:
    from natfp_bench.attributors import registry

    if len(found := registry.find(given)) > 1:
        raise UserError(f"baseline {given!r} names {len(found)} baselines\n  name one of them")
    return found[0]


def _files(given: Found) -> list[Path]:
    """The `result.json` files of results, files and folders, each once."""
    return records.find([one.path if isinstance(one, Result) else Path(one) for one in _listed(given)])


def _listed(given: Found) -> list[Path | str | Result]:
    return [given] if isinstance(given, str | Path | Result) else [*given]


def _skipped(faults: Sequence[str]) -> None:
    for fault in faults:
        warnings.warn(f"skipped: {fault}", stacklevel=4)
