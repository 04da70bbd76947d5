"""A finished run, and several: short where they are printed, whole where they are asked, harmless in a notebook."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from bench import scores
from fresh_python import loaded
from report_sites import HOSTILE

import natfp_bench
from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import result as records
from natfp_bench.pipeline.result import METRICS
from natfp_bench.python.finished import Result
from natfp_bench.report import drawing
from natfp_bench.report.finding import finding


class Page(HTMLParser):
    """What a browser would find in some HTML: its elements, its text, and its images."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self.images: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style", "colspan", "alt", "src"}
        self.images += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_a_result_is_its_record_and_knows_its_place(seeds: Result, seed_run: Any, bench: Any) -> None:
    record, folder = seed_run
    assert isinstance(seeds, records.Result)
    assert seeds.stable_json() == record.stable_json()
    assert json.loads(seeds.to_json()) == json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (seeds.path, seeds.store) == (folder / "result.json", bench.store)
    for again in (copy.copy(seeds), pickle.loads(pickle.dumps(seeds))):
        assert (again.path, again.store, again.run.id) == (seeds.path, seeds.store, seeds.run.id)
    with pytest.raises(ValueError, match="frozen"):
        seeds.seed = 3  # type: ignore[misc]


def test_a_result_is_printed_in_one_line(seeds: Result, rates: Result) -> None:
    for result in (seeds, rates):
        line = repr(result)
        assert line == str(result)
        assert len(line) - len(str(result.path)) < 150
        assert line.endswith(f"{result.path}>")
        assert f"of {result.task.name} (smoke): " in line
    of_texts = [score for score in scores(seeds).values() if score.attributor.access == "text"]
    best = max(of_texts, key=lambda score: score.metrics["accuracy"].value)
    assert f"{best.attributor.name} {best.metrics['accuracy'].value:.2f} " in repr(seeds)
    assert "chance 0.25, ceiling " in repr(seeds)
    assert "ceiling" not in repr(rates), "on unseen replicates there is none"


def test_a_notebook_shows_the_sentence_the_board_and_the_figure(seeds: Result, rates: Result) -> None:
    for result, split in ((seeds, "unseen prompts"), (rates, "unseen replicates")):
        page = Page(result._repr_html_())
        text = " ".join(page.said)
        assert finding(result) == page.said[0]
        assert f"({split})" in text or f", {split})" in text
        assert {score.attributor.name for score in result.scores if score.attributor.access == "text"} <= set(page.said)
        assert page.tags.count("table") == 1
        (image,) = page.images
        kind, _, drawn = image.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(drawn)).tag.endswith("svg")


def test_names_of_others_are_escaped_in_a_notebook(seeds: Result, tmp_path: Path) -> None:
    name = f"{HOSTILE}\x1b[31m"
    data = json.loads(seeds.path.read_text(encoding="utf-8"))
    data["task"]["name"] = data["factor"]["name"] = data["corpus"]["name"] = data["preset"] = name
    for score in data["scores"]:
        if score["attributor"]["access"] == "text":
            score["attributor"]["name"] += name
    (tmp_path / "result.json").write_text(json.dumps(data), encoding="utf-8")
    found = natfp_bench.load_results(tmp_path)
    shown = (found[0]._repr_html_(), found._repr_html_(), natfp_bench.leaderboard(found)._repr_html_())
    for html in shown:
        page = Page(html)
        assert set(page.tags) <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "img", "br"}
        assert all(image.startswith("data:image/svg+xml;base64,") for image in page.images)
        assert any("<script>" in text for text in page.said)
        assert "\x1b" not in html
    assert "\x1b" not in repr(found[0]) + repr(found)


def test_a_result_without_scores_is_shown_too(seeds: Result, tmp_path: Path) -> None:
    data = json.loads(seeds.path.read_text(encoding="utf-8")) | {"scores": [], "study": None, "likelihood": []}
    for variant in data["variants"]:
        variant |= {"status": "diverged", "reason": "loss became NaN"}
    (tmp_path / "result.json").write_text(json.dumps(data), encoding="utf-8")
    (result,) = found = natfp_bench.load_results(tmp_path)
    assert "no attributor answered" in repr(result)
    assert "failed: seed0/r0 diverged: loss became NaN; left out" in Page(result._repr_html_()).said
    assert Page(found._repr_html_()).tags.count("img") == 0
    assert len(result.to_frame()) == 0
    with pytest.raises(UserError, match="no result of this collection has scores"):
        found.figure()
    with pytest.raises(UserError, match="unknown figure 'accuracy'"):
        result.figure()


def test_a_table_has_a_row_for_each_score(rates: Result) -> None:
    table = rates.to_frame()
    assert len(table) == len(rates.scores)
    for score, (_, row) in zip(rates.scores, table.iterrows(), strict=True):
        assert (row.attributor, row.target, row.split) == (score.attributor.name, score.target, score.split)
        assert (row.task, row.factor, row.levels, row.replicates) == ("rate", "peak learning rate", 3, 3)
        for metric in METRICS:
            found = score.metrics.get(metric)
            expected = [None] * 3 if found is None else [found.value, found.low, found.high]
            assert [row[metric], row[f"{metric}_low"], row[f"{metric}_high"]] == pytest.approx(
                [float("nan") if value is None else value for value in expected], nan_ok=True
            )
    replicates = table[table.split == "unseen_replicate"]
    assert set(replicates.interval_over) == {"replicates"}


def test_predictions_and_texts_agree(rates: Result) -> None:
    answers, texts = rates.predictions(), rates.texts()
    assert list(texts.columns) == ["text", "label", "variant", "replicate", "prompt", "row", "split"]
    assert len(texts) == rates.samples.per_variant * len(rates.variants)  # type: ignore[union-attr]
    asked = answers[(answers.target == "level") & (answers.attributor == "naive_bayes")]
    labels = texts.set_index(["variant", "row"]).label
    assert [labels[key] for key in zip(asked.variant, asked.row, strict=True)] == asked.label.tolist()
    score = next(s for s in rates.scores if (s.attributor.name, s.split) == ("naive_bayes", "unseen_replicate"))
    own = asked[asked.split == "unseen_replicate"]
    assert len(own) == score.n_test
    credit = [
        (p[score.classes.index(truth)] == p.max()) / (p == p.max()).sum()
        for p, truth in zip(own.proba, own.label, strict=True)
    ]
    assert sum(credit) / len(credit) == pytest.approx(score.metrics["accuracy"].value)


def test_models_are_checkpoints(seeds: Result) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = seeds.models()
    assert list(found) == [variant.name for variant in seeds.variants]
    for variant in seeds.variants[:2]:
        model = AutoModelForCausalLM.from_pretrained(found[variant.name])
        assert model.num_parameters() == variant.parameters
        assert AutoTokenizer.from_pretrained(found[variant.name])("a boat")["input_ids"]


def test_what_a_store_lacks_is_named(seeds: Result, tmp_path: Path) -> None:
    elsewhere = Result.at(seeds, seeds.path, tmp_path)
    with pytest.raises(UserError, match=r"no store at .*\n  load_results\(\.\.\., store=FOLDER\), or natfp-bench run"):
        elsewhere.texts()
    with pytest.raises(UserError, match="lacks the model seed0/r0"):
        elsewhere.models()
    assert not list(tmp_path.iterdir()), "reading makes no store"
    lone = Path(shutil.copytree(seeds.path.parent, tmp_path / "copy"))
    (lone / "predictions.parquet").unlink()
    (moved,) = natfp_bench.load_results(lone)
    with pytest.raises(UserError, match="missing or damaged"):
        moved.predictions()
    assert Page(moved._repr_html_()).images


def test_figures_are_charts_of_the_result(rates: Result) -> None:
    import altair as alt

    assert {"accuracy", "confusion", "training", "kl", "robustness"} <= set(rates.figures)
    assert len(set(rates.figures)) == len(rates.figures)
    chart = rates.figure("training").properties(width=200)
    assert isinstance(chart, alt.TopLevelMixin)
    spec = chart.to_dict()
    assert (spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/"), spec["width"]) == (True, 200)
    with pytest.raises(UserError, match="unknown figure 'acuracy'\n  did you mean: accuracy"):
        rates.figure("acuracy")


def test_a_collection(seeds: Result, rates: Result, bench: Any) -> None:
    found = natfp_bench.load_results(seeds.path, rates.path.parent, store=bench.store)
    assert len(found) == 2
    names = sorted(result.task.name for result in found)
    assert names == ["rate", "seed_id"]
    assert isinstance(found[:1], natfp_bench.Results)
    assert found[-1].store == bench.store
    assert re.fullmatch(r"<Results of 2 runs: \w+, \w+>", repr(found))
    assert repr(found[:0]) == "<Results of 0 runs>"
    table = found.to_frame()
    assert len(table) == len(seeds.scores) + len(rates.scores)
    assert set(table.factor) == {"peak learning rate", seeds.factor.name}
    page = Page(found._repr_html_())
    assert {finding(seeds), finding(rates)} <= set(page.said)
    assert len(page.images) == 1
    assert "vega-lite" in found.figure().to_dict()["$schema"]


def test_a_long_collection_stays_short(seeds: Result) -> None:
    assert repr(natfp_bench.Results([seeds] * 30)).endswith("seed_id, seed_id and 26 more>")


def test_pandas_is_asked_for_by_name(seeds: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for ask in (seeds.to_frame, seeds.predictions, seeds.texts, natfp_bench.Results([seeds]).to_frame):
        with pytest.raises(UserError, match=r"tables need pandas .*\n  pip install pandas"):
            ask()


def test_reading_a_result_loads_no_heavy_library(seeds: Result, tmp_path: Path) -> None:
    code = f"import natfp_bench; repr(natfp_bench.load_results({str(seeds.path)!r})[0])"
    heavy = ("torch", "transformers", "datasets", "evaluate", "lm_eval", "ray", "altair", "scipy", "pandas")
    assert loaded(code, tmp_path, heavy) == []


def test_the_look_of_charts_is_kept(seeds: Result) -> None:
    assert seeds.figure().to_dict()["config"]["font"] == drawing.FONT
