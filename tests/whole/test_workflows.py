"""The workflows: those that run what nobody has read have nothing to steal, and only a submission is scored."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fresh_python import ROOT, python
from ruamel.yaml import YAML

GITHUB = ROOT / ".github"

FILES = {path.stem: path for path in (GITHUB / "workflows").iterdir()}

WORKFLOWS: dict[str, Any] = {name: YAML(typ="safe").load(path) for name, path in FILES.items()}

READ = {"contents": "read"}

JOBS = {(name, job): of for name, workflow in WORKFLOWS.items() for job, of in workflow["jobs"].items()}


def permissions(name: str, job: str) -> dict[str, str]:
    return JOBS[name, job].get("permissions", WORKFLOWS[name]["permissions"])


def steps(*names: str) -> Iterator[Any]:
    for (name, _), job in JOBS.items():
        if not names or name in names:
            yield from job["steps"]


def test_permissions_are_the_least() -> None:
    assert set(WORKFLOWS) == {"ci", "submission", "hidden", "release", "docs"}
    assert {key: permissions(*key) for key in JOBS} == {
        ("ci", "ci"): READ,
        ("submission", "look"): READ,
        ("submission", "score"): READ,
        ("hidden", "score"): READ,
        ("release", "build"): READ,
        ("release", "test"): {},
        ("release", "publish"): {"id-token": "write", "attestations": "write"},
        ("docs", "build"): READ,
        ("docs", "publish"): {"id-token": "write", "pages": "write"},
    }
    assert all(workflow["permissions"] in ({}, READ) for workflow in WORKFLOWS.values())


def test_every_action_is_pinned_by_commit_with_its_version() -> None:
    lines = [
        line for path in FILES.values() for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line
    ]
    pins = [re.fullmatch(r" +(?:- )?uses: ([\w-]+/[\w-]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)", line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    assert len(lines) == sum("uses" in step for step in steps())
    assert len({pin[1] for pin in pins if pin}) == len({pin.groups() for pin in pins if pin}), (
        "one commit for each action"
    )


def test_checkouts_keep_no_credentials_and_scripts_interpolate_nothing() -> None:
    assert all(of["with"]["persist-credentials"] is False for of in steps() if "actions/checkout" in of.get("uses", ""))
    assert not [of["run"] for of in steps() if "${{" in of.get("run", "")]
    assert not [of for of in steps("submission", "hidden", "release", "docs") if "cache" in str(of.get("with", ""))]


def test_workflows_of_pull_requests_have_no_secrets() -> None:
    for name in ("ci", "submission"):
        words = str(WORKFLOWS[name])
        assert not [word for word in ("secrets", "github.token", "GITHUB_TOKEN", "environment") if word in words]
    assert WORKFLOWS["submission"]["on"] == {"pull_request": {"branches": ["main"], "paths": ["baselines/**"]}}
    assert not [name for name, of in WORKFLOWS.items() if {"pull_request_target", "workflow_run"} & set(of["on"])]


def test_a_submission_is_scored_by_the_harness_of_the_base() -> None:
    for job in ("look", "score"):
        checkouts = [step["with"] for step in JOBS["submission", job]["steps"] if "checkout" in step.get("uses", "")]
        assert [(of["path"], of.get("ref")) for of in checkouts] == [
            ("harness", "${{ github.event.pull_request.base.sha }}"),
            ("submitted", None),  # the merge commit, whose first parent is the base
        ]
    scripts = [step["run"] for step in steps("submission") if "run" in step]
    assert not [script for script in scripts if re.search(r"(?<!take_submission\.py )submitted", script)]
    score = JOBS["submission", "score"]
    assert (score["needs"], score["if"]) == ("look", "needs.look.outputs.folder != ''"), "a skipped job is neutral"
    (command,) = [script for script in scripts if "baseline submit" in script]
    for option in ("--sandbox on", '--compare "baselines/$FOLDER/results.json"', '--summary "$RUNNER_TEMP/summary.md"'):
        assert option in command
    assert "GITHUB_" not in command, "the summary is shown by a later step, when no worker is left"
    assert scripts[-1] != command
    assert 'cat "$RUNNER_TEMP/summary.md" >> "$GITHUB_STEP_SUMMARY"' in scripts[-1]


def test_hidden_scores_are_made_on_the_protected_branch_alone() -> None:
    assert list(WORKFLOWS["hidden"]["on"]) == ["workflow_dispatch"]
    job = JOBS["hidden", "score"]
    assert job["if"] == "github.ref_protected && github.ref_name == github.event.repository.default_branch"
    assert job["environment"] == "hidden"
    assert FILES["hidden"].read_text(encoding="utf-8").count("secrets.") == 1
    (secret,) = [step for step in job["steps"] if "secrets." in str(step)]
    assert secret["env"] == {"SECRET": "${{ secrets.HIDDEN_SECRET }}"}
    assert not re.search(r"echo|set -x|cat ", secret["run"])
    (upload,) = [step["with"] for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["path"] == "${{ runner.temp }}/hidden/hidden.json"


def test_pages_are_published_from_the_protected_branch_by_what_runs_nothing_else() -> None:
    job = JOBS["docs", "publish"]
    assert job["if"] == JOBS["hidden", "score"]["if"]
    assert (job["needs"], job["environment"]) == ("build", "github-pages")
    assert not [step for step in job["steps"] if "run" in step or "checkout" in step["uses"]]


def bash(script: str, folder: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_the_secret_is_in_a_file_that_only_its_user_can_read(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps("hidden") if "SECRET" in step.get("env", {})]
    done = bash(script, tmp_path, SECRET="a'b $c\nd", RUNNER_TEMP=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "secret").read_text() == "a'b $c\nd"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert bash(script, tmp_path, SECRET="", RUNNER_TEMP=tmp_path).returncode == 1


@pytest.mark.parametrize(
    "names", ["../x", "unigram ../x", "$(touch pwned)", "-x", "unigram; touch pwned", "no_such", ""]
)
def test_hidden_scores_take_names_of_baselines_alone(names: str, tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps("hidden") if "BASELINES" in step.get("env", {})]
    done = bash(f'{script}\nmapfile -t of < "$RUNNER_TEMP/folders"', ROOT, BASELINES=names, RUNNER_TEMP=tmp_path)
    assert done.returncode == 1
    assert not (ROOT / "pwned").exists()


def test_hidden_scores_of_several_baselines(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps("hidden") if "BASELINES" in step.get("env", {})]
    assert bash(script, ROOT, BASELINES=" unigram  char_ngram", RUNNER_TEMP=tmp_path).returncode == 0
    assert (tmp_path / "folders").read_text().split() == ["./baselines/unigram", "./baselines/char_ngram"]


@pytest.mark.parametrize("code", [0, 1])
def test_the_log_of_hidden_scores_quotes_nothing(code: int, tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps("hidden") if "hidden score" in step.get("run", "")]
    (tmp_path / "folders").write_text("./baselines/unigram\n./baselines/char_ngram\n")
    program = tmp_path / ".venv/bin/natfp-bench"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$@" "$NATFP_STORE"; echo a hidden text >&2; [ "$2" = make ] || exit {code}\n')
    program.chmod(0o755)
    done = bash(script, tmp_path, RUNNER_TEMP=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.startswith("It failed. ")) == (code, "", bool(code))
    assert "hidden text" not in done.stderr
    assert (tmp_path / "log").read_text().splitlines()[::2] == [
        f"hidden make --secret {tmp_path}/secret --store {tmp_path}/store {tmp_path}/store",
        f"hidden score ./baselines/unigram ./baselines/char_ngram --secret {tmp_path}/secret -o {tmp_path}/hidden "
        f"{tmp_path}/store",
    ]


def wheel(folder: Path, name: str, *files: str) -> None:
    """Write a wheel with empty files."""
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as file:
        for inner in files:
            file.writestr(inner, "")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "".join(f"{inner},,\n" for inner in [*files, f"{info}/RECORD"]))


@pytest.mark.slow
def test_required_packages_may_not_run_by_themselves_or_overwrite(tmp_path: Path) -> None:
    wheel(tmp_path, "good", "good/__init__.py")
    wheel(tmp_path, "starts", "starts.pth", "sitecustomize.py", "usercustomize/__init__.py")
    wheel(tmp_path, "overwrites", "good/__init__.py")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/setup.py").write_text(
        "open('pwned', 'w')\nfrom setuptools import setup\nsetup(name='source')\n"
    )
    shutil.make_archive(str(tmp_path / "source-1"), "gztar", tmp_path, "source")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import install_requires as of\n"
        "print(*of.install(sys.argv[3:], '--no-index', '--find-links', sys.argv[2]), sep='\\n')"
    )

    def installed(*requires: str) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin/python"), "-I", "-c", code, str(GITHUB), str(tmp_path), *requires]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert (installed().stdout, installed("good==1").stdout) == ("\n", "\n")
    assert installed("source").returncode == 1
    assert not list(tmp_path.rglob("pwned"))
    assert "overwrites 1 overwrites __init__.py of good 1" in installed("overwrites==1").stdout.splitlines()
    starts = {
        line.rpartition(" ")[2] for line in installed("starts==1").stdout.splitlines() if "when it starts" in line
    }
    assert {"starts.pth", "sitecustomize.py", "__init__.py"} <= starts


def test_the_packages_of_the_cards_are_installed(tmp_path: Path) -> None:
    assert python(GITHUB / "install_requires.py", ROOT / "baselines/unigram", folder=tmp_path).strip() == ""
