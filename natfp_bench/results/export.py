"""The texts that a result rests on, for other tools: a table, a data set of the Hub's form, or questions of lm-eval.

Texts are read from the store, where the run left them, and are the result's own: their digest must be the one that the
result states. Which of them are for testing is read off the result's predictions.
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
from natfp_bench.base.errors import UserError
from natfp_bench.corpus.tokens import first_bytes
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.evidence import SampleTotals
from natfp_bench.pipeline.result import Result, VariantResult
from natfp_bench.pipeline.scoring import PREDICTIONS
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.plan import cut_to
from natfp_bench.plan.split import UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.report.markdown import escape, grid

from .origin import remake, sample_stages, settings_of

TEXTS = pa.schema(
    {
        "text": pa.string(),
        "label": pa.string(),
        "variant": pa.string(),
        "replicate": pa.int64(),
        "prompt": pa.int64(),
        "row": pa.int64(),
        "split": pa.string(),
    }
)
"""Columns of exported texts: `label` is the level, and `prompt` and `row` are the sample set's."""

COLUMNS = {
    "text": "what the model wrote; it may be empty",
    "label": "level of the factor: what is to be told",
    "variant": "who wrote it: the model of a level and a replicate",
    "replicate": "block of models, one a level, that share their nuisance seeds",
    "prompt": "id of the prompt that it continues, which is no part of it; no prompt is in both splits",
    "row": "number within the variant's sample set",
    "split": "train or test",
}


HELD_OUT = (
    "A claim about the factor takes more than unseen prompts: each replicate is held out in turn, at every level, and "
    "told by what was learnt from the others."
)


@dataclass(frozen=True)
class Exported:
    """A result, its predictions, and the texts that it rests on: rows of `TEXTS`, variant after variant."""

    result: Result
    predictions: pa.Table
    texts: pa.Table


def read_predictions(path: Path) -> pa.Table:
    """Read the predictions beside a `result.json`; raises UserError where they are missing or damaged."""
    beside = path.parent / "predictions.parquet"
    try:
        table = pq.read_table(beside, partitioning=None)
    except (OSError, ValueError, pa.ArrowException):
        reason = "damaged" if beside.exists() else "no such file"
        raise UserError(
            f"{beside}: cannot be read ({reason}), and it says which texts are for testing\n"
            "  it belongs beside the result.json that was written with it"
        ) from None
    if table.schema.names != PREDICTIONS.names:
        raise UserError(f"{beside}: no predictions (columns {', '.join(table.schema.names)})")
    try:
        table = table.cast(PREDICTIONS)
        table.validate(full=True)
    except (ValueError, pa.ArrowException) as error:
        raise UserError(f"{beside}: no predictions ({' '.join(str(error).split())})") from None
    if any(column.null_count for column in table.columns):
        raise UserError(f"{beside}: no predictions (some are missing)")
    return table


def main_split(result: Result) -> str:
    """Split that the task is about: unseen replicates where they are held out."""
    held_out = any((score.target, score.split) == ("level", UNSEEN_REPLICATE) for score in result.scores)
    return UNSEEN_REPLICATE if held_out else UNSEEN_PROMPT


def test_texts(result: Result, predictions: pa.Table) -> pa.Table:
    """Rows of the task's main split, one a test text, in the order of the predictions: any attributor's will do.

    Raises UserError where the result has none.
    """
    split, names = main_split(result), predictions["attributor"].to_numpy(zero_copy_only=False)
    here = (predictions["target"].to_numpy(zero_copy_only=False) == "level") & (
        predictions["split"].to_numpy(zero_copy_only=False) == split
    )
    if not here.any():
        raise UserError(f"the result of {result.task.name} has no test texts: {'; '.join(result.failures)}")
    return predictions.filter(pa.array(here & (names == names[here][0])))


def gather(path: Path, store: Store) -> Exported:
    """Read a result and the texts that it rests on.

    Raises UserError where the store lacks them, or holds others, with the command that makes them again.
    """
    result = results.read(path)
    if result.subset is not None:
        raise UserError(f"{path} is of a part of its run's texts\n  export the run's own result.json")
    predictions = read_predictions(path)
    asked = test_texts(result, predictions)
    tests: dict[str, set[int]] = {}
    for variant, row in zip(asked["variant"].to_pylist(), asked["row"].to_pylist(), strict=True):
        tests.setdefault(variant, set()).add(row)
    # A variant that diverged has no test texts.
    kept = [variant for variant in result.variants if variant.name in tests]
    texts = result.samples.per_variant if result.samples else 0
    tables = [read_table(store, stages, texts) for stages in sample_stages(result, kept, store)]
    if not result.samples or SampleTotals.of(tables).digest != result.samples.digest:
        raise UserError(
            f"{path}: the texts in the store {store.root} are not those of this result\n"
            f"  {remake(result)}   gives a result of those"
        )
    size = cut_to(result.factor.fields, settings_of(kept[0]))
    parts = [_part(of, table, tests[of.name], size) for of, table in zip(kept, tables, strict=True)]
    return Exported(result, predictions, pa.concat_tables(parts))


def _part(of: VariantResult, table: pa.Table, tests: set[int], size: int | None) -> pa.Table:
    """Texts of one variant as attributors see them: cut to `size` bytes, where that is a number."""
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
    """Make the folder that an export goes to, and return its absolute path; raises UserError unless it is empty."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty\n  take another folder for -o")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return folder


def write_csv(exported: Exported, folder: Path) -> None:
    """Write one `texts.csv`: UTF-8, line breaks and quotes within a text quoted as RFC 4180 has it."""
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        # Every text quoted: a lone carriage return in one would end its row otherwise.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(TEXTS.names)
        writer.writerows(zip(*(exported.texts[name].to_pylist() for name in TEXTS.names), strict=True))
    usage = "`texts.csv` has one row a text. An empty text, or one like `NA`, is a text:\n\n" + _code(
        'texts = pandas.read_csv("texts.csv", keep_default_na=False, dtype={"text": str, "label": str})', "python"
    )
    write_card(exported.result, folder, usage, [*TEXTS.names])


def write_dataset(exported: Exported, folder: Path) -> None:
    """Write a folder that `datasets.load_dataset` reads: Parquet of both splits, and a card that names them."""
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
    usage = f"{counts['train']:,} training and {counts['test']:,} test texts; the folder is read as it is:\n\n" + _code(
        'texts = datasets.load_dataset("path/to/this/folder")', "python"
    )
    columns = [name for name in TEXTS.names if name != "split"]
    write_card(result, folder, usage, columns, header="\n".join(header))


def write_card(result: Result, folder: Path, usage: str, columns: Sequence[str], *, header: str = "") -> None:
    """Write the folder's README.md: what it is, how to read it, what its columns are, and where it is from."""
    trained = {of.source for of in result.variants} == {"train"}
    alike = ", in which alone the models that wrote these texts were trained differently" if trained else ""
    parts = [
        f"{header}# Texts of {result.task.name}",
        f"Who wrote which text? The labels are levels of {escape(result.factor.name)}{alike}. Made by natfp_bench.",
        usage,
        grid(("column", "what it holds"), [(f"`{name}`", COLUMNS[name]) for name in columns]) if columns else "",
        HELD_OUT if main_split(result) == UNSEEN_REPLICATE else "",
        "## Provenance",
        grid(("", ""), [(name, escape(str(value))) for name, value in provenance(result).items()]),
        f"The texts are those of this run:\n\n{_code(remake(result), 'console')}",
    ]
    (folder / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def provenance(result: Result) -> dict[str, Any]:
    """All that says which texts these are, by what people call it."""
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
        "texts a variant": result.samples.per_variant if result.samples else 0,
        "samples digest": result.samples.digest if result.samples else "",
        **({"fixed texts": result.fixed_texts} if result.fixed_texts else {}),
        "protocol digest": result.protocol_digest,
        "run": result.run.id,
    }


def _code(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"
