"""Python in a process of its own, on this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HEAVY = ("torch", "transformers", "datasets", "evaluate", "lm_eval", "ray", "altair", "sklearn", "scipy")

REPORT = "\nprint('loaded:', *[name for name in sys.argv[1:] if name in sys.modules])"

COMMAND = """
names, sys.argv = sys.argv, ["natfp-bench", *{arguments}]
from natfp_bench.cli.main import main
try:
    main()
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
sys.argv = names
"""


def python(*arguments: object, folder: Path, root: Path = ROOT, given: str | None = None, **variables: str) -> str:
    """Run Python in a folder, with the package below `root`; returns what it printed."""
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, **variables}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, input=given, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(code: str, folder: Path, among: Sequence[str] = HEAVY) -> list[str]:
    """Which modules, by default heavy libraries, are loaded after the code has run."""
    return python("-c", f"import sys\n{code}{REPORT}", *among, folder=folder).splitlines()[-1].split()[1:]


def loaded_by(*arguments: object, folder: Path, among: Sequence[str] = HEAVY, code: int = 0) -> list[str]:
    """Which modules are loaded after a command has run and ended with an exit code."""
    return loaded(COMMAND.format(arguments=[*map(str, arguments)], code=code), folder, among)
