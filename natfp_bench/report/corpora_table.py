"""The same tasks on several corpora, side by side: what carries over from one text to another, and what does not."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.results.leaderboard import FactorRow, Standing

from .table import Cell, ReportTable, estimate_cell, interval

TITLE = "from one corpus to another"


def corpora_tables(standings: Sequence[Standing]) -> list[ReportTable]:
    """Make a table for each group of settings that differ in nothing but the corpus, and share a task with another."""
    groups: dict[str, list[Standing]] = {}
    for standing in standings:
        setting = standing.setting.model_copy(update={"corpus": ""})
        groups.setdefault(setting.model_dump_json(), []).append(standing)
    alike = [
        [one for one in group if any(_shared(one, other) for other in group if other is not one)]
        for group in groups.values()
    ]
    return [_table(group) for group in alike if group]


def _shared(one: Standing, other: Standing) -> set[str]:
    return _rows(one).keys() & _rows(other).keys()


def _rows(standing: Standing) -> dict[str, FactorRow]:
    return {row.task: row for row in standing.factors if row.current and (row.unseen or row.seen)}


def _table(standings: Sequence[Standing]) -> ReportTable:
    found = [_rows(one) for one in standings]
    names = [one.setting.corpus for one in standings]
    shared = [task for task in found[0] if sum(task in rows for rows in found) > 1]
    shared += [task for rows in found[1:] for task in rows if task not in shared and sum(task in r for r in found) > 1]
    columns = [column for name in names for column in (name, f"{name}:\nverdict")]
    rows = []
    for task in shared:
        kinds = {bool(rows[task].unseen) for rows in found if task in rows}
        cells = [Cell(task), Cell("unseen" if kinds == {True} else "seen" if kinds == {False} else "not the same")]
        for one in found:
            cells += _cells(one.get(task))
        rows.append(cells)
    return ReportTable(
        TITLE,
        ("task", "runs", *columns),
        rows,
        right=tuple(names),
        loose=("task",),
        caption=(
            f"{carried_over(standings)} Identifiability is that of the best attributor with its 95% interval (0 is "
            "chance, 1 is certainty); the verdict is that of its corpus's own table. unseen: on runs that "
            "no attributor saw; seen: on new texts of models that it saw, so that nothing is said of a factor. Models "
            "of two corpora share recipes and seeds, and differ in their text and its tokenizer."
        ),
    )


def _cells(row: FactorRow | None) -> list[Cell]:
    if row is None:
        return [Cell(), Cell()]
    main = row.unseen or row.seen
    best = main.best if main else None
    return [estimate_cell(best, interval(best, 2)), Cell(row.verdict or row.control or "")]


def carried_over(standings: Sequence[Standing]) -> str:
    """Say which factors are found on which of the corpora; a factor counts if it was tested on all of them."""
    tested = [
        {row.task: row for row in one.factors if row.section == "held-out replicates" and row.verdict != "not testable"}
        for one in standings
    ]
    names = [one.setting.corpus for one in standings]
    shared = [task for task in tested[0] if all(task in rows for rows in tested)]
    if not shared:
        return "No factor was tested on runs of all these corpora that no attributor saw."
    places: dict[tuple[str, ...], list[str]] = {}
    for task in shared:
        where = tuple(name for name, rows in zip(names, tested, strict=True) if rows[task].verdict == "found")
        places.setdefault(where, []).append(tested[0][task].factor)
    several = "factor is" if len(shared) == 1 else "factors are"
    said = [f"{len(shared)} {several} tested on unseen runs of all these corpora"]
    for where, factors in sorted(places.items(), key=lambda item: -len(item[0])):
        on = "none" if not where else " and ".join(where) + (" alone" if len(where) < len(names) else "")
        said.append(f"found on {on}: {', '.join(factors)}")
    return "; ".join(said) + "."
