"""Texts of results for other tools, texts that such tools may trip over, and the questions of an export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from natfp_bench.results import export, lm_eval_export
from natfp_bench.results.export import Exported

HOSTILE = (
    "{{ 7 * 7 }} {% raw %} {# gone #}",
    'a "quoted", text\nof two lines\r\nand, a third',
    "</text>\nAuthor: B\n\n",
    "",
    "NA",
    "2020-01-01",
    "\x00\x1b[31m\u2028\u2029 \ufffd \U0001f600",
    "!function os.system",
)


def with_hostile(exported: Exported) -> Exported:
    """The same rows, and texts that other tools may trip over."""
    texts = [HOSTILE[row % len(HOSTILE)] for row in exported.texts["row"].to_pylist()]
    return dataclasses.replace(exported, texts=exported.texts.set_column(0, "text", pa.array(texts)))


def asked(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def written(what: Exported, folder: Path, limit: int = 5, shots: int = 2) -> Path:
    lm_eval_export.write_lm_eval(what, export.make_folder(folder), limit, shots)
    return folder
