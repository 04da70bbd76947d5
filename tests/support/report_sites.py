"""Sites that the tests of the report share: one of ordinary runs, and one with hostile names and texts everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from natfp_bench.attributors import registry
from natfp_bench.corpus.plan_from_texts import plan_from_texts
from natfp_bench.pipeline.result_files import find
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.text_settings import TextsSpec
from natfp_bench.report import site as report
from natfp_bench.report.pages.page import Page

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
"""Markup that would run or load something if a page did not escape it."""


def make(results: list[Path], store: Path, folder: Path) -> list[Page]:
    """Write the site of some results; returns its pages."""
    made = list(report.pages(report.read(find(results), store)))
    report.write(report.render(made, report.written_by("natfp-bench report -o site")), folder)
    return made


def ordinary(bench: Any, runs: list[Path], folder: Path) -> list[Page]:
    """Make the site of some runs, of one run with another setting, and of a damaged result."""
    results = folder / "results"
    for place, run in enumerate(runs):
        shutil.copytree(run, results / f"run{place}")
    data = json.loads((results / "run0" / "result.json").read_text())
    other = results / "other"
    shutil.copytree(results / "run0", other)
    changed = {"overrides": {"sampling.temperature": 0.9}, "protocol_digest": "0" * 64}
    (other / "result.json").write_text(json.dumps(data | changed))
    damaged = results / "damaged"
    damaged.mkdir()
    (damaged / "result.json").write_text('{"schema": 1')
    return make([results], bench.store, folder / "site")


def hostile(bench: Any, folder: Path) -> list[Page]:
    """Make the site of a run on texts and labels that are markup; everything is written into `folder`."""
    rows = [
        {"label": label, "text": f"{word} {HOSTILE} text {i} \u202e\x07 {word}."}
        for i in range(60)
        for label, word in ((HOSTILE, "alpha"), ("<b>other</b>", "beta"))
    ]
    source = folder / "texts.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    plan = plan_from_texts(TextsSpec(paths=(str(source),)), "smoke")
    options = {"store": Store(bench.store), "engine": bench.engine, "output": folder / "results", "device": "cpu"}
    run_plan(plan, registry.find("naive_bayes,majority"), **options)
    [path] = find([folder / "results"])
    data = json.loads(path.read_text())
    data["factor"]["name"] = data["task"]["name"] = HOSTILE
    data["task"]["tags"] = [HOSTILE, "plain"]
    data["run"]["command"] = ["natfp-bench", HOSTILE]
    data["run"]["environment"]["platform"] = HOSTILE
    path.write_text(json.dumps(data))
    return make([folder / "results"], bench.store, folder / "site")


def page(made: list[Page], template: str, name: str = "") -> Page:
    """Find the first page of a template with a name in its title."""
    return next(one for one in made if one.template == template and name in one.title)
