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


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    who += ["-c", "protocol.file.allow=always", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


class PullRequest:
    """A base and a merge of changes into it, as the workflow finds them."""

    def __init__(self, root: Path) -> None:
        self.root, self.submitted, self.harness = root, root / "submitted", root / "harness"
        self.submitted.mkdir()
        git(self.submitted, "init")
        for name in BASE:
            self.write(name, f"base of {name}\n" * 9)
        self.commit()
        shutil.copytree(self.submitted, self.harness, ignore=shutil.ignore_patterns(".git"))
        git(self.submitted, "checkout", "-b", "change")

    def commit(self) -> None:
        git(self.submitted, "add", "-A")
        git(self.submitted, "commit", "--allow-empty", "-m", "change")

    def write(self, name: str, text: str = "submitted\n") -> None:
        path = self.submitted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def take(self) -> tuple[int, str, str]:
        """Merge and run the script; returns its exit code, its output for the workflow, and its summary."""
        self.commit()
        git(self.submitted, "checkout", "main")
        git(self.submitted, "merge", "--no-ff", "change", "-m", "merge")
        command = [sys.executable, "-I", str(GITHUB / "take_submission.py"), "submitted", "harness"]
        environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(self.root / "summary")}
        done = subprocess.run(command, cwd=self.root, env=environment, check=False, capture_output=True, text=True)
        summary = self.root / "summary"
        said = summary.read_text(encoding="utf-8") if summary.exists() else ""
        assert done.stderr == said
        return done.returncode, done.stdout, said

    def taken(self) -> dict[str, str]:
        """Files of the harness that are not those of the base."""
        files = sorted(path for path in self.harness.rglob("*") if path.is_file() or path.is_symlink())
        texts = {str(path.relative_to(self.harness)): path.read_text() for path in files}
        assert {"README.md", "baselines/other/baseline.py"} <= set(texts)
        return {name: text for name, text in texts.items() if not text.startswith(f"base of {name}")}


BASE = ("README.md", "baselines/old/baseline.py", "baselines/old/card.yaml", "baselines/other/baseline.py")


@pytest.fixture
def pull(tmp_path: Path) -> PullRequest:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    return PullRequest(tmp_path)


def refused(pull: PullRequest, *named: str) -> None:
    """The pull request fails, its summary names what is wrong, and the harness stays as it was."""
    code, output, summary = pull.take()
    assert (code, output, pull.taken()) == (1, "", {})
    assert all(f"    {name}" in summary.splitlines() for name in named), summary
    assert (pull.harness / "baselines/old/card.yaml").exists()


def test_an_added_folder_is_taken(pull: PullRequest) -> None:
    pull.write("baselines/new_one/baseline.py")
    pull.write("baselines/new_one/parts/features.py")
    assert pull.take() == (0, "folder=new_one\n", "")
    files = ("baselines/new_one/baseline.py", "baselines/new_one/parts/features.py")
    assert pull.taken() == dict.fromkeys(files, "submitted\n")


def test_a_changed_folder_replaces_the_old_one_whole(pull: PullRequest) -> None:
    (pull.submitted / "baselines/old/card.yaml").unlink()
    pull.write("baselines/old/other.py")
    assert pull.take() == (0, "folder=old\n", "")
    assert pull.taken() == {"baselines/old/other.py": "submitted\n"}
    assert not (pull.harness / "baselines/old/card.yaml").exists()


@pytest.mark.parametrize("name", [None, "docs/page.md"])
def test_what_touches_no_baseline_is_neutral(pull: PullRequest, name: str | None) -> None:
    if name:
        pull.write(name)
    said = "This changes nothing below baselines/, so nothing is scored.\n"
    assert pull.take() == (0, "folder=\n", said)
    assert pull.taken() == {}


def test_two_folders_are_refused(pull: PullRequest) -> None:
    pull.write("baselines/old/baseline.py")
    pull.write("baselines/new_one/baseline.py")
    refused(pull, "baselines/old/baseline.py (changed)", "baselines/new_one/baseline.py (added)")


@pytest.mark.parametrize(
    "name", ["README.md", ".github/workflows/submission.yml", "baselines/README.md", "Baselines/x/y"]
)
def test_a_folder_and_another_file_are_refused(pull: PullRequest, name: str) -> None:
    pull.write("baselines/new_one/baseline.py")
    pull.write(name)
    how = "changed" if name in BASE else "added"
    refused(pull, "baselines/new_one/baseline.py (added)", f"{name} ({how})")


def test_a_renamed_folder_is_a_deleted_and_an_added_one(pull: PullRequest) -> None:
    git(pull.submitted, "mv", "baselines/old", "baselines/new_one")
    refused(pull, "baselines/old/baseline.py (deleted)", "baselines/new_one/baseline.py (added)")


def test_a_file_of_the_repository_that_moves_into_a_folder_is_refused(pull: PullRequest) -> None:
    (pull.submitted / "baselines/new_one").mkdir()
    git(pull.submitted, "mv", "README.md", "baselines/new_one/README.md")
    refused(pull, "README.md (deleted)", "baselines/new_one/README.md (added)")


def test_a_removed_folder_is_refused(pull: PullRequest) -> None:
    shutil.rmtree(pull.submitted / "baselines/old")
    refused(pull, "baselines/old/baseline.py (deleted)", "baselines/old/card.yaml (deleted)")


def test_a_link_is_refused(pull: PullRequest) -> None:
    pull.write("baselines/new_one/baseline.py")
    (pull.submitted / "baselines/new_one/card.yaml").symlink_to("/etc/passwd")
    refused(pull, "baselines/new_one/card.yaml is a link")


def test_a_folder_that_becomes_a_link_is_refused(pull: PullRequest) -> None:
    shutil.rmtree(pull.submitted / "baselines/old")
    (pull.submitted / "baselines/old").symlink_to("other")
    refused(pull, "baselines/old (added)", "baselines/old/card.yaml (deleted)")


def test_a_file_that_becomes_a_link_is_refused(pull: PullRequest) -> None:
    (pull.submitted / "baselines/old/baseline.py").unlink()
    (pull.submitted / "baselines/old/baseline.py").symlink_to("../other/baseline.py")
    refused(pull, "baselines/old/baseline.py is a link")


def test_a_submodule_is_refused(pull: PullRequest, tmp_path: Path) -> None:
    pull.write("baselines/new_one/baseline.py")
    commit = git(pull.submitted, "rev-parse", "HEAD").strip()
    git(pull.submitted, "update-index", "--add", "--cacheinfo", f"160000,{commit},baselines/new_one/parts")
    (pull.submitted / "baselines/new_one/parts").mkdir()
    git(pull.submitted / "baselines/new_one/parts", "init")
    git(pull.submitted / "baselines/new_one/parts", "commit", "--allow-empty", "-m", "inner")
    refused(pull, "baselines/new_one/parts is a submodule")


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("__pycache__/x.py", "__pycache__/x.py is compiled code"),
        ("parts/x.PYC", "parts/x.PYC is compiled code"),
        ("x.so", "x.so is compiled code"),
        (".hidden", ".hidden has an odd or hidden name"),
        (".git_attributes/x", ".git_attributes/x has an odd or hidden name"),
        ("-rf", "-rf has an odd or hidden name"),
        ("new\nline", r"new\u000aline has an odd or hidden name"),
        ("'quotes\"", r"\u0027quotes\u0022 has an odd or hidden name"),
        ("##[error]`x`", r"\u0023\u0023\u005berror\u005d\u0060x\u0060 has an odd or hidden name"),
        ("$(touch pwned)", r"\u0024\u0028touch pwned\u0029 has an odd or hidden name"),
        ("Grün", r"Gr\u00fcn has an odd or hidden name"),
    ],
)
def test_odd_names_are_refused_and_shown_harmlessly(pull: PullRequest, name: str, reported: str) -> None:
    pull.write("baselines/new_one/baseline.py")
    pull.write(f"baselines/new_one/{name}")
    git(pull.submitted, "add", "-f", f"baselines/new_one/{name}")
    refused(pull, f"baselines/new_one/{reported}")
    assert not list(pull.root.rglob("pwned"))


def test_names_that_differ_in_case_alone_are_refused(pull: PullRequest) -> None:
    for name in ("baseline.py", "Baseline.py", "parts/x.py", "Parts/y.py"):
        pull.write(f"baselines/new_one/{name}")
    if (pull.submitted / "baselines/new_one/baseline.py").samefile(pull.submitted / "baselines/new_one/Baseline.py"):
        pytest.skip("this file system ignores case")
    what = "differs from another name in case alone"
    refused(pull, *(f"baselines/new_one/{name} {what}" for name in ("baseline.py", "Baseline.py", "parts", "Parts")))


@pytest.mark.parametrize("name", ["$(touch pwned)", "two words", "new\none", "Old", "-x", ".x", "x" * 65])
def test_folders_of_odd_names_are_refused(pull: PullRequest, name: str) -> None:
    pull.write(f"baselines/{name}/baseline.py")
    refused(pull)
    assert not list(pull.root.rglob("pwned"))


def test_a_checkout_that_is_no_merge_is_refused(pull: PullRequest, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(GITHUB / "take_submission.py"), "submitted"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"not the merge" in done.stderr


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
