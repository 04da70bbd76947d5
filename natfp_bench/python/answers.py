"""Leaderboards, curves and identifications as notebooks show them. Like `Result`, each is its record, with no more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from natfp_bench.base.errors import unknown
from natfp_bench.base.text import one_line
from natfp_bench.pipeline.curve_result import FIGURES
from natfp_bench.pipeline.curve_result import CurveResult as CurveRecord
from natfp_bench.report.curve_figures import curve_figures
from natfp_bench.report.curve_tables import ABOUT, curve_scope, curve_sentences, curve_table
from natfp_bench.report.leaderboard_tables import board_table, setting_title, standing_tables
from natfp_bench.report.table import ReportTable, number, plain_p
from natfp_bench.results.identification import Identification as IdentificationRecord
from natfp_bench.results.leaderboard import Leaderboards

from . import frames, html
from .finished import chart, shown_as
from .progress import plain_errors

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


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


class Curve(CurveRecord):
    """Accuracy and bits of attributors against the number of training texts: everything that `curve.json` holds."""

    _path: Path = PrivateAttr()

    @classmethod
    def at(cls, record: CurveRecord, path: Path) -> Curve:
        """Say where a record was written to."""
        made = shown_as(cls, record)
        made._path = path
        return made

    @property
    def path(self) -> Path:
        """The `curve.json`."""
        return self._path

    @plain_errors
    def to_frame(self) -> pd.DataFrame:
        """Table with one row per attributor and number of texts, and every metric with its 95% interval."""
        rows = []
        for curve in self.curves:
            for point in curve.points:
                row = {"attributor": curve.attributor.name, "texts": point.texts, "status": point.status}
                for name, found in point.metrics.items():
                    row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
                rows.append({**row, "extraction": point.extraction})
        estimates = [f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")]
        return frames.frame(rows, ["attributor", "texts", "status", *estimates, "extraction"])

    @plain_errors
    def figure(self, name: str = "texts-bits") -> alt.Chart:
        """Chart against the number of texts: `texts-bits`, `texts-accuracy`, or one rung's bits: `texts-bits-recipe`.

        A rung has a chart of its own if the attributors know different things. Raises UserError for another name.
        """
        made = {figure.name: figure for figure in curve_figures(self)}
        if name not in made:
            raise unknown("figure", name, made)
        return chart(made[name])

    def __repr__(self) -> str:
        points = ", ".join(f"{point.texts:,}" for point in self.curves[0].points)
        return f"<Curve of {one_line(f'{self.task.name} ({self.preset})')}: {points} texts per model; {self._path}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """What each attributor needs, the curves, and their points."""
        said = [html.paragraph(part, strong=not n) for pair in curve_sentences(self) for n, part in enumerate(pair)]
        drawn = [html.image(figure.spec, figure.title) for figure in curve_figures(self)]
        scope = html.paragraph(curve_scope(self))
        return html.block(*said, scope, *drawn, html.table(curve_table(self)), html.paragraph(ABOUT, small=True))


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
