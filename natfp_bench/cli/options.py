"""Option types that several commands share, and how their values are parsed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

PresetOption = Annotated[str, typer.Option("--preset", "-p", help="size of the experiment (natfp-bench list presets)")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a setting (repeatable)")]
CorpusOption = Annotated[
    str | None, typer.Option(help="training text: chronicle, text:PATH[,PATH...] or hf:NAME[/CONFIG]")
]
Seed = Annotated[int, typer.Option(help="seed of the whole experiment")]
Limit = Annotated[int | None, typer.Option(help="use at most this many texts per variant, the first ones")]
Replicates = Annotated[
    int | None, typer.Option(help="runs of each level, instead of the preset's number; more find smaller effects")
]
Include = Annotated[list[Path] | None, typer.Option("--include-path", help="folder with more task and preset files")]
Workers = Annotated[int | None, typer.Option(help="number of worker processes (default: one per core)")]
Sandbox = Annotated[
    str, typer.Option(help="classifiers without network and files: auto (unless bundled), on or off; needs bubblewrap")
]
StoreRoot = Annotated[
    Path | None, typer.Option("--store", help="folder of the store (default: $NATFP_STORE, else the user cache folder)")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="folder for results")]
Results = Annotated[
    list[Path] | None, typer.Argument(help="result.json files, or folders that contain some (default: results/)")
]
ResultPath = Annotated[Path, typer.Argument(metavar="RESULT", help="a result.json, or its folder")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]
Details = Annotated[bool, typer.Option("--details", help="also print everything else that the result holds")]

RESULTS = Path("results")
"""Where results are written and looked for, unless an option says otherwise."""


def names(given: Iterable[str] | None) -> list[str]:
    """Split names that are separated by commas, in one option or in several."""
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def settings(given: Iterable[str] | None, corpus: str | None = None) -> dict[str, str]:
    """Split each `--set KEY=VALUE`, and add `--corpus`; raises UserError if one has another form."""
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UserError(f"--set {one}: not of the form KEY=VALUE\n  for example --set optimizer.lr=1e-3")
        found[name.strip()] = value.strip()
    return found if corpus is None else {**found, "corpus.name": json.dumps(corpus)}


def one_of(kind: str, word: str, known: Sequence[str]) -> None:
    """Raise UserError if an option has a value that is not known."""
    if word not in known:
        raise unknown(kind, word, known)


def command() -> list[str]:
    """The command as the user gave it, for results and messages."""
    return ["natfp-bench", *sys.argv[1:]]


BaselineOption = Annotated[str, typer.Option(help="names and folders of baselines (a,b), fast (all fast ones) or all")]
Device = Annotated[str, typer.Option(help="what models run on: auto, cpu or cuda")]
EngineOption = Annotated[str, typer.Option(help="where jobs run: local or ray")]
RayAddress = Annotated[
    str | None,
    typer.Option(help="address of a running Ray cluster, or auto (default: Ray is started on this machine)"),
]
