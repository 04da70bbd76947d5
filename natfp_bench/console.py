"""What people see: tables and live progress on a terminal, plain lines where output is piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from .engine import Event, Job
from .fingerprint import TellingWord
from .leaderboard import Board, FactorRow, Leaderboards, Row, Setting, Standing
from .metrics import Interval
from .overview import Overview
from .replication import Test
from .results import FactorStudy, Length, Result

WIDE = 200
"""Columns of piped output: nobody's terminal should decide where a log breaks its lines."""

ROOMY = 110
"""Columns from which on a table shows what it can do without."""

TELLING = 10
"""Words of a level that are shown; the result has more."""


def stdout() -> Console:
    """Console for what a command was asked for."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """Console for progress, warnings and errors, so that standard output can be piped."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDE)


@dataclass(frozen=True)
class Sheet:
    """A table and how to read it, for a terminal and for a page alike.

    right: columns of numbers. loose: columns that break their lines first where space is short. wide: columns that a
    narrow terminal leaves out.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    loose: Sequence[str] = ()
    wide: Sequence[str] = ()
    caption: str = ""

    def narrow(self) -> Sheet:
        """Leave out the wide columns."""
        kept = [index for index, column in enumerate(self.columns) if column not in self.wide]
        columns, rows = [self.columns[index] for index in kept], [[row[index] for index in kept] for row in self.rows]
        return replace(self, columns=columns, rows=rows)


def print_sheet(out: Console, sheet: Sheet) -> None:
    """Print a table, and below it how to read it."""
    shown = sheet if out.width >= ROOMY else sheet.narrow()
    out.print(table(shown.title, shown.columns, shown.rows, right=shown.right, loose=shown.loose))
    if shown.caption:
        out.print(printable(shown.caption), markup=False, style="dim")
    out.print()


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    loose: Sequence[str] = (),
) -> Table:
    """Make a table; `right` names the columns of numbers. Cells are shown as they are, never as markup.

    loose: columns that alone break their lines; without any, whatever is longest does.
    """
    made = Table(
        title=escape(printable(title)) or None, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in right else "left"
        made.add_column(escape(column), justify=justify, overflow="fold", no_wrap=bool(loose) and column not in loose)
    for row in rows:
        made.add_row(*(escape(printable(cell)) for cell in row))
    return made


def printable(text: str) -> str:
    """Spell out what a terminal might obey: names, errors and words may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def number(value: float, digits: int = 3) -> str:
    """Print a number, a rounded zero without a sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def interval(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate with its 95% interval, where it has one: `0.512 0.497–0.527`."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return number(found.value, digits)
    dash = "–" if found.low >= 0 else " to "
    return f"{number(found.value, digits)} {number(found.low, digits)}{dash}{number(found.high, digits)}"


def spread(found: Interval | None, digits: int = 2) -> str:
    """Print an estimate in short: with half its interval's width where that is Student's, `0.51 ± 0.02`, else alone."""
    if found is None:
        return ""
    half = f" ± {number(found.high - found.value, digits)}" if found.method == "t" and found.high is not None else ""
    return number(found.value, digits) + half


def value(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate alone."""
    return "" if found is None else number(found.value, digits)


def p_value(log10_p: float | None) -> str:
    """Print a p-value from its logarithm."""
    if log10_p is None:
        return ""
    return f"{10**log10_p:.3f}" if log10_p > -3 else f"1e{log10_p:.0f}"


def board_sheet(board: Board) -> Sheet:
    """Make the table of one protocol's attributors."""
    title = (
        f"{board.task} ({board.preset}, {board.corpus}): which {board.target} of {board.classes}? "
        f"chance {board.chance:.3f}, {board.n_test or 0} test texts, {board.split}"
    )
    # Narrow enough for 80 columns; --json has every interval.
    columns = ("rank", "attributor", "accuracy, 95%", "ident.", "bits, 95%", "F1", "p")
    rows = [_board_row(row) for row in board.rows]
    return Sheet(title, columns, rows, right=("rank", "ident.", "F1", "p"), wide=("F1",))


def _board_row(row: Row) -> Sequence[str]:
    if row.error:
        return ("", row.attributor, f"failed: {row.error}", "", "", "", "")
    accuracy, bits = interval(row.accuracy), interval(row.bits)
    cells = (accuracy, value(row.identifiability), bits, value(row.macro_f1), p_value(row.log10_p))
    return (str(row.rank or ""), row.attributor, *cells)


def setting_title(setting: Setting) -> str:
    """Name what the figures of a table have in common."""
    texts = [] if setting.texts is None else [f"{setting.texts:,} texts a variant"]
    seed = [f"seed {setting.seed}"] if setting.seed else []
    return ", ".join(
        [setting.preset, setting.corpus, *texts, *(f"{k}={v}" for k, v in setting.overrides.items()), *seed]
    )


def sheets(standing: Standing) -> list[Sheet]:
    """Make the tables of one setting: the factors, what their figures rest on, and the attributors."""
    found = [factor_sheet(standing), evidence_sheet(standing)]
    return [*found, attributor_sheet(standing)] if standing.attributors else found


def factor_sheet(standing: Standing) -> Sheet:
    """Make the leaderboard of factors."""
    references = ", ".join(sorted({row.reference for row in standing.factors if row.reference}))
    caption = (
        "Identifiability: 0 is chance, 1 is certainty; on unseen runs, fits are tested on a replicate that they have "
        "not seen (± 95% over replicates), and only this is about the factor itself, for on seen runs they may also "
        f"know the models one by one. First comes the reference attributor ({references or 'none'}), then the best "
        "one: the best on the other tasks of this table, so that no test text of a task chose its best (with no other "
        "task, the reference again). The ceiling is what the models' own likelihoods reach on seen runs; bits are what "
        "the reference attributor reads off a text there, of those that the ceiling reads."
    )
    columns = ("task", "unseen runs", "best", "seen runs", "best", "ceiling", "bits", "best attributor")
    rows = []
    for row in standing.factors:
        unseen, seen = row.unseen, row.seen
        bits = " of ".join(filter(None, [value(seen.bits, 2), value(seen.ceiling_bits, 2)])) if seen else ""
        cells = [spread(unseen.reference) if unseen else "", value(unseen.best, 2) if unseen else ""]
        cells += [value(seen.reference, 2), value(seen.best, 2), value(seen.ceiling, 2)] if seen else [""] * 3
        rows.append((row.task, *cells, bits, row.best or ""))
    right = ("unseen runs", "best", "seen runs", "ceiling", "bits")
    return Sheet(
        "factors: how identifiable?",
        columns,
        _in_sections(standing, rows),
        right,
        ("task",),
        ("best attributor",),
        caption,
    )


def evidence_sheet(standing: Standing) -> Sheet:
    """Make the table of what the figures of the factors rest on."""
    caption = (
        "p: of the factor, by permuting levels within replicates (not testable: so few replicates can give no p below "
        "the one shown, whatever the data); without held-out runs, of these runs alone, by the binomial test. finds: "
        "the least identifiability that would have been found with a power of 0.8; 95% at: the length at which "
        "accuracy reaches 0.95, for the reference attributor / the ceiling / as likelihood ratios predict. parity: the "
        "worst ratio of held-out bits per byte between two models, yes where all are equally good within the margin."
    )
    columns = ("task", "factor", "p", "finds", "95% at (tokens)", "parity")
    rows = []
    for row in standing.factors:
        finds = "" if row.detectable is None else number(row.detectable, 2)
        parity = f"{row.parity.worst_ratio:.3f} {_yes(row.parity.equivalent)}" if row.parity else ""
        unit = f" {row.length.unit}" if row.length and row.length.unit != "tokens" else ""
        rows.append((row.task, row.factor, significance(row), finds, told_at(row.length) + unit, parity))
    right = ("finds", "95% at (tokens)")
    sections = _in_sections(standing, rows)
    return Sheet("factors: on what evidence?", columns, sections, right, ("factor", "p"), caption=caption)


def attributor_sheet(standing: Standing) -> Sheet:
    """Make the leaderboard of attributors."""
    caption = (
        "Mean identifiability over tasks, controls left out, on unseen runs where a task holds some out, with "
        "Student's 95% interval over tasks. Rank: 1 + the attributors that are significantly better, paired over tasks "
        "(sign flips, Holm); none for who did not do every task in one version, nor where the tasks are too few for "
        "any difference to be significant. Seconds are of all fits and of all answers, as measured where they ran."
    )
    columns = ("rank", "attributor", "identifiability", "tasks", "failed", "fit, s", "predict, s")
    rows = []
    for row in standing.attributors:
        counts = [f"{row.tasks} of {standing.tasks}", str(len(row.failed) or "")]
        seconds = [f"{row.fit_seconds:,.1f}", f"{row.predict_seconds:,.1f}"]
        name = row.attributor if len(row.digests) == 1 else f"{row.attributor} ({len(row.digests)} versions)"
        rows.append((str(row.rank or ""), name, spread(row.identifiability, 3), *counts, *seconds))
    right = ("rank", "identifiability", "tasks", "failed", "fit, s", "predict, s")
    return Sheet("attributors: who tells best?", columns, rows, right, caption=caption)


def _in_sections(standing: Standing, rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Put the name of each section above its rows, unless all rows are of the first."""
    found: list[Sequence[str]] = []
    before = "held-out runs"
    for row, cells in zip(standing.factors, rows, strict=True):
        if row.section != before:
            found.append((f"{row.section}:", *[""] * (len(cells) - 1)))
            before = row.section
        found.append(cells)
    return found


def _yes(found: bool) -> str:
    return "yes" if found else "no"


def significance(row: FactorRow) -> str:
    """Print the p-value of a factor, or that there can be none."""
    return p_value(row.log10_p) if row.permutation is None else permuted(row.permutation)


def permuted(test: Test) -> str:
    """Print the p-value of a permutation test, or the least that it could have given."""
    return f"{test.p:.3f}" if test.testable else f"not testable (≥{test.smallest:.2f})"


def told_at(length: Length | None) -> str:
    """Print the length at which texts are told: by the reference attributor, and the ceiling and the prediction."""
    if length is None:
        return ""
    first, last = length.points[0].at, length.points[-1].at

    def at(reached: float | None) -> str:
        return f">{last}" if reached is None else f"≤{first}" if reached <= first else f"{reached:.0f}"

    found = [at(length.to_95)]
    if any(point.ceiling is not None for point in length.points):
        found += [at(length.ceiling_to_95), at(length.predicted_to_95)]
    return " / ".join(found)


def print_leaderboards(out: Console, found: Leaderboards, *, boards: bool = False) -> None:
    """Print the leaderboards of factors and of attributors, setting by setting; `boards`: each protocol's as well."""
    for standing in found.standings:
        out.print(escape(printable(setting_title(standing.setting))), style="bold underline")
        out.print()
        for sheet in sheets(standing):
            print_sheet(out, sheet)
    for board in found.boards if boards else ():
        print_sheet(out, board_sheet(board))


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
    """Print what a run found: the models' quality, the leaderboards, what the likelihoods say, and of the factor."""
    out.print()
    out.print(variants_table(result))
    out.print()
    for board in boards:
        print_sheet(out, board_sheet(board))
    for found in result.likelihood:
        out.print(f"text and {found.target} share {interval(found.mutual_information)} bits, by the likelihoods")
    rows = result.mean_kl.divergence if result.mean_kl else ()
    pairs = [one.value for i, row in enumerate(rows) for j, one in enumerate(row) if i != j and one.value is not None]
    if result.mean_kl and pairs:
        unit = result.mean_kl.unit
        out.print(f"one model differs from another by {median(pairs):.3f} bits a {unit} (mean KL, median of pairs)")
    if result.study:
        out.print()
        for part in _factor_parts(result, result.study):
            out.print(part)
            out.print()
    stages = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in result.run.seconds.items() if stage != "total")
    out.print(f"took {result.run.seconds['total']:.1f} s" + (f" (summed over workers: {stages})" if stages else ""))
    out.print(f"written to {folder}", markup=False, soft_wrap=True)


def _factor_parts(result: Result, study: FactorStudy) -> Iterator[RenderableType]:
    """All that a result says of its factor."""
    facts = table(f"the factor: {result.factor.name}", ("", ""), [*_findings(study)])
    facts.show_header = False
    yield facts
    beside = Table.grid(padding=(0, 3))
    if found := [*_length_table(study), *_type_table(study)]:
        beside.add_row(*found)
        yield beside
    yield from _robustness_table(study)
    yield from _words_table(study)


def _findings(study: FactorStudy) -> Iterator[tuple[str, str]]:
    """What a study says of the factor in a sentence each."""
    who = study.reference
    if study.gaps:
        gaps = ", ".join(f"{gap.attributor} {spread(gap.gap, 3)}" for gap in study.gaps)
        yield "replicate gap", f"accuracy on seen runs less that on unseen ones: {gaps}"
    if study.permutation:
        test = study.permutation.test
        drawn = f"{test.permutations} relabelings" + (", all there are" if test.exhaustive else "")
        yield "permutation", f"{_p_of(test)}; accuracy of {who} {study.permutation.observed:.3f}, {drawn}"
    if permanova := study.permanova:
        f, r2 = (("none" if of is None else f"{of:.2f}") for of in (permanova.f, permanova.r2))
        yield "PERMANOVA", f"F {f}, R² {r2}, {_p_of(permanova.test)}; of mean KL between models"
    if parity := study.parity:
        worse, better = parity.worst_pair
        verdict = "equally good models" if parity.equivalent else "not shown to be equally good models"
        ratio = f"{worse} spends {parity.worst_ratio:.3f} times the bits of {better} on held-out text"
        yield "parity", f"{verdict}: {ratio}, margin {parity.margin:.0%}, p = {parity.p:.2g}"
    detectable = [
        *([f"accuracy {study.detectable.instance:.3f} in telling single runs"] if study.detectable.instance else []),
        *([f"identifiability {study.detectable.factor:.3f} on unseen ones"] if study.detectable.factor else []),
    ]
    if detectable:
        yield "detectable", f"{', '.join(detectable)} (power 0.8)"
    if study.length:
        yield "95% told at", f"{told_at(study.length)} {study.length.unit} (reference / ceiling / predicted)"


def _p_of(test: Test) -> str:
    if test.testable:
        return f"p = {test.p:.3f}"
    return f"not testable at this preset (no p below {test.smallest:.2f})"


def _length_table(study: FactorStudy) -> Iterator[Table]:
    if study.length:
        rows = [
            (str(at.at), value(at.accuracy), *("" if of is None else f"{of:.3f}" for of in (at.ceiling, at.predicted)))
            for at in study.length.points
        ]
        columns = (study.length.unit, "accuracy", "ceiling", "predicted")
        yield table(f"{study.reference} against length", columns, rows, right=columns)


def _type_table(study: FactorStudy) -> Iterator[Table]:
    rows = [
        (of.type, *("" if share is None else number(share) for share in (of.bits, of.token_share, of.bits_share)))
        for of in study.by_type
    ]
    if rows:
        columns = ("type", "a token", "of tokens", "of bits")
        yield table("bits by type of token", columns, rows, right=columns[1:])


def _robustness_table(study: FactorStudy) -> Iterator[Table]:
    found: dict[str, dict[str, str]] = {}
    for of in study.robustness:
        found.setdefault(of.condition, {})[of.trained_on] = spread(of.accuracy, 3)
    if found:
        ways = ("plain", "transformed")
        rows = [(condition, *(by.get(way, "") for way in ways)) for condition, by in found.items()]
        columns = ("test texts", "trained on plain texts", "on transformed ones")
        yield table(f"accuracy of {study.reference} on other texts", columns, rows, right=columns[1:])


def _words_table(study: FactorStudy) -> Iterator[Table]:
    """The words that tell most, where training and test texts, and all replicates, agree on them."""
    levels: dict[str, list[TellingWord]] = {}
    for word in study.wording.telling_words if study.wording else ():
        if word.confirmed and word.agrees is not False:
            levels.setdefault(word.label, []).append(word)
    if levels:
        rows = [
            (
                label,
                *(" ".join(of.word for of in words[:TELLING] if (of.log_odds > 0) is more) for more in (True, False)),
            )
            for label, words in levels.items()
        ]
        yield table("words that tell a level", ("level", "says more often", "says less often"), rows)


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
