"""A setting that is added later, with a default, finds every entry of a store made before, and changes no text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from package_copies import PackageCopy

from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.variants import resolve

if TYPE_CHECKING:
    from bench import Bench

SECTION = re.compile(r"^class (\w+Spec|Recipe|Settings)\(\w+\):\n    \"\"\"(?:.|\n)*?\"\"\"\n", re.MULTILINE)
"""The head of a record of settings, its docstring included: new fields go behind it."""

STREAMS = """
import json, sys
from pathlib import Path
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.make_plan import make_plan

plan = make_plan("seed_id", "smoke", overrides={"corpus.name": sys.argv[1]})
assert "later" in plan.variants[0].settings.model_dump()
found = []
for of in resolve(plan):
    own = of.variant.settings
    found.append(lineage.stream(of.model.lineage, own.sampling.draw, own.serve, own.numerics.threads, plan.seed))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> PackageCopy:
    """The package with one more field, with a default, in each section of the settings."""
    made = PackageCopy(tmp_path_factory.mktemp("later"))
    added = 0
    for name in ("settings", "text_settings", "task_files"):
        path = made.folder / "natfp_bench" / "plan" / f"{name}.py"
        text, count = SECTION.subn(lambda head: f"{head[0]}\n    later_{head[1].lower()}: int = 0\n", path.read_text())
        path.write_text(text.replace("later_settings", "later"))
        added += count
    assert added >= 17, "sections of the settings that were found"
    return made


def test_a_store_made_before_is_found_whole(bench: Bench, seed_run: Any, copy: PackageCopy, tmp_path: Path) -> None:
    command = ["run", "--task", "seed_id", "--preset", "smoke", "--baseline", "majority,unigram,char_ngram,naive_bayes"]
    options = ["--corpus", f"text:{bench.corpus}", "--store", bench.store, "-o", tmp_path, "--json"]
    (result,) = json.loads(copy.python("-m", "natfp_bench", *command, *options))
    assert result["variants"][0]["settings"]["model"]["later_modelspec"] == 0
    assert list(result["run"]["seconds"]) == ["total"], "nothing was made again"
    before = seed_run[0]
    assert [of["key"] for of in result["variants"]] == [of.key for of in before.variants]
    assert result["protocol_digest"] == before.protocol_digest
    assert result["samples"]["digest"] == before.samples.digest


def test_streams_stay(bench: Bench, copy: PackageCopy) -> None:
    plan = bench.plan("seed_id")
    expected = []
    for of in resolve(plan):
        own = of.variant.settings
        stream = lineage.stream(of.model.lineage, own.sampling.draw, own.serve, own.numerics.threads, plan.seed)
        expected.append([*stream])
    assert json.loads(copy.python("-c", STREAMS, f"text:{bench.corpus}")) == expected
