"""A finished run with its folder and its store, and a collection of finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, overload

from pydantic import PrivateAttr

from natfp_bench.base.errors import UserError, unknown
from natfp_bench.base.records import Record
from natfp_bench.base.text import one_line
from natfp_bench.pipeline import result as records
from natfp_bench.pipeline.store import Store, default_root, entry_folder
from natfp_bench.report import figures, page_texts, study_figures
from natfp_bench.report.drawing import Figure
from natfp_bench.report.finding import finding, scope
from natfp_bench.report.leaderboard_tables import board_table
from natfp_bench.report.table import ReportTable, interval, number
from natfp_bench.results.leaderboard import lowest_rung
from natfp_bench.results.origin import remake, settings_of
from natfp_bench.results.predictions import main_split, read_predictions
from natfp_bench.results.protocols import Protocol, make_boards

from . import frames, html
from .progress import plain_errors

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Shown = TypeVar("Shown", bound=Record)

NAMED = 4
"""At most this many tasks are named in the short form of a collection."""


def shown_as(kind: type[Shown], record: Record) -> Shown:
    """Make a record of a class that adds to the record's own class how it is shown; nothing is validated again."""
    return cast("Shown", kind.model_construct(**{name: getattr(record, name) for name in type(record).model_fields}))


class Result(records.Result):
    """A finished run: everything that its `result.json` holds, and where that file and its texts are.

    It *is* the record that `pipeline` writes, not a shell around one. So `result.scores` and all other fields have
    their types and are completed by editors, and whatever takes a record takes it. Its file, its store, and how a
    notebook shows it are known to this class alone: they are no fields, are never written, and the record stays free of
    presentation.
    """

    _path: Path = PrivateAttr()
    _store: Path = PrivateAttr()

    @classmethod
    def at(cls, record: records.Result, path: Path, store: Path | str | None) -> Result:
        """Say where a record was read from, or written to, and which store has its texts."""
        made = shown_as(cls, record)
        made._path, made._store = path, Path(store) if store else default_root()
        return made

    @property
    def path(self) -> Path:
        """The `result.json`; `predictions.parquet` is beside it."""
        return self._path

    @property
    def store(self) -> Path:
        """Folder of the store that has the models and texts of the run, unless it was cleaned since."""
        return self._store

    @plain_errors
    def to_frame(self) -> pd.DataFrame:
        """Table with one row per score: the attributor, what it guessed and on which texts, and every metric.

        A metric has its value in the column of its name, and its 95% interval in `_low` and `_high`.
        """
        return frames.frame(frames.score_rows(self), frames.COLUMNS)

    @plain_errors
    def predictions(self) -> pd.DataFrame:
        """Table with one row per test text, target, split and attributor: the answers that the scores summarise.

        `label` is the truth, and `proba` has the probabilities of the classes, sorted by name. Raises UserError if
        `predictions.parquet` is missing or damaged.
        """
        frames.pandas()
        return read_predictions(self._path).table.to_pandas()

    @plain_errors
    def texts(self) -> pd.DataFrame:
        """Table with one row per text: `text`, `label`, `variant`, `replicate`, `prompt`, `row`, `split`.

        Texts are as attributors see them. Raises UserError if the store lacks them, or has other texts than the run.
        """
        from natfp_bench.results import export

        frames.pandas()
        if not self.fixed_texts and not (self._store / "store.json").is_file():
            raise UserError(f"no store at {self._store}\n  load_results(..., store=FOLDER), or {remake(self)}")
        return export.gather(self._path, Store(self._store)).texts.to_pandas()

    @plain_errors
    def models(self) -> dict[str, str]:
        """Where each model is, by variant: for `from_pretrained` of `AutoModelForCausalLM` and of `AutoTokenizer`.

        Folders of the store for models that were trained here; else the folder or Hub name of a checkpoint. Raises
        UserError if the run has only texts, or if the store lacks a model.
        """
        if self.fixed_texts or not all(of.source in ("train", "finetune", "checkpoint") for of in self.variants):
            raise UserError(f"the result of {self.task.name} has texts, and no models")
        found = {}
        for variant in self.variants:
            if variant.status == "ok":
                source = settings_of(variant).source
                trained = entry_folder(self._store, "model", variant.key)
                found[variant.name] = str(trained) if source.trained else source.filled(source.model)
                if source.trained and not (trained / "manifest.json").is_file():
                    raise UserError(
                        f"the store {self._store} lacks the model {variant.name}\n"
                        f"  load_results(..., store=FOLDER), or {remake(self)}"
                    )
        return found

    @property
    def figures(self) -> list[str]:
        """Names of the figures of this result."""
        return [figure.name for figure in self._figures()]

    @plain_errors
    def figure(self, name: str = "accuracy") -> alt.Chart:
        """Chart of one of `figures`, to show, to change or to save (`.save("figure.svg")`).

        Raises UserError for an unknown name.
        """
        for figure in self._figures():
            if figure.name == name:
                return chart(figure)
        raise unknown("figure", name, self.figures)

    def _figures(self) -> Iterator[Figure]:
        """Figures as on the page of the task, one after another."""
        protocol = self._protocol
        made = (
            lambda: [figures.accuracy(protocol)],
            lambda: [figures.confusion(protocol)],
            lambda: [study_figures.training(self, page_texts.training_logs(self, self._store)[0])],
            lambda: [study_figures.equivalence(self)],
            lambda: study_figures.curves(self),
            lambda: study_figures.mean_kl(self),
            lambda: [study_figures.wording(self)],
            lambda: study_figures.evidence(self),
            lambda: [study_figures.robustness(self)],
        )
        yield from (figure for make in made for figure in make() if figure)

    @property
    def _protocol(self) -> Protocol:
        return Protocol([(self._path, self)])

    def __repr__(self) -> str:
        return f"<Result of {one_line(f'{self.task.name} ({self.preset})')}: {self._short()}; {self._path}>"

    __str__ = __repr__

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:
        yield from (("task", self.task.name), ("preset", self.preset), ("found", self._short()))

    def _short(self) -> str:
        """The best attributor beside chance and the ceiling, in half a line."""
        scores = [
            (found, score)
            for score in self.scores
            if (score.target, score.split) == ("level", main_split(self))
            and (found := score.metrics.get("accuracy")) is not None
        ]
        of_texts = [pair for pair in scores if pair[1].attributor.access == "text"]
        if not of_texts:
            return "no attributor answered"
        known = lowest_rung({score.attributor.name: score for _, score in of_texts})
        best, score = max(
            (pair for pair in of_texts if pair[1].attributor.name in known), key=lambda pair: pair[0].value
        )
        parts = [f"{one_line(score.attributor.name)} {interval(best, 2)}", f"chance {number(score.chance, 2)}"]
        parts += [f"ceiling {number(found.value, 2)}" for found, of in scores if of.attributor.name == "ceiling"]
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        """What it found in a sentence, its scope, the board that the task is about, and the main figure."""
        boards = make_boards([self._protocol], []) if self.scores else []
        main = [board for board in boards if (board.target, board.split) == ("level", main_split(self))]
        figure = figures.accuracy(self._protocol) if self.scores else None
        return html.block(
            html.paragraph(finding(self), strong=True),
            html.paragraph(scope(self)),
            *(html.table(board_table(board)) for board in main),
            *([html.image(figure.spec, figure.title), html.paragraph(figure.caption, small=True)] if figure else []),
            *(html.paragraph(f"failed: {failure}") for failure in self.failures),
            html.paragraph(str(self._path), small=True),
        )


class Results(Sequence[Result]):
    """Finished runs, in the order in which they were made or found."""

    def __init__(self, results: Sequence[Result] = ()) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, at: int) -> Result: ...
    @overload
    def __getitem__(self, at: slice) -> Results: ...
    def __getitem__(self, at: int | slice) -> Result | Results:
        found = self._results[at]
        return Results(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        return len(self._results)

    @plain_errors
    def to_frame(self) -> pd.DataFrame:
        """Table with one row per score of each run: over all factors and attributors. See `Result.to_frame`.

        Scores compare only within one `protocol`, `target` and `split`.
        """
        return frames.frame((row for result in self for row in frames.score_rows(result)), frames.COLUMNS)

    @plain_errors
    def figure(self) -> alt.Chart:
        """Chart of how identifiable each factor is, of the setting that has the most factors.

        Raises UserError if there is nothing to draw.
        """
        if (figure := self._figure()) is None:
            raise UserError("no result of this collection has scores to draw")
        return chart(figure)

    def _figure(self) -> Figure | None:
        """The first figure of a report's first page."""
        from natfp_bench.report import site
        from natfp_bench.report.pages.home import home

        try:
            found = site.read([result.path for result in self], default_root())
        except UserError:  # no result has scores, or their files were removed since
            return None
        return next(iter(home(found).figures), None)

    def __repr__(self) -> str:
        names = [one_line(result.task.name) for result in self]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        several = "s" * (len(names) != 1)
        return f"<Results of {len(names)} run{several}{': ' * bool(names)}{', '.join(names[:NAMED])}{more}>"

    def _repr_html_(self) -> str:
        """What each run found in a sentence, and the figure of all factors."""
        rows = [(result.task.name, result.preset, finding(result)) for result in self]
        figure = self._figure()
        drawn = [html.image(figure.spec, figure.title), html.paragraph(figure.caption, small=True)] if figure else []
        return html.block(html.table(ReportTable(repr(self)[1:-1], ("task", "preset", "finding"), rows)), *drawn)


def chart(figure: Figure) -> alt.Chart:
    """The Altair chart of a figure."""
    import altair as alt

    return alt.Chart.from_dict(dict(figure.spec))
