"""The commands `store ls`, `store verify` and `store gc`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

from .options import Json, StoreRoot

if TYPE_CHECKING:
    from natfp_bench.pipeline.store import Store

app = typer.Typer(help="List, verify and clean the store.", no_args_is_help=True)


@app.command("ls")
def ls(store: StoreRoot = None, as_json: Json = False) -> None:
    """List the entries of the store."""
    from natfp_bench.pipeline import store as stores

    from . import terminal

    found = list(stores.entries(store or stores.default_root()))
    if as_json:
        records = [
            {"kind": e.kind, "key": e.key, "bytes": e.bytes, "meta": e.meta, "made": e.made.model_dump()} for e in found
        ]
        terminal.print_json(records)
        return
    rows = [(e.kind, e.key[:12], f"{e.bytes:,}", e.made.at, e.made.label) for e in found]
    shown = terminal.table("", ("kind", "key", "bytes", "made at", "what"), rows, right=("bytes",))
    terminal.show(terminal.stdout(), shown)


@app.command("verify")
def verify(store: StoreRoot = None) -> None:
    """Check the digest of every file in the store.

    The exit code is 1 if anything is wrong.
    """
    from natfp_bench.pipeline import store as stores

    from . import terminal

    opened, out = _existing(store), terminal.stdout()
    findings = opened.verify()
    terminal.say(out, *(f"{finding.path}: {finding.what}" for finding in findings), wrap=False)
    terminal.say(out, f"{sum(1 for _ in stores.entries(opened.root))} entries, {len(findings)} findings")
    if findings:
        raise typer.Exit(1)


@app.command("gc")
def gc(
    store: StoreRoot = None,
    older_than: Annotated[float, typer.Option(min=0, help="remove only what is older than this many days")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be removed, and remove nothing")] = False,
) -> None:
    """Remove entries that no result uses.

    Old checkpoints, and damaged entries that were set aside, are removed too.
    """
    from . import terminal

    removed, out = _existing(store).gc(older_than_days=older_than, dry_run=dry_run), terminal.stdout()
    terminal.say(out, *(f"{path}: {size:,} bytes" for path, size in removed), wrap=False)
    done = "would be removed" if dry_run else "removed"
    terminal.say(out, f"{len(removed)} entries and folders, {sum(size for _, size in removed):,} bytes {done}")


def _existing(store: Path | None) -> Store:
    """Open a store that exists already; raises UserError if there is none."""
    from natfp_bench.pipeline import store as stores

    from . import terminal

    root = store or stores.default_root()
    if not (root / "store.json").is_file():
        raise UserError(f"no store at {root}\n  name another one with --store or $NATFP_STORE")
    return stores.Store(root, terminal.warner(terminal.stderr()))
