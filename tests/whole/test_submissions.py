"""What the workflow takes of a pull request: one folder of one baseline, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_python import ROOT

GITHUB = ROOT / ".github"


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
