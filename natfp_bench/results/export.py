"""The texts of a result for other tools: a table, a data set for the Hugging Face Hub, or questions for lm-eval.

Texts are read from the store of the run. They must have the digest that the result states. The predictions of the
result say which of them are test texts.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench import __version__
from natfp_bench.base import disk
from natfp_bench.base.errors import UserError
from natfp_bench.base.markdown import escape, grid
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.evidence import SampleTotals
from natfp_bench.pipeline.result import Result, VariantResult
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.plan import cut_to
from natfp_bench.plan.split import UNSEEN_REPLICATE

from .origin import remake, sample_stages, settings_of
from .predictions import Predictions, main_split, read_predictions

COLUMNS = {
    "text": (pa.string(), "what the model wrote; it may be empty"),
    "label": (pa.string(), "level of the factor, which attributors guess"),
    "variant": (pa.string(), "the model that wrote it, of one level and one replicate"),
    "replicate": (pa.int64(), "block of models, one per level, that share their nuisance seeds"),
    "prompt": (
        pa.int64(),
        "id of the prompt that it continues (the prompt is not part of the text); no prompt is in both splits",
    ),
    "row": (pa.int64(), "number within the sample set of the variant"),
    "split": (pa.string(), "train or test"),
}
"""Columns of exported texts: type and content."""

TEXTS = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])

HELD_OUT = (
    "Unseen prompts alone do not support a claim about the factor: hold out each replicate in turn, at every level, "
    "and test on it an attributor that was fitted to the others."
)


@dataclass(frozen=True)
class Exported:
    """A result, its predictions, and its texts: rows of `TEXTS`, variant after variant."""

    result: Result
    predictions: Predictions
    texts: pa.Table


def gather(path: Path, store: Store) -> Exported:
    """Read a result and its texts.

    Raises UserError if the store lacks them or has other texts, with the command that makes them again.
    """
    result = results.read(path)
    if result.subset is not None:
        raise UserError(f"{path} is about a part of the texts of its run\n  export the run's own result.json")
    predictions = read_predictions(path)
    asked = predictions.test_texts(result)
    tests: dict[str, set[int]] = {}
    for variant, row in zip(asked["variant"].to_pylist(), asked["row"].to_pylist(), strict=True):
        tests.setdefault(variant, set()).add(row)
    # A variant that diverged has no test texts.
    kept = [variant for variant in result.variants if variant.name in tests]
    texts = result.samples.per_variant if result.samples else 0
    tables = [read_table(store, stages, texts) for stages in sample_stages(result, kept, store)]
    if not result.samples or SampleTotals.of(tables).digest != result.samples.digest:
        raise UserError(
            f"{path}: the store {store.root} has other texts than this result\n"
            f"  {remake(result)}   gives a result for those"
        )
    size = cut_to(result.factor.fields, settings_of(kept[0]))
    parts = [_part(of, table, tests[of.name], size) for of, table in zip(kept, tables, strict=True)]
    return Exported(result, predictions, pa.concat_tables(parts))


def _part(of: VariantResult, table: pa.Table, tests: set[int], size: int | None) -> pa.Table:
    """Texts of one variant as attributors see them: cut to `size` bytes, unless that is None."""
    whole, rows = table["text"].to_pylist(), table["row"].to_pylist()
    n = len(rows)
    columns = {
        "text": whole if size is None else [first_bytes(text, size) for text in whole],
        "label": [of.level] * n,
        "variant": [of.name] * n,
        "replicate": np.full(n, of.replicate, dtype=np.int64),
        "prompt": table["prompt"].to_numpy().astype(np.int64),
        "row": np.array(rows, dtype=np.int64),
        "split": ["test" if row in tests else "train" for row in rows],
    }
    return pa.table(columns, schema=TEXTS)


def make_folder(folder: Path) -> Path:
    """Make the folder for an export and return its absolute path; raises UserError unless it is empty."""
    folder = disk.usable_folder(folder, "output folder")
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty\n  choose another folder with -o")
    return folder


def write_csv(exported: Exported, folder: Path) -> None:
    """Write one `texts.csv` in UTF-8, with line breaks and quotes within texts quoted as in RFC 4180."""
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        # Every text is quoted: otherwise a lone carriage return would end its row.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(TEXTS.names)
        writer.writerows(zip(*(exported.texts[name].to_pylist() for name in TEXTS.names), strict=True))
    usage = "`texts.csv` has one row per text. Empty texts, and texts like `NA`, are valid texts:\n\n" + _code(
        'texts = pandas.read_csv("texts.csv", keep_default_na=False, dtype={"text": str, "label": str})', "python"
    )
    write_card(exported.result, folder, usage, [*TEXTS.names])


def write_dataset(exported: Exported, folder: Path) -> None:
    """Write a folder for `datasets.load_dataset`: Parquet files of both splits, and a card that names them."""
    (folder / "data").mkdir()
    counts = {}
    split = exported.texts["split"].to_numpy(zero_copy_only=False)
    for name in ("train", "test"):
        part = exported.texts.filter(pa.array(split == name)).drop_columns(["split"])
        pq.write_table(part, folder / "data" / f"{name}.parquet")
        counts[name] = len(part)
    result = exported.result
    header = [
        "---",
        "# license: yours to choose; the texts are from models trained on the corpus named below",
        f"pretty_name: {json.dumps(f'natfp_bench {result.task.name}, {result.preset}', ensure_ascii=False)}",
        "task_categories:",
        "- text-classification",
        "tags:",
        "- natfp_bench",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(line for name in counts for line in (f"  - split: {name}", f"    path: data/{name}.parquet")),
        "---",
        "",
    ]
    usage = f"{counts['train']:,} training and {counts['test']:,} test texts. To read the folder:\n\n" + _code(
        'texts = datasets.load_dataset("path/to/this/folder")', "python"
    )
    columns = [name for name in TEXTS.names if name != "split"]
    write_card(result, folder, usage, columns, header="\n".join(header))


def write_card(result: Result, folder: Path, usage: str, columns: Sequence[str], *, header: str = "") -> None:
    """Write the folder's README.md: content, usage, columns and provenance."""
    trained = {of.source for of in result.variants} == {"train"}
    only = ", the only difference in the training of the models that wrote these texts" if trained else ""
    parts = [
        f"{header}# Texts of {result.task.name}",
        f"Which model wrote which text? Labels are levels of {escape(result.factor.name)}{only}. Made by natfp_bench.",
        usage,
        grid(("column", "content"), [(f"`{name}`", COLUMNS[name][1]) for name in columns]) if columns else "",
        HELD_OUT if main_split(result) == UNSEEN_REPLICATE else "",
        "## Provenance",
        grid(("", ""), [(name, escape(str(value))) for name, value in provenance(result).items()]),
        f"This run made the texts:\n\n{_code(remake(result), 'console')}",
    ]
    (folder / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def provenance(result: Result) -> dict[str, Any]:
    """Everything that identifies the texts, by name."""
    overrides = {f"override {name}": value for name, value in result.overrides.items()}
    return {
        "natfp_bench": __version__,
        "task": f"{result.task.name}, version {result.task.version}",
        "task digest": result.task.digest,
        "factor": ", ".join(result.factor.fields),
        "preset": result.preset,
        "seed": result.seed,
        **overrides,
        "corpus": result.corpus.name,
        "corpus digest": result.corpus.digest,
        "texts per variant": result.samples.per_variant if result.samples else 0,
        "samples digest": result.samples.digest if result.samples else "",
        **({"fixed texts": result.fixed_texts} if result.fixed_texts else {}),
        "protocol digest": result.protocol_digest,
        "run": result.run.id,
    }


def _code(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"
