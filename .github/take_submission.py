"""Which baseline does a pull request submit? Copies it to the harness, if that is asked for.

Usage: python3 -I take_submission.py SUBMITTED [HARNESS]

SUBMITTED is a checkout of the pull request's merge commit, whose first parent is the base. HARNESS is a checkout of the
base; the submitted folder replaces the one of its name there. Prints `folder=NAME` for the workflow's outputs, with no
name if nothing below baselines/ changes; that is neither right nor wrong. Ends with exit code 1, and a report of what
was touched, if the pull request is not the addition or change of one folder of plain files.

Nothing here runs or reads what was submitted. Files are copied as git stores them, so that no link is followed and no
.gitattributes changes them on their way.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

FOLDER = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""The name of a baseline's folder."""

PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""The name of a file or an inner folder: neither hidden nor like an option, and the same on every file system."""

COMPILED = re.compile(r"__pycache__|.*\.(pyc|pyo|so|pyd|dll|dylib|pth)", re.IGNORECASE)
"""Code that no reviewer can read, and files that Python runs unasked."""

KINDS = {"120000": "a link", "160000": "a submodule"}

TOUCHED = {"A": "added", "D": "deleted", "M": "changed", "T": "changed in kind"}


class NoSubmissionError(Exception):
    """Why the pull request is no submission, with one line for each fault."""

    def __init__(self, reason: str, lines: list[str]) -> None:
        super().__init__(reason)
        self.lines = lines


def git(checkout: Path, *arguments: str) -> bytes:
    """What a git command prints."""
    return subprocess.run(["git", "-C", str(checkout), *arguments], check=True, stdout=subprocess.PIPE).stdout


def fields(output: bytes) -> list[str]:
    """Split what git prints with -z: names come as they are, whatever characters they have."""
    return os.fsdecode(output).split("\0")[:-1]


def shown(name: str) -> str:
    """A name for people, in characters that neither Markdown nor a workflow's log can mistake for a command."""
    return re.sub(r"[^A-Za-z0-9_./ -]", lambda found: f"\\u{ord(found[0]):04x}", name)


def touched(checkout: Path) -> list[tuple[str, str]]:
    """What the merge changes, as (letter, name). A renamed file is a deleted and an added one."""
    parents = git(checkout, "rev-list", "--parents", "--max-count=1", "HEAD").split()[1:]
    if len(parents) != 2:
        raise NoSubmissionError("The checkout is not the merge of a pull request into its base.", [])
    found = fields(git(checkout, "diff", "--name-status", "-z", "--no-renames", "HEAD^1", "HEAD"))
    return list(zip(found[::2], found[1::2], strict=True))


def submitted(checkout: Path) -> str | None:
    """The name of the one folder that is added or changed, or None if nothing below baselines/ is touched."""
    changes = touched(checkout)
    if not any(name.split("/")[0] == "baselines" for _, name in changes):
        return None
    lines = [f"{shown(name)} ({TOUCHED.get(letter, letter)})" for letter, name in changes]
    folders = {inner_folder(name) for _, name in changes}
    if len(folders) > 1 or None in folders:
        raise NoSubmissionError("A submission touches one folder below baselines/ and nothing else. Touched:", lines)
    folder = folders.pop()
    if folder is None or not FOLDER.fullmatch(folder):
        raise NoSubmissionError("The folder's name has other characters than a-z, 0-9 and _. Touched:", lines)
    if not entries(checkout, folder):
        raise NoSubmissionError(f"A submission adds or changes a baseline. This removes {folder}. Touched:", lines)
    return folder


def inner_folder(name: str) -> str | None:
    """The folder below baselines/ that a file is in, or None if it is in none."""
    top, _, rest = name.partition("/")
    folder, slash, _ = rest.partition("/")
    return folder if top == "baselines" and slash else None


def entries(checkout: Path, folder: str) -> list[tuple[str, str, str]]:
    """All files of the submitted folder, as (mode, object, name)."""
    found = fields(git(checkout, "ls-tree", "-r", "-z", "--full-tree", "HEAD", f"baselines/{folder}/"))
    files = []
    for head, _, name in (line.partition("\t") for line in found):
        mode, _, digest = head.split()
        files.append((mode, digest, name))
    return files


def check(files: list[tuple[str, str, str]]) -> None:
    """Check that a folder has plain files of plain names alone."""
    faults = [f"{shown(name)} is {KINDS[mode]}" for mode, _, name in files if mode in KINDS]
    parts = [(name, part) for _, _, name in files for part in name.split("/")[2:]]
    faults += [f"{shown(name)} has an odd or hidden name" for name, part in parts if not PART.fullmatch(part)]
    faults += [f"{shown(name)} is compiled code" for name, part in parts if COMPILED.fullmatch(part)]
    # A file system that ignores case would keep only one of two such files.
    paths = {"/".join(name.split("/")[: depth + 1]) for _, _, name in files for depth in range(name.count("/") + 1)}
    same = Counter(unicodedata.normalize("NFC", path).casefold() for path in paths)
    twins = sorted(path for path in paths if same[unicodedata.normalize("NFC", path).casefold()] > 1)
    faults += [f"{shown(path)} differs from another name in case alone" for path in twins]
    if faults:
        raise NoSubmissionError("A submission is plain files, with names of letters, digits, _ . and -. But:", faults)


def copy(checkout: Path, harness: Path, folder: str, files: list[tuple[str, str, str]]) -> None:
    """Replace a folder of the harness by the submitted one."""
    shutil.rmtree(harness / "baselines" / folder, ignore_errors=True)
    for _, digest, name in files:
        path = harness / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(git(checkout, "cat-file", "blob", digest))


def main(checkout: Path, harness: Path | None = None) -> int:
    """Decide, copy if there is a harness, and report; returns the exit code."""
    try:
        folder = submitted(checkout)
        if folder is not None:
            files = entries(checkout, folder)
            check(files)
            if harness is not None:
                copy(checkout, harness, folder, files)
    except NoSubmissionError as error:
        report("\n".join([str(error), "", *(f"    {line}" for line in error.lines)]))
        return 1
    if folder is None:
        report("This changes nothing below baselines/, so nothing is scored.")
    print(f"folder={folder or ''}")
    return 0


def report(text: str) -> None:
    """Write to the log, and to the summary of the workflow if there is one."""
    print(text, file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
