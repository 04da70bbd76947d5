"""What CONTRIBUTING says to touch is enough: its examples, added to a copy of the package, work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from package_copies import ROOT, PackageCopy

if TYPE_CHECKING:
    from bench import Bench

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"`natfp_bench/([\w/]+\.py)`[^`]*:\n\n```python\n(.*?)```", re.DOTALL)
"""A file of the package that is named, and the code that belongs in it."""

EXAMPLES = dict(BLOCK.findall(TEXT))

TASK = """\
task: echo_id
version: 1
summary: Who says which word?
factor:
  name: word
  fields: [source.model]
  levels: {tea: tea, sea: sea, key: tea key}
settings:
  source: {kind: echo}
"""

COUNT = """
import sys
from pathlib import Path
from natfp_bench.pipeline.local_engine import LocalEngine
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.text_bytes import TextBytes
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.make_plan import make_plan

plan = make_plan("seed_id", "smoke", overrides={"corpus.name": sys.argv[1]})
of = resolve(plan)[0]
stage, engine = TextBytes(of.samples, 10), LocalEngine(1)
store = Store(Path(sys.argv[2]))
for _ in range(2):
    schedule = Schedule(store, engine, "cpu", lambda event: None)
    schedule.drive(Wanted(one, "one") for one in (of.corpus, of.model, *of.samples, stage))
    print(schedule.metas[stage].bytes, list(schedule.seconds))
engine.close()
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> PackageCopy:
    """The package with the stage, the metric and the source of CONTRIBUTING's examples."""
    made = PackageCopy(tmp_path_factory.mktemp("touched"))
    # A stage: one module. A metric: one function and its name in the schema.
    made.add("natfp_bench/pipeline/stages/text_bytes.py", EXAMPLES["pipeline/stages/text_bytes.py"])
    before = "def fold_values("
    made.edit("statistics/metrics.py", before, f"{EXAMPLES['statistics/metrics.py']}\n\n{before}")
    made.edit("pipeline/result.py", '    "kendall_tau",\n', '    "kendall_tau",\n    "top_two_accuracy",\n')
    # A source: one module and the list of kinds.
    made.add("natfp_bench/pipeline/sources/echo.py", EXAMPLES["pipeline/sources/echo.py"])
    (line,) = re.findall(r'`("echo": SourceFacts\(.*?\))`', TEXT)
    made.edit("plan/text_settings.py", '"texts": SourceFacts(', f'{line},\n    "texts": SourceFacts(')
    made.edit("plan/text_settings.py", '"lm_eval", "texts"]', '"lm_eval", "texts", "echo"]')
    made.add("more/echo_id.yaml", TASK)
    return made


@pytest.mark.slow
def test_a_stage_is_one_module(bench: Bench, seed_run: Any, copy: PackageCopy) -> None:
    first, second = copy.python("-c", COUNT, f"text:{bench.corpus}", bench.store).splitlines()
    counted, made = first.split(" ", 1)
    assert int(counted) > 100
    assert made == "['count']", "the texts are those of the run"
    assert second == f"{counted} []", "it is found the second time"


@pytest.mark.slow
def test_a_source_and_a_metric_reach_the_result(bench: Bench, copy: PackageCopy, tmp_path: Path) -> None:
    options = ["--include-path", "more", "--task", "echo_id", "--preset", "smoke", "--baseline", "majority,unigram"]
    options += ["--corpus", f"text:{bench.corpus}", "--store", tmp_path / "store", "-o", tmp_path / "results", "--json"]
    (result,) = json.loads(copy.python("-m", "natfp_bench", "run", *options))
    assert {of["source"] for of in result["variants"]} == {"echo"}
    scores = {score["attributor"]["name"]: score["metrics"] for score in result["scores"]}
    assert scores["unigram"]["accuracy"]["value"] > 0.9
    assert scores["majority"]["top_two_accuracy"]["value"] >= scores["majority"]["accuracy"]["value"]
    interval = scores["unigram"]["top_two_accuracy"]
    assert interval["low"] <= interval["value"] == 1.0 <= interval["high"]
    assert "top_two_accuracy" in copy.python("-m", "natfp_bench", "schema", "result")
