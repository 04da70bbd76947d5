"""Pages of trends, and of results with many candidates, from results that were made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from bench import BRIEF
from planted_trends import protocols

from natfp_bench.pipeline.result_files import find
from natfp_bench.report import site as report
from natfp_bench.report.many_tables import many_figure, many_sentences, many_table
from natfp_bench.results.many import many_of
from natfp_bench.results.protocols import read_protocols

TASK = """\
task: nine
version: 1
summary: Which of nine seeds trained the model?
tags: [many]
replicates: 1
factor:
  name: random seeds
  fields: [seeds.init, seeds.data_order, seeds.dropout]
  levels: {a: 0, b: 1, c: 2, d: 3, e: 4, f: 5, g: 6, h: 7, i: 8}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a site of one sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    for protocol in protocols(widths=(32, 64)):
        for place, (_, result) in enumerate(protocol.results):
            own = folder / result.protocol_digest[-3:] / str(place)
            own.mkdir(parents=True)
            (own / "result.json").write_text(result.to_json())
    of = report.read(find([folder]), folder / "store")
    pages = list(report.pages(of, ["index-*", "trends-*"]))
    return dict(report.render(pages, "natfp-bench report").files)


def test_a_sweep_has_one_page_that_all_pages_link_to(site: dict[str, str]) -> None:
    (path,) = [name for name in site if name.startswith("trends/")]
    page = site[path]
    assert f'href="{path}"' in site["index.html"]
    assert "What each line shows" in page
    assert "In short" in page
    assert "Extrapolated, not measured" in page
    assert page.count('class="figure"') == 6
    assert "Intervals leave out one of: 5 models." in page
    assert [name for name in site if name.startswith("data/trends-")]


def test_points_link_to_their_results(site: dict[str, str]) -> None:
    (path,) = [name for name in site if name.startswith("trends/")]
    assert site[path].count('href="../tasks/seed_id-quick-') >= 12


@pytest.fixture(scope="module")
def nine(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("nine")
    (folder / "nine.yaml").write_text(TASK)
    return bench.run("nine", include=[folder], overrides={**BRIEF, "sampling.texts": "60"}, baselines="naive_bayes")


@pytest.mark.slow
def test_many_candidates_have_a_curve(nine: Any) -> None:
    (found,) = many_of(read_protocols([nine[1] / "result.json"])[0])
    assert found.curves.keys() == {"ceiling", "naive_bayes"}
    scores = {score.attributor.name: score for score in nine[0].scores}
    for name, curve in found.curves.items():
        assert [k for k, _ in curve.points] == [2, 4, 8, 9]
        assert curve.points[-1][1].value == pytest.approx(scores[name].metrics["accuracy"].value)
        assert curve.test.fitted == 5
    assert len(many_table(found).rows) == 2
    for said in many_sentences(found):
        assert "95%" in said
        assert "the prediction" in said
    assert many_figure(found).rows


def test_few_seeds_and_levels_of_a_factor_have_no_curve(seed_run: Any, rate_run: Any) -> None:
    assert many_of(read_protocols([run[1] / "result.json" for run in (seed_run, rate_run)])[0]) == []
