"""Installs the packages that the cards of baselines require, and checks that they stay apart from the harness.

Usage: .venv/bin/python .github/install_requires.py FOLDER...

The classifier itself runs in a sandbox, but its packages are installed outside it. So:

- Only wheels are installed (--only-binary :all:): a package that comes as source would run its set-up code here.
- Packages of the harness stay as they are: constraints.txt fixes their versions, and no file may be overwritten.
- No file is accepted that Python runs by itself when it starts (.pth, sitecustomize), because the harness would run it.

A package is still code by somebody else. Who accepts a baseline, or approves its hidden score, must trust its packages.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

STARTS = {"sitecustomize", "usercustomize"}
"""Modules that Python imports when it starts, if they exist."""


def installed() -> set[tuple[Path, str]]:
    """Every file that pip has installed, with the package that it belongs to."""
    return {
        (Path(str(package.locate_file(file))).resolve(), f"{package.metadata['Name']} {package.version}")
        for package in distributions()
        for file in package.files or ()
    }


def faults(before: set[tuple[Path, str]], after: set[tuple[Path, str]]) -> list[str]:
    """What the new packages may not do, in words."""
    owners = dict(before)
    found = [f"{package} was removed or changed: {path.name}" for path, package in before - after]
    for path, package in after - before:
        if path in owners:
            found.append(f"{package} overwrites {path.name} of {owners[path]}")
        if path.suffix == ".pth" or STARTS & {part.partition(".")[0] for part in path.parts}:
            found.append(f"{package} has a file that Python runs when it starts: {path.name}")
    return sorted(found)


def install(requires: list[str], *options: str) -> list[str]:
    """Install packages into this environment; returns the faults."""
    if not requires:
        return []
    before = installed()
    # This process started before the installation, so no new file has run in it.
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*pip, *options, "--", *requires], check=True)
    return faults(before, installed())


def main(folders: list[str]) -> int:
    """Install what the cards require; returns the exit code."""
    from natfp_bench.attributors import registry

    cards = [registry.read(Path(folder)).card for folder in folders]
    requires = sorted({str(one) for card in cards for one in card.requires})
    found = install(requires, "--constraint", str(Path(__file__).resolve().parents[1] / "constraints.txt"))
    print("\n".join(found), file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
