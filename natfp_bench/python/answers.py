"""Leaderboards and identifications as notebooks show them. Like `Result`, each is its record, and adds no field."""

from __future__ import annotations

from natfp_bench.base.text import one_line
from natfp_bench.report.leaderboard_tables import board_table, setting_title, standing_tables
from natfp_bench.report.table import ReportTable, number, plain_p
from natfp_bench.results.identification import Identification as IdentificationRecord
from natfp_bench.results.leaderboard import Leaderboards

from . import html


class Leaderboard(Leaderboards):
    """Factors by identifiability and attributors by their mean over tasks, one standing per setting, and all boards.

    `faults` names each file that could not be used.
    """

    def __repr__(self) -> str:
        rows = [row for standing in self.standings for row in standing.factors]
        counts = {"factor": len(rows), "setting": len(self.standings), "board": len(self.boards)}
        counts["fault"] = len(self.faults)
        said = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
        return f"<Leaderboard: {said}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The tables that the command line prints."""
        parts = []
        for standing in self.standings:
            parts += [html.paragraph(setting_title(standing.setting), strong=True)]
            parts += [html.table(made) for made in standing_tables(standing)]
        if len({board.task for board in self.boards}) == 1:
            parts += [html.table(board_table(board)) for board in self.boards]
        return html.block(*parts, *(html.paragraph(f"skipped: {fault}") for fault in self.faults))


class Identification(IdentificationRecord):
    """Which source most likely wrote each text, and all texts together, and how reliable that is."""

    def __repr__(self) -> str:
        verdict = self.pooled or self.texts[0]
        n = f"{len(self.texts)} text{'s' * (len(self.texts) != 1)} by {one_line(self.attributor.name)}"
        likely = f"most likely {one_line(verdict.most_likely)} (posterior {number(max(verdict.posterior))})"
        return f"<Identification of {n}: {likely}; p = {plain_p(verdict.p)} of 'one of these wrote it'>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The verdict on all texts together, a row for each text, and the notes."""
        rows = [
            (
                one.file if one.row is None else f"{one.file}:{one.row}",
                one.most_likely,
                number(max(one.posterior)),
                plain_p(one.p),
            )
            for one in self.texts
        ]
        caption = (
            f"On single held-out texts the attributor is right for {self.held_out[0].accuracy:.1%} (chance "
            f"{1 / len(self.classes):.1%}). p: p-value of 'one of these models wrote the text'."
        )
        columns = ("text", "most likely", "posterior", "p")
        made = ReportTable("each text", columns, rows, right=("posterior", "p"), caption=caption)
        notes = [html.paragraph(f"note: {note}", small=True) for note in self.notes]
        return html.block(html.paragraph(repr(self)[1:-1], strong=True), html.table(made), *notes)
