"""The document of trends: what it says first, its figures, and crossed seeds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_trends import protocols
from test_crossed_words import made

from natfp_bench.report.trend_document import (
    Part,
    crossed_results,
    figures_of,
    in_short,
    trend_parts,
    trends_document,
    written,
)
from natfp_bench.report.trend_tables import answers
from natfp_bench.results.trends import Line, Trend, trends_of

Natfp = Callable[..., tuple[int, str, str]]


def changed(trend: Trend, **update: object) -> Trend:
    """The trend with all of its lines changed."""
    return trend.model_copy(update={"lines": tuple(line.model_copy(update=update) for line in trend.lines)})


@pytest.fixture(scope="module")
def trend() -> Trend:
    (found,) = trends_of(protocols())
    return found


def kl_against_tokens(trend: Trend) -> list[Line]:
    return [line for line in trend.lines if (line.figure, line.against) == ("mean_kl", "tokens")]


def test_an_answer_counts_the_lines_and_gives_the_range(trend: Trend) -> None:
    lines = kl_against_tokens(trend)
    said = next(one for one in answers(trend) if one.startswith("When the tokens double, the mean KL"))
    sizes = sorted(abs(line.slope.value) for line in lines)
    assert f"falls by {sizes[0]:.3f} to {sizes[-1]:.3f} on 3 of 3 lines" in said
    assert "(corrected p below 0.0001)" in said
    sure = next(iter(answers(changed(trend, p_adjusted=0.03))))
    assert "(corrected p at most 0.030)" in sure
    assert len(list(answers(trend))) == len({(line.figure, line.against) for line in trend.lines})


def test_an_answer_names_the_lines_that_differ(trend: Trend) -> None:
    first, *others = kl_against_tokens(trend)
    ((path, value),) = first.fixed.items()
    lines = tuple(line.model_copy(update={"p_adjusted": 0.4}) if line is first else line for line in trend.lines)
    said = next(iter(answers(trend.model_copy(update={"lines": lines}))))
    assert said.endswith(f"; is not shown to change where {path} is {value}.")
    assert f"where {path} is {others[0].fixed[path]} or {others[1].fixed[path]} (corrected p" in said


def test_an_answer_says_what_is_not_shown_and_what_has_no_interval(trend: Trend) -> None:
    assert all("is not shown to change" in said for said in answers(changed(trend, p_adjusted=0.4)))
    assert all("too few models for an interval" in said for said in answers(changed(trend, p_adjusted=None)))


def test_every_figure_is_shown_where_it_is_drawn(trend: Trend) -> None:
    parts = trend_parts([trend])
    text = trends_document(parts, "figures/trends")
    assert re.findall(r"!\[[^]]*]\(figures/trends/(.*?)\.svg\)", text) == list(figures_of(parts))
    assert len(figures_of(parts)) == 9
    assert "](figures" not in trends_document(parts)


def test_crossed_seeds_are_corrected_for_all_questions(tmp_path: Path) -> None:
    one = made(tmp_path)
    other = one.model_copy(update={"protocol_digest": "e" * 64})
    assert crossed_results([one, one, other]) == [one, other]
    parts = trend_parts([], crossed=[one, other])
    assert [part.title.split(":")[0] for part in parts] == [one.task.name] * 2
    said = parts[0].answers[-1]
    assert "for the 4 questions about single seeds here" in said
    assert "initialisation: 0.004" in said, "four times 0.001"
    assert len(parts[0].figures) == 2


def test_what_comes_from_a_file_is_escaped() -> None:
    text = "\n".join(written([Part("a", "<b>*x*", "", ["<i>"])]))
    assert re.findall(r"(.)<", text) == ["\\", "\\"]


def test_figures_need_a_document(natfp: Natfp, tmp_path: Path) -> None:
    for more in ([], ["--trends"], ["--trends", "--format", "md"], ["--trends", "--json", "-o", "a.json"]):
        code, _, err = natfp("leaderboard", "results", "--figures", "figures", *more)
        assert code == 2
        assert "--figures figures: figures are shown in a document" in err


def test_the_command_writes_document_and_figures(natfp: Natfp, tmp_path: Path) -> None:
    for protocol in protocols(widths=(32,)):
        for place, (_, result) in enumerate(protocol.results):
            own = tmp_path / "results" / result.protocol_digest[-3:] / str(place)
            own.mkdir(parents=True)
            (own / "result.json").write_text(result.to_json())
    asked = ["--trends", "--format", "md", "-o", "docs/trends.md", "--figures", "docs/figures"]
    assert natfp("leaderboard", "results", *asked)[0] == 0
    links = re.findall(r"]\((figures/.*?\.svg)\)", (tmp_path / "docs/trends.md").read_text())
    assert links
    assert all((tmp_path / "docs" / link).read_text().startswith("<svg") for link in links)
    assert natfp("leaderboard", "results", *asked)[0] == 0, "it replaces its own files"


def test_leaderboards_have_the_answers_alone(trend: Trend) -> None:
    text = "\n".join(in_short(trend_parts([trend])))
    assert all(said in text for said in answers(trend))
    assert "Every line" not in text
    assert "|" not in text
    assert in_short([]) == []
