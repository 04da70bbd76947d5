"""The commands `export` and `import-lm-eval`: thin, as all of the command line."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

FORMATS = ("csv", "datasets", "lm-eval")

StoreRoot = Annotated[Path | None, typer.Option("--store", help="default: as of run")]


def export(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="result.json, or its folder")],
    format_: Annotated[str, typer.Option("--format", help="csv, datasets or lm-eval")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder that is empty, or not there yet")],
    limit: Annotated[int | None, typer.Option(min=1, help="lm-eval: test texts a class (default: 100)")] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="lm-eval: examples of each class (default: 2)")] = None,
    store: StoreRoot = None,
) -> None:
    """Write the texts of a result for other tools: a table, a data set, or questions to any language model."""
    from natfp_bench.pipeline.store import Store, default_root, storage_faults
    from natfp_bench.results import export as texts
    from natfp_bench.results import lm_eval_export
    from natfp_bench.results import origin as result_texts

    from .terminal import stderr

    if format_ not in FORMATS:
        raise unknown("format", format_, FORMATS)
    if format_ != "lm-eval" and (limit or shots):
        raise UserError("--limit and --shots shape questions\n  they go with --format lm-eval")
    path = result_texts.find_result(result)
    errors = stderr()
    opened = Store(store or default_root(), lambda text: errors.print(f"warning: {text}", markup=False))
    found = texts.gather(path, opened)
    folder = texts.make_folder(output)
    if format_ == "lm-eval":
        with storage_faults(folder, "output folder"):
            header = lm_eval_export.write_lm_eval(
                found, folder, limit or lm_eval_export.LIMIT, shots or lm_eval_export.SHOTS
            )
        name = lm_eval_export.group(header.task)
        typer.echo(f"{folder}: {header.limit} questions a class, {len(header.classes)} classes, shots: {header.shots}")
        ask = ["--include_path", str(folder), "--tasks", name, "--log_samples", "--output_path", "OUTPUT"]
        typer.echo(f"  lm_eval --model hf --model_args pretrained=NAME {shlex.join(ask)}")
        typer.echo(f"  natfp-bench import-lm-eval OUTPUT --result {shlex.quote(str(result))}")
    else:
        with storage_faults(folder, "output folder"):
            (texts.write_csv if format_ == "csv" else texts.write_dataset)(found, folder)
        typer.echo(f"{folder}: {len(found.texts):,} texts of {len(set(found.texts['variant'].to_pylist()))} variants")


def import_lm_eval(
    given: Annotated[Path, typer.Argument(metavar="OUTPUT", help="results_*.json of lm-eval, or a folder with it")],
    result: Annotated[Path, typer.Option(help="the result that was exported")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for results")] = Path("results"),
    name: Annotated[str | None, typer.Option(help="what to call the model (default: its own name)")] = None,
) -> None:
    """Score a language model on the questions of an export, and put it on the leaderboard."""
    from natfp_bench.pipeline import run as pipeline
    from natfp_bench.report.sheets import board_sheet
    from natfp_bench.results import protocols as boards
    from natfp_bench.results.lm_eval_import import import_output
    from natfp_bench.results.origin import find_result

    from . import terminal

    path = find_result(result)
    made, predictions = import_output(given, path, name=name, command=["natfp-bench", *sys.argv[1:]])
    folder = pipeline.write(made, predictions, output.absolute())
    board = next(
        board
        for board in boards.boards([path, folder / "result.json"])[0]
        if (board.protocol_digest, board.target) == (made.protocol_digest, "level")
        and board.split == made.scores[0].split
    )
    out = terminal.stdout()
    terminal.print_sheet(out, board_sheet(board))
    if made.subset:
        out.print(
            f"only {made.subset} test texts a class were asked about, so that this is a board of its own: everybody on "
            "it is scored on the same texts"
        )
    out.print(f"written to {folder}", markup=False, soft_wrap=True)
