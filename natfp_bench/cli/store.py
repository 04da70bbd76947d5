"""The commands `store ls`, `verify` and `gc`: thin, as all of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError

app = typer.Typer(help="Look after the store of models, texts and predictions.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
Root = Annotated[Path | None, typer.Option("--store", help="default: $NATFP_STORE, else in the user's cache")]


@app.command("ls")
def ls(store: Root = None, as_json: Json = False) -> None:
    """List the entries of the store."""
    from natfp_bench.pipeline import store as stores

    from . import terminal

    found = list(stores.entries(store or stores.default_root()))
    if as_json:
        records = [{"kind": e.kind, "key": e.key, "bytes": e.bytes, "meta": e.meta, "made": e.made} for e in found]
        typer.echo(json.dumps(records, indent=1, ensure_ascii=False))
        return
    rows = [(e.kind, e.key[:12], f"{e.bytes:,}", str(e.made.get("at", "")), e.label) for e in found]
    terminal.stdout().print(terminal.table("", ("kind", "key", "bytes", "made", "what"), rows, right=("bytes",)))


@app.command("verify")
def verify(store: Root = None) -> None:
    """Hash every file of every entry; exit code 1 if anything is wrong."""
    from natfp_bench.pipeline import store as stores

    opened = stores.Store(_existing(store))
    findings = opened.verify()
    for finding in findings:
        typer.echo(f"{finding.path}: {finding.what}")
    typer.echo(f"{sum(1 for _ in stores.entries(opened.root))} entries, {len(findings)} findings")
    if findings:
        raise typer.Exit(1)


@app.command("gc")
def gc(
    store: Root = None,
    older_than: Annotated[float, typer.Option(min=0, help="days; what is younger stays")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="remove nothing")] = False,
) -> None:
    """Remove entries that no existing result rests on, old checkpoints, and what was set aside."""
    from natfp_bench.pipeline import store as stores

    removed = stores.Store(_existing(store)).gc(older_than_days=older_than, dry_run=dry_run)
    for path, size in removed:
        typer.echo(f"{path}: {size:,} bytes")
    done = "would be removed" if dry_run else "removed"
    typer.echo(f"{len(removed)} things, {sum(size for _, size in removed):,} bytes {done}")


def _existing(store: Path | None) -> Path:
    from natfp_bench.pipeline import store as stores

    root = store or stores.default_root()
    if not (root / "store.json").is_file():
        raise UserError(f"no store at {root}\n  --store, or $NATFP_STORE, names another")
    return root
