"""Hands the pages of `pages.py` to MkDocs. $NATFP_REPORT is the folder of a report that becomes a part of the site."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import pages


def on_config(config: Any) -> Any:
    """Make the pages and the menu."""
    report = os.environ.get("NATFP_REPORT")
    made = pages.make(Path(report) if report else None)
    config["pages"] = made
    entries = {group: [{title: path} for title, path in listed] for group, listed in made.menu.items()}
    config.nav = [*entries.pop(""), *({group: listed} for group, listed in entries.items())]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, and the files that they show or link to."""
    for path, content in config["pages"].markdown.items():
        files.append(File.generated(config, path, content=content))
    for path, source in config["pages"].copied.items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    return files
