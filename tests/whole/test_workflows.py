"""The workflow that scores submissions: it runs code that nobody has read, so it must have nothing to steal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"


@pytest.fixture
def workflow() -> Any:
    return YAML(typ="safe").load(WORKFLOWS / "submission.yml")


def steps(workflow: Any) -> list[Any]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_has_a_token_that_reads_and_no_secrets(workflow: Any) -> None:
    assert list(workflow["on"]) == ["pull_request"]
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job and "env" not in job for job in workflow["jobs"].values())
    values = str(workflow)
    assert not [word for word in ("secrets", "github.token", "GITHUB_TOKEN") if word in values]


def test_checkouts_keep_no_credentials_and_the_harness_is_the_bases(workflow: Any) -> None:
    checkouts = {step["with"]["path"]: step["with"] for step in steps(workflow) if "checkout" in step.get("uses", "")}
    assert set(checkouts) == {"harness", "submitted"}
    assert all(of["persist-credentials"] is False for of in checkouts.values())
    assert checkouts["harness"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "ref" not in checkouts["submitted"], "the merge commit, whose first parent is the base"


def test_scripts_interpolate_nothing_and_only_the_harness_runs(workflow: Any) -> None:
    scripts = [step for step in steps(workflow) if "run" in step]
    assert all("${{" not in step["run"] for step in scripts)
    assert [step.get("working-directory") for step in scripts] == [None, "harness"]
    assert "submitted" not in scripts[1]["run"]
    assert "baseline submit" in scripts[1]["run"]
    assert "--compare" in scripts[1]["run"]
    assert '>> "$GITHUB_STEP_SUMMARY"' in scripts[1]["run"]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


class PullRequest:
    """A base and a merge of changes into it, as the workflow finds them."""

    def __init__(self, root: Path, script: str) -> None:
        self.root, self.script, self.submitted = root, script, root / "submitted"
        for name in ("baselines/old/baseline.py", "baselines/other/baseline.py", "natfp_bench/checks.py"):
            path = self.submitted / name
            path.parent.mkdir(parents=True)
            path.write_text("base\n")
        git(self.submitted, "init")
        self.commit()
        shutil.copytree(self.submitted, root / "harness", ignore=shutil.ignore_patterns(".git"))
        git(self.submitted, "checkout", "-b", "change")

    def commit(self) -> None:
        git(self.submitted, "add", "-A")
        git(self.submitted, "commit", "-m", "change")

    def write(self, name: str, text: str = "submitted\n") -> None:
        path = self.submitted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def take(self) -> tuple[int, str, str]:
        """Merge and run the step; returns its exit code, its output `name`, and its summary."""
        self.commit()
        git(self.submitted, "checkout", "main")
        git(self.submitted, "merge", "--no-ff", "change", "-m", "merge")
        files = {name: self.root / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for path in files.values():
            path.touch()
        environment = {**os.environ, **{name: str(path) for name, path in files.items()}}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.script]
        done = subprocess.run(command, cwd=self.root, env=environment, check=False, capture_output=True)
        return done.returncode, files["GITHUB_OUTPUT"].read_text(), files["GITHUB_STEP_SUMMARY"].read_text()

    def harness(self) -> dict[str, str]:
        files = sorted(path for path in (self.root / "harness").rglob("*") if path.is_file())
        return {str(path.relative_to(self.root / "harness")): path.read_text().strip() for path in files}


BASE = {"baselines/old/baseline.py": "base", "baselines/other/baseline.py": "base", "natfp_bench/checks.py": "base"}


@pytest.fixture
def pull(workflow: Any, tmp_path: Path) -> PullRequest:
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("needs git and bash")
    return PullRequest(tmp_path, next(step["run"] for step in steps(workflow) if step.get("id") == "folder"))


def test_only_the_folder_is_taken(pull: PullRequest) -> None:
    pull.write("baselines/new_one/baseline.py")
    pull.write("baselines/new_one/parts/features.py")
    pull.write("natfp_bench/checks.py")
    assert pull.take() == (0, "name=new_one\n", "")
    taken = {f"baselines/new_one/{name}": "submitted" for name in ("baseline.py", "parts/features.py")}
    assert pull.harness() == BASE | taken


def test_a_changed_folder_replaces_the_old_one_whole(pull: PullRequest) -> None:
    (pull.submitted / "baselines/old/baseline.py").unlink()
    pull.write("baselines/old/other.py")
    assert pull.take()[:2] == (0, "name=old\n")
    assert pull.harness() == {
        "baselines/old/other.py": "submitted",
        **{name: text for name, text in BASE.items() if "old" not in name},
    }


@pytest.mark.parametrize(
    "names",
    [
        ("baselines/old/baseline.py", "baselines/other/baseline.py"),
        ("baselines/README.md",),
        ("baselines/$(touch pwned)/baseline.py",),
        ("baselines/two words/baseline.py",),
        ("baselines/new\none/baseline.py",),
    ],
)
def test_what_is_no_submission_is_said_and_not_run(pull: PullRequest, names: tuple[str, ...]) -> None:
    for name in names:
        pull.write(name)
    code, name, summary = pull.take()
    assert (code, name) == (0, "")
    assert summary.startswith("Not a submission")
    assert pull.harness() == BASE
    assert not list(pull.root.rglob("pwned"))


def test_a_removed_folder_is_no_submission(pull: PullRequest) -> None:
    shutil.rmtree(pull.submitted / "baselines/old")
    assert pull.take() == (0, "", "Not a submission: it removes old.\n")


def test_a_link_is_refused(pull: PullRequest) -> None:
    pull.write("baselines/new_one/baseline.py")
    (pull.submitted / "baselines/new_one/card.yaml").symlink_to("/etc/passwd")
    code, name, summary = pull.take()
    assert (code, name) == (1, "")
    assert "no links" in summary
    assert pull.harness() == BASE
