"""The checks of attributors as jobs and from the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from written_baselines import FATAL, write

from natfp_bench.attributors import registry
from natfp_bench.attributors.contract import CHECKS
from natfp_bench.base import resources
from natfp_bench.pipeline import contract_suite
from natfp_bench.pipeline.local_engine import LocalEngine

Natfp = Callable[..., tuple[int, str, str]]

NAMES = [one.name for one in CHECKS]
ELSEWHERE = ("encoder_finetune",)  # needs weights: test_neural_baselines.py puts some into its folder


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    made = LocalEngine(1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        ("time.sleep(120)", r"stopped after [23]\.\d s: its card allows 2 s"),
        ("self.held = bytearray(b'x') * 2**31; time.sleep(120)", r"stopped at \d+ MB: its card allows \d+ MB"),
        ("os._exit(9)", r"its process died \(exit code 9\)"),
    ],
)
def test_a_baseline_that_hangs_grows_or_crashes_is_stopped_and_named(
    engine: LocalEngine, tmp_path: Path, act: str, seen: str
) -> None:
    seconds = 2 if act == "time.sleep(120)" else 60
    folder = write(tmp_path, FATAL.format(act=act), card=f"limits: {{seconds: {seconds}, memory_mb: 2000}}\n")
    report = contract_suite.check_all(registry.read(folder), engine)
    assert [finding.check for finding in report.failed] == ["run"]
    assert re.fullmatch(seen, report.failed[0].seen)
    assert "`limits` in card.yaml" in str(report.failed[0].mend)
    assert list(report.unrun) == NAMES[2:]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=[] if path.name in ("majority", "naive_bayes") else pytest.mark.slow)
        for path in sorted(resources.baselines().iterdir())
        if path.name not in ELSEWHERE
    ],
)
def test_bundled_baselines_conform(engine: LocalEngine, name: str) -> None:
    report = contract_suite.check_all(registry.find(name)[0], engine)
    assert report.failed == ()
    assert [finding.check for finding in report.findings] == NAMES


LAZY = "def build(seed):\n    import no_such_module_xyz\n"


@pytest.mark.parametrize(
    ("code", "card", "said"),
    [
        ("def build(): pass", "", "fails the check build: mine: build(seed=...) cannot be called: "),
        (
            LAZY,
            "requires: ['no-such>=2']\n",
            "needs the module 'no_such_module_xyz', which is missing: pip install 'no-such>=2'",
        ),
        ("import no_such_module_xyz", "", "install it, and list it under 'requires' in card.yaml"),
    ],
)
def test_a_baseline_that_cannot_be_built_fails_its_check(
    natfp: Natfp, tmp_path: Path, code: str, card: str, said: str
) -> None:
    folder = write(tmp_path, code, card=card)
    code_, out, err = natfp("baseline", "check", folder)
    assert code_ == 1
    assert said in err
    assert err.count("error:") == 1
    assert "not run" in out


def test_faults_of_the_folder_are_the_users(natfp: Natfp, tmp_path: Path) -> None:
    def said(folder: Path | str) -> str:
        code, out, err = natfp("baseline", "check", folder)
        assert (code, out, err.count("error:")) == (2, "", 1)
        return err

    (tmp_path / "empty").mkdir()
    assert "holds no baseline.py and no card.yaml" in said(tmp_path / "empty")
    assert "no folder" in said(tmp_path / "nowhere")
    assert "did you mean: unigram" in said("unigrm")
    assert "'unigram,majority' names 2 baselines" in said("unigram,majority")
    code = FATAL.format(act="pass")
    assert "card.yaml:7: unknown key 'flor' (did you mean 'floor'?)" in said(
        write(tmp_path / "a", code, card="flor: true\n")
    )
    assert "no plain name" in said(write(tmp_path / "b", code, name="Mine"))
    assert "is reserved" in said(write(tmp_path / "c", code, name="ceiling"))


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "natfp-extras"
version = "1.0"

[project.entry-points."natfp_bench.baselines"]
marks = "natfp_extras.marks"
"""

MARKS = """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from natfp_extras.parts import MARKS
    def build(seed):
        return make_pipeline(CountVectorizer(token_pattern=MARKS), LogisticRegression(random_state=seed))
"""


@pytest.fixture
def extras(tmp_path: Path) -> Path:
    """Install another package, which offers a baseline; returns its folder."""
    source = tmp_path / "source"
    write(source / "natfp_extras", MARKS, name="marks")
    (source / "natfp_extras" / "__init__.py").touch()
    (source / "natfp_extras" / "parts.py").write_text("MARKS = r'[^\\w\\s]+|th\\w+|every'\n")
    (source / "pyproject.toml").write_text(PROJECT)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(source)], check=True, capture_output=True)
    return tmp_path / "site"


@pytest.mark.slow
def test_a_baseline_of_an_installed_package_is_checked_by_name_and_by_path(
    natfp: Natfp, extras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(extras))
    assert registry.find("marks")[0].folder == extras / "natfp_extras" / "marks"
    for given in ("marks", str(extras / "natfp_extras" / "marks")):
        code, out, _ = natfp("baseline", "check", given)
        assert code == 0
        assert f"marks, version 1: {len(CHECKS)} checks, 0 failed" in out


def test_a_report_for_programs(natfp: Natfp, tmp_path: Path) -> None:
    folder = write(tmp_path, "def build(seed): return 3")
    code, out, _ = natfp("baseline", "check", folder, "--json")
    assert code == 1
    report = contract_suite.ContractReport.model_validate_json(out)
    assert report.digest == registry.read(folder).digest
    assert "without fit and predict_proba" in report.failed[0].seen
