"""The page on descent: from whom a model comes, what was done to it, and whether trees of models show it."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.pipeline.result import Result
from natfp_bench.report.descent_figures import fading_figure, tree_figure
from natfp_bench.report.descent_words import WORDS, about_descent, fading_sentences, headline, question_scope, questions
from natfp_bench.report.dilution_words import dilution_answer
from natfp_bench.results.protocols import Protocol

from .page import Page, Pages, provenance, question, task_path, trend_path

PATH, TITLE = "from-whom.html", "From whom?"


def has_descent(of: Pages) -> bool:
    """Whether any result is about descent."""
    return any(about_descent(protocol.newest) for protocol in of.protocols)


def descent(of: Pages) -> Page:
    """Make the page."""
    chosen = _chosen([one for one in of.protocols if about_descent(one.newest)])
    asked = questions([one.newest for one in chosen], _elsewhere(chosen, of.protocols))
    sections, figures = [], []
    for one in asked:
        tree = tree_figure(one.result, one.drawn) if one.drawn else None
        figures += [tree] if tree else []
        sections.append(
            {
                "id": one.result.task.name.replace("_", "-"),
                "question": question(one.result),
                "answer": one.answer,
                "elsewhere": [
                    {"answer": answer, "scope": question_scope(result), "path": task_path(result)}
                    for result, answer in one.elsewhere
                ],
                "short": WORDS[one.answer.verdict],
                "run": one.run,
                "tree": one.tree,
                "more": [text for text in (one.verified, one.disguised) if text],
                "notes": one.notes,
                "scope": question_scope(one.result),
                "path": task_path(one.result),
                "task": one.result.task.name,
                "figure": tree,
            }
        )
    fading = []
    for trend in of.trends:
        for drawn in (
            fading_figure(trend, of.by_digest) if trend.task in {one.newest.task.name for one in chosen} else ()
        ):
            figures.append(drawn)
            results = [of.by_digest[point.protocol_digest].newest for point in trend.points]
            fading.append(
                {
                    "question": question(results[0]),
                    "sentences": list(fading_sentences(trend)),
                    "figure": drawn,
                    "path": trend_path(trend),
                    "scope": f"{len(results)} results; each: {question_scope(results[-1])}",
                }
            )
    answers = [(one.newest, dilution_answer(one.newest.study)) for one in of.protocols if _whole(one.newest)]
    mixed = [(result, answer) for result, answer in answers if answer]
    shown = {
        "headline": headline(asked),
        "sections": sections,
        "fading": fading,
        "mixed": [
            {"text": answer, "scope": question_scope(result), "path": task_path(result), "task": result.task.name}
            for result, answer in mixed
        ],
    }
    shown_too = [result for one in asked for result, _ in one.elsewhere] + [result for result, _ in mixed]
    made = [provenance(result) for result in (*(one.result for one in asked), *shown_too)]
    return Page(PATH, TITLE, "descent.html", shown, figures, made)


def _elsewhere(chosen: Sequence[Protocol], protocols: Sequence[Protocol]) -> list[Result]:
    """The best result of each task for each training text that the chosen result of the task does not have."""
    corpus = {of.newest.task.name: of.newest.corpus.name for of in chosen}
    others: dict[str, list[Protocol]] = {}
    for of in protocols:
        result = of.newest
        if corpus.get(result.task.name, result.corpus.name) != result.corpus.name and _whole(result):
            others.setdefault(result.corpus.name, []).append(of)
    return [of.newest for name in sorted(others) for of in _chosen(others[name])]


def _whole(result: Result) -> bool:
    return result.fixed_texts is None and result.subset is None and result.preset != "smoke"


def _chosen(protocols: Sequence[Protocol]) -> list[Protocol]:
    """One protocol of each task: of the largest preset, as the task has it, with the most replicates, the newest.

    Settings of the analysis only add to what is said of the same models.
    """

    def place(of: Protocol) -> tuple[bool, bool, int, int, str]:
        result = of.newest
        models, texts = len(result.variants), result.samples.per_variant if result.samples else 0
        changed = any(not path.startswith("analysis.") for path in result.overrides)
        return _whole(result), not changed, models, texts, result.run.started

    newest: dict[str, Protocol] = {}
    for one in sorted(protocols, key=place):
        newest[one.newest.task.name] = one
    return [*newest.values()]
