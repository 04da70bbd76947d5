"""What people see: tables and live progress on a terminal, plain lines where output is piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from .engine import Event, Job
from .leaderboard import Board, Row
from .metrics import Interval
from .overview import Overview
from .results import Result

WIDE = 200
"""Columns of piped output: nobody's terminal should decide where a log breaks its lines."""


def stdout() -> Console:
    """Console for what a command was asked for."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """Console for progress, warnings and errors, so that standard output can be piped."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDE)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """Make a table; `right` names the columns of numbers. Cells are shown as they are, never as markup."""
    made = Table(title=escape(title) or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def interval(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate with its 95% interval, where it has one: `0.512 0.497–0.527`."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    dash = "–" if found.low >= 0 else " to "
    return f"{found.value:.{digits}f} {found.low:.{digits}f}{dash}{found.high:.{digits}f}"


def value(found: Interval | None) -> str:
    """Print an estimate alone."""
    return "" if found is None else f"{found.value:.3f}"


def p_value(log10_p: float | None) -> str:
    """Print a p-value from its logarithm."""
    if log10_p is None:
        return ""
    return f"{10**log10_p:.3f}" if log10_p > -3 else f"1e{log10_p:.0f}"


def board_table(board: Board) -> Table:
    """Make the table of one leaderboard."""
    title = (
        f"{board.task} ({board.preset}, {board.corpus}): which {board.target} of {board.classes}? "
        f"chance {board.chance:.3f}, {board.n_test or 0} test texts, {board.split}"
    )
    # Narrow enough for 80 columns; --json has every interval.
    columns = ("rank", "attributor", "accuracy, 95%", "ident.", "bits, 95%", "F1", "p")
    rows = [_board_row(row) for row in board.rows]
    return table(title, columns, rows, right=("rank", "ident.", "F1", "p"))


def _board_row(row: Row) -> Sequence[str]:
    if row.error:
        return ("", row.attributor, f"failed: {row.error}", "", "", "", "")
    accuracy, bits = interval(row.accuracy), interval(row.bits)
    cells = (accuracy, value(row.identifiability), bits, value(row.macro_f1), p_value(row.log10_p))
    return (str(row.rank or ""), row.attributor, *cells)


def variants_table(result: Result) -> Table:
    """Make the table of a result's variants: are they equally good?"""
    columns = ["variant", "parameters", "tokens", "epochs", "bits per byte, 95%"]
    excess = any(variant.excess_bits_per_byte for variant in result.variants)
    rows = []
    for variant in result.variants:
        name = variant.name if variant.status == "ok" else f"{variant.name} ({variant.status})"
        cells = [name, f"{variant.parameters:,}", f"{variant.tokens_trained:,}"]
        cells += [f"{variant.epochs:.2f}", interval(variant.heldout_bits_per_byte)]
        rows.append(cells + ([interval(variant.excess_bits_per_byte)] if excess else []))
    right = ("parameters", "tokens", "epochs")
    return table("held-out text", columns + (["over true entropy"] if excess else []), rows, right=right)


def print_overview(out: Console, found: Overview) -> None:
    """Print what a plan amounts to."""
    replicates = f"{found.replicates} replicate{'s' if found.replicates > 1 else ''}"
    out.print(f"{found.task} at {found.preset}: {found.summary}", markup=False)
    out.print(f"varies {found.factor} ({', '.join(found.fields)}), {replicates}", markup=False)
    out.print(f"corpus {found.corpus}, {found.texts:,} texts a variant", markup=False)
    paths = sorted({path for variant in found.variants for path in variant.differs})
    rows = []
    for variant in found.variants:
        state = "sampled" if variant.sampled else "trained" if variant.trained else "to train"
        values = [str(variant.differs[path]) for path in paths]
        rows.append((variant.name, *values, f"{variant.parameters:,}", f"{variant.tokens:,}", state))
    columns = ("variant", *paths, "parameters", "tokens", "store")
    out.print(table("", columns, rows, right=(*paths, "parameters", "tokens")))
    if found.models_to_train:
        seconds = found.training_seconds
        time_left = "no rate measured yet" if seconds is None else f"about {seconds:,.0f} s of one worker"
        out.print(f"to train: {found.models_to_train} models, {found.tokens_to_train:,} tokens ({time_left})")
    out.print(f"disk: about {found.disk_bytes / 1e6:,.0f} MB in all")
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


def print_result(out: Console, result: Result, boards: Sequence[Board], folder: Path) -> None:
    """Print what a run found: the models' quality, the leaderboards, and what the likelihoods say."""
    out.print()
    out.print(variants_table(result))
    out.print()
    for board in boards:
        out.print(board_table(board))
        out.print()
    for found in result.likelihood:
        out.print(f"text and {found.target} share {interval(found.mutual_information)} bits, by the likelihoods")
    rows = result.mean_kl.divergence if result.mean_kl else ()
    pairs = [one.value for i, row in enumerate(rows) for j, one in enumerate(row) if i != j and one.value is not None]
    if pairs:
        out.print(f"one model differs from another by {median(pairs):.3f} bits a token (mean KL, median of pairs)")
    stages = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in result.run.seconds.items() if stage != "total")
    out.print(f"took {result.run.seconds['total']:.1f} s" + (f" (summed over workers: {stages})" if stages else ""))
    out.print(f"written to {folder}", markup=False, soft_wrap=True)


class Watcher:
    """Shows the events of a run: bars on a terminal, a line per finished job elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self.started: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Watcher:
        if self.live:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Take one event of a run."""
        job = event.job
        match event.kind:
            case "start":
                self.started[job.name] = time.monotonic()
                # A job whose worker died starts a second time.
                if self.live and job.name not in self.bars:
                    self.bars[job.name] = self.progress.add_task(escape(job.name), total=None, rate="")
            case "progress":
                self._advance(job, event)
            case "warning":
                self.console.print(f"[yellow]warning:[/] {escape(event.text)}")
            case "end":
                self._finish(job)

    def _advance(self, job: Job, event: Event) -> None:
        if not self.live:
            return
        seconds = max(time.monotonic() - self.started[job.name], 1e-3)
        rate = f"{event.done / seconds:,.0f} {event.text}/s"
        self.progress.update(self.bars[job.name], completed=event.done, total=event.total, rate=rate)

    def _finish(self, job: Job) -> None:
        seconds = time.monotonic() - self.started.pop(job.name)
        if self.live:
            self.progress.remove_task(self.bars.pop(job.name))
        # Hundreds of jobs of a blink each would bury what matters.
        if job.stage not in ("score", "sample") or seconds >= 5.0:
            self.console.print(f"{escape(job.name)}: {seconds:.1f} s")


def error(console: Console, message: str) -> None:
    """Print a fault: one message, the first line marked."""
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
