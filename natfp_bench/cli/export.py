"""The commands `export` and `import-lm-eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError

from .options import RESULTS, Output, StoreRoot, command, one_of


def export(
    result: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="a result.json, or its folder; with distances: several")
    ],
    format_: Annotated[str, typer.Option("--format", help="csv, datasets, lm-eval or distances")],
    output: Annotated[Path, typer.Option("--output", "-o", help="a new or an empty folder")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="with lm-eval: number of test texts per class (default: 100)")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="with lm-eval: number of examples of each class (default: 2)")
    ] = None,
    store: StoreRoot = None,
) -> None:
    """Write the texts of a result for other tools, or the distances between its models.

    Texts become a table, a data set, or questions to a language model. Distances become a table of all pairs of models,
    with the tree that neighbour joining draws from them, in the Newick format.
    """
    from natfp_bench.base import disk
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import export as texts
    from natfp_bench.results import lm_eval_export, origin

    from . import terminal

    one_of("format", format_, ("csv", "datasets", "lm-eval", "distances"))
    if format_ != "lm-eval" and (limit or shots):
        raise UserError("--limit and --shots need --format lm-eval")
    if format_ == "distances":
        _distances(result, output)
        return
    if len(result) > 1:
        raise UserError(f"--format {format_} takes one result, and {len(result)} are given")
    path = origin.find_result(result[0])
    found = texts.gather(path, Store(store or default_root(), terminal.warner(terminal.stderr())))
    folder, out = texts.make_folder(output), terminal.stdout()
    if format_ == "lm-eval":
        asked = (limit or lm_eval_export.LIMIT, shots or lm_eval_export.SHOTS)
        with disk.disk_faults(folder, "output folder"):
            header = lm_eval_export.write_lm_eval(found, folder, *asked)
            disk.sync_all(folder)
        terminal.say(
            out,
            f"{folder}: {len(header.classes)} classes, {header.limit} questions per class, {header.shots} examples of "
            "each class in a question",
            "next:",
            *(f"  {line}" for line in lm_eval_export.next_commands(header, folder, str(result[0]))),
            wrap=False,
        )
    else:
        with disk.disk_faults(folder, "output folder"):
            (texts.write_csv if format_ == "csv" else texts.write_dataset)(found, folder)
            disk.sync_all(folder)
        variants = set(found.texts["variant"].to_pylist())
        terminal.say(out, f"{folder}: {len(found.texts):,} texts by {len(variants)} variants", wrap=False)


def _distances(paths: list[Path], output: Path) -> None:
    """Write the distances of all results that are found."""
    from natfp_bench.base import disk
    from natfp_bench.pipeline import result_files
    from natfp_bench.results import distances
    from natfp_bench.results.export import make_folder

    from . import terminal

    results = [result_files.read(path) for path in result_files.find(paths)]
    if not results:
        raise UserError("no results found\n  natfp-bench run --task seed_id   makes one")
    distances.distance_rows(results)  # what cannot be measured is refused before anything is written
    folder = make_folder(output)
    with disk.disk_faults(folder, "output folder"):
        pairs = distances.write_distances(results, folder)
        disk.sync_all(folder)
    trees = f"{len(results)} {'tree' if len(results) == 1 else 'trees'}"
    terminal.say(terminal.stdout(), f"{folder}: {pairs:,} distances between pairs of models, {trees}", wrap=False)


def import_lm_eval(
    given: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="a results_*.json of lm-eval, or a folder that contains it")
    ],
    result: Annotated[Path, typer.Option(help="the result that was exported")],
    output: Output = RESULTS,
    name: Annotated[str | None, typer.Option(help="name of the model on the leaderboard (default: its own)")] = None,
) -> None:
    """Score a language model on exported questions.

    Its result goes to the folder for results, and so onto the leaderboard.
    """
    from natfp_bench.pipeline import run
    from natfp_bench.report.leaderboard_tables import board_table
    from natfp_bench.results import protocols
    from natfp_bench.results.lm_eval_import import import_output
    from natfp_bench.results.origin import find_result

    from . import terminal

    path = find_result(result)
    made, predictions = import_output(given, path, name=name, command=command())
    folder = run.write(made, predictions, output.absolute())
    board = next(
        board
        for board in protocols.boards([path, folder / "result.json"])[0]
        if (board.protocol_digest, board.target) == (made.protocol_digest, "level")
        and board.split == made.scores[0].split
    )
    out = terminal.stdout()
    terminal.print_table(out, board_table(board))
    if made.subset:
        terminal.say(
            out,
            f"This is a separate board, because the model was asked about {made.subset} test texts per class only. "
            "Everybody on it is scored on the same texts.",
        )
    terminal.say(out, f"written to {folder}", wrap=False)
