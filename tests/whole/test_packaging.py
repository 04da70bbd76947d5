"""The wheel contains tasks and baselines, under the name of the package."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def natfp(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed package from another folder, without the checkout on the path."""
    # -P keeps the working folder off sys.path; the target comes before an editable install's entry.
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "natfp_bench", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


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
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(installed / "natfp_bench" / name) for name in ("tasks", "baselines")]
    for what, name in (("tasks", "seed_id"), ("baselines", "char_ngram"), ("presets", "quick")):
        listed = natfp(installed, tmp_path, "list", what)
        assert listed.returncode == 0, listed.stderr
        assert name in listed.stdout


@pytest.mark.slow
def test_an_installed_wheel_runs(installed: Path, tmp_path: Path) -> None:
    options = ["--preset", "smoke", "--baseline", "unigram", "--store", "store", "-o", "out", "--limit", "40"]
    ran = natfp(installed, tmp_path, "run", "--task", "seed_id", *options)
    assert ran.returncode == 0, ran.stderr
    assert "unigram" in ran.stdout
    assert len(list((tmp_path / "out").rglob("result.json"))) == 1
