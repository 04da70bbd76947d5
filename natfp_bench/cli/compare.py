"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json

if TYPE_CHECKING:
    from natfp_bench.results.comparison import Compared, Comparison


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="a result.json, or its folder")],
    b: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    as_json: Json = False,
) -> None:
    """Show two results side by side, with the difference of each attributor.

    Results on the same texts are compared text by text. Results on other texts are compared by their intervals, and
    results of other tasks by identifiability alone; the output says which it was, and what differs.
    """
    from natfp_bench.pipeline import result_files as results
    from natfp_bench.report.finding import finding, scope
    from natfp_bench.results import comparison

    from . import terminal

    found = comparison.compare(a, b)
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
        return
    out = terminal.stdout()
    for name, path in (("A", found.a), ("B", found.b)):
        result = results.read(Path(path))
        terminal.say(out, f"{name}: {finding(result)}")
        terminal.say(out, scope(result), indent=3)
        terminal.say(out, str(path), wrap=False, indent=3)
        terminal.say(out, "")
    terminal.say(out, _how(found))
    terminal.say(out, *(f"differs: {one}" for one in found.differs), indent=2)
    terminal.say(out, "")
    for split in dict.fromkeys(one.split for one in found.scores):
        _print_split(found, split)
    for note in found.notes:
        terminal.say(out, f"note: {note}")


def _how(found: Comparison) -> str:
    """Say in a sentence how the two can be compared."""
    match found.relation:
        case "same texts":
            return "The same texts: differences are paired, text by text."
        case "other texts":
            return (
                "The same question, but other texts: differences are not paired, and their intervals are wide; "
                "they take the two results as independent."
            )
    return (
        "Other questions: only identifiability is compared, which is 0 at chance and 1 at certainty for any number of "
        "levels; differences are not paired, and take the two results as independent."
    )


def _print_split(found: Comparison, split: str) -> None:
    from natfp_bench.report.result_tables import SPLITS
    from natfp_bench.report.table import ReportTable

    from . import terminal

    scores = [one for one in found.scores if one.split == split]
    right = ("A", "B", "p") if any(one.p is not None for one in scores) else ("A", "B")
    columns = ("attributor", "A", "B", "B - A, 95%", *right[2:])
    rows = [_cells(one)[: len(columns)] for one in scores]
    notes = []
    if others := [one.attributor for one in scores if one.a and one.b and not one.same_code]:
        notes.append(f"Another version of the code: {', '.join(others)}.")
    if len(right) == 3:
        notes.append("p: of no difference on these texts, two-sided; not corrected for the number of attributors.")
    title = f"{scores[0].measure}: {SPLITS.get(split, split)}"
    made = ReportTable(title, columns, rows, right=right, loose=("attributor",), caption=" ".join(notes))
    terminal.print_table(terminal.stdout(), made)


def _cells(of: Compared) -> list[str]:
    from natfp_bench.report.table import interval, plain_p, value

    sides = ["none" if one is None else value(one) for one in (of.a, of.b)]
    unknown = " (no interval)" if of.difference and of.difference.low is None else ""
    p = "" if of.p is None else "< 0.0001" if of.p < 1e-4 else plain_p(of.p)
    return [of.attributor, *sides, interval(of.difference) + unknown, p]
