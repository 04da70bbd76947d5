"""Results for readers: tables, Markdown, charts, and a static site.

Read in this order; the room imports base to results, and never cli.

table                   the model of a table, which terminal, Markdown and pages render
crossed_words, verification_words, dilution_words, trace_words, finding   what results say, in words
result_tables, leaderboard_tables   all tables, with their captions
markdown, regression_formats        documents for GitHub, and formats for CI
drawing                 what all figures share: colours of roles, the look, the parts of a chart
charts                  kinds of charts; study_figures and figures make the figures of a result from them
crossed_figures         a crossing of seeds
many_tables, trend_tables, trend_figures   many candidates, and trends of sweeps: sentences, tables, curves
trend_document              both and crossed seeds as one document
curve_tables, curve_figures   how many training texts attributors need: sentences, tables, curves
descent_words, descent_figures   where models come from: answers, trees, and how fast an ancestor fades
published_work                   what published work says on descent, beside what a result says
main_figure             one line per factor: on the first page, in the README and in papers
glossary                each word of the report, explained once
page_texts              training curves, sample texts and answers that pages show
pages, site             the pages as records, and the site with its templates
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The public function `natfp_bench.report` has the name of this room: so the room can be called, and makes a site.

    Importing the room sets the name in the package, whatever it was before. What a call does is in `python.ask`.
    """

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Make a static site of results: `natfp_bench.report(results, "site")`; see `natfp_bench.python.ask.report`."""
        from natfp_bench.python.ask import report

        return report(*arguments, **options)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        from natfp_bench.python.ask import report

        return signature(report)


sys.modules[__name__].__class__ = _Callable
