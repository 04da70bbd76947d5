"""The wheel contains tasks and baselines, under the name of the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fresh_python import ROOT, python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return target


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """Run Python on the installed package from another folder; -P keeps that folder off the path."""
    return python("-P", *arguments, folder=folder, root=installed)


def test_a_wheel_installs_one_top_level_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"natfp_bench", "natfp_bench-0.1.0.dist-info"}
    bundled = [
        "tasks/seed_id.yaml",
        "tasks/presets/quick.yaml",
        "tasks/fixed_texts/texts.parquet",
        "baselines/unigram/baseline.py",
        "results/evaluate_metrics.py",
        "py.typed",
    ]
    bundled += [f"attributors/template/{name}.txt" for name in ("baseline.py", "card.yaml", "README.md")]
    site = ("base.html", "home.html", "task.html", "attributor.html", "validity.html", "report.css", "report.js")
    bundled += [f"report/templates/{name}" for name in site]
    assert {f"natfp_bench/{name}" for name in bundled} <= set(names)


def test_an_installed_wheel_lists_from_its_own_files(installed: Path, tmp_path: Path) -> None:
    script = "import natfp_bench.base.resources as r; print(r.tasks(), r.baselines())"
    assert run(installed, tmp_path, "-c", script).split() == [
        str(installed / "natfp_bench" / name) for name in ("tasks", "baselines")
    ]
    for what, name in (("tasks", "seed_id"), ("baselines", "char_ngram"), ("presets", "quick")):
        assert name in run(installed, tmp_path, "-m", "natfp_bench", "list", what)


@pytest.mark.slow
def test_an_installed_wheel_runs(installed: Path, tmp_path: Path) -> None:
    options = ["--preset", "smoke", "--baseline", "unigram", "--store", "store", "-o", "out", "--limit", "40"]
    assert "unigram" in run(installed, tmp_path, "-m", "natfp_bench", "run", "--task", "seed_id", *options)
    assert len(list((tmp_path / "out").rglob("result.json"))) == 1
