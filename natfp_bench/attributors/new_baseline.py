"""Make the folder of a new baseline from the templates: three files, which work and are there to be edited."""

from __future__ import annotations

import string
from pathlib import Path

from natfp_bench.base import resources
from natfp_bench.base.errors import UserError

from .registry import check_name

TEMPLATES = Path(__file__).with_name("template")
"""The files of the folder, each with the suffix `.txt`; `$name` stands for the name of the baseline."""


def new_baseline(name: str, parent: Path) -> Path:
    """Write a working baseline to begin with; returns its folder.

    Raises UserError for a name that is not allowed or taken, and for a folder that exists or cannot be written.
    """
    check_name(name)
    if name in {folder.name for folder in resources.baselines().iterdir()}:
        raise UserError(f"there is a bundled baseline {name!r} already\n  take another name")
    folder = parent / name
    try:
        folder.mkdir(parents=True)
        for template in sorted(TEMPLATES.glob("*.txt")):
            text = string.Template(template.read_text(encoding="utf-8")).safe_substitute(name=name)
            (folder / template.stem).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UserError(f"{folder} exists\n  take another name, or another --output") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})\n  take another --output") from None
    return folder
