"""Questions for lm-eval about a result's texts: can a language model learn from examples which model wrote a text?

Each question shows labelled training texts of every class, then one test text; its answers are letters. The letters of
the classes, the texts shown and their order are drawn anew for each question. So a model's preference for some letter,
or for the last one that it read, cannot pass for knowledge, and no score depends on one lucky choice of examples. If a
task holds out replicates, a question shows no text of the replicate that it asks about.

The file of questions has the final text of each. The YAML only names columns: lm-eval would render templates, and texts
may hold anything.
"""

from __future__ import annotations

import glob
import json
import shlex
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from natfp_bench.base import streams
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, digest
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.statistics.intervals import Ints

from .export import Exported, write_card
from .predictions import main_split

LIMIT, SHOTS = 100, 2
"""Defaults: test texts per class, and examples of each class in a question."""

LETTERS = string.ascii_uppercase

METADATA = "natfp_export"
"""Key of the export header in the metadata of a task."""


class ExportHeader(Record):
    """What an export is about; classes: sorted, numbered by the `order` of questions; limit: test texts per class."""

    schema_: Literal[1] = Field(1, alias="schema")
    task: str
    preset: str
    protocol_digest: str
    split: str
    classes: tuple[str, ...]
    limit: int
    shots: int


class ExportedQuestion(Record):
    """One row of an export's JSONL.

    answer: place of the right letter; order: number of the class that each letter stands for. variant, row, prompt:
    the text in question; fold: the held-out replicate, 0 if there is none. shots: the rows that are shown.
    """

    query: str
    answer: int
    order: tuple[int, ...]
    variant: str
    row: int
    prompt: int
    fold: int
    shots: tuple[str, ...]


def group(task: str) -> str:
    """Name of the lm-eval group of a task."""
    return f"natfp_{task}"


def export_digest(header: ExportHeader, questions: Sequence[ExportedQuestion]) -> str:
    """Digest of an export, whatever the order of its questions."""
    return digest([header, sorted(digest(question) for question in questions)])


def write_lm_eval(exported: Exported, folder: Path, limit: int, shots: int) -> ExportHeader:
    """Write a group of tasks for `lm_eval --include_path`: one, or one per held-out replicate.

    Raises UserError if there are more classes than letters, or not enough texts.
    """
    result, chosen = exported.result, choose(exported, limit)
    classes = tuple(sorted(set(chosen["label"].to_pylist())))
    header = ExportHeader(
        task=result.task.name,
        preset=result.preset,
        protocol_digest=result.protocol_digest,
        split=main_split(result),
        classes=classes,
        limit=len(chosen) // len(classes),
        shots=shots,
    )
    questions = list(ask(exported, chosen, header))
    metadata = {METADATA: {**header.model_dump(mode="json"), "digest": export_digest(header, questions)}}
    held_out = header.split == UNSEEN_REPLICATE
    tasks = []
    for fold in sorted({question.fold for question in questions}):
        name = f"{group(result.task.name)}_level" + (f"_r{fold}" if held_out else "")
        own = [question for question in questions if question.fold == fold]
        lines = [
            json.dumps({**question.model_dump(mode="json"), "export": metadata[METADATA]["digest"]}) for question in own
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.yaml").write_text(_task_yaml(name, folder, header, metadata), encoding="utf-8")
        tasks.append(name)
    (folder / "group.yaml").write_text(_group_yaml(result.task.name, tasks, metadata), encoding="utf-8")
    longest = max(len(question.query) for question in questions)
    write_card(result, folder, _usage(header, folder, len(questions), longest), ())
    return header


def choose(exported: Exported, limit: int) -> pa.Table:
    """Choose equally many test texts of every class, taking the first ones of each variant in turn.

    Returns rows of predictions. The first rows of a sample set are as good as any, because its rows are drawn alike.
    Raises UserError if a held-out replicate would have no texts.
    """
    rows = exported.predictions.test_texts(exported.result)
    replicate = {variant.name: variant.replicate for variant in exported.result.variants}
    places: Counter[str] = Counter()
    order = []
    for index, variant in enumerate(rows["variant"].to_pylist()):
        order.append((places[variant], replicate[variant], index))
        places[variant] += 1
    labels, folds = rows["label"].to_pylist(), rows["fold"].to_pylist()
    if len(set(labels)) > len(LETTERS):
        raise UserError(
            f"{len(set(labels))} classes are more than the {len(LETTERS)} letters\n  --format datasets takes any number"
        )
    if limit < len(set(folds)):
        raise UserError(f"--limit {limit} leaves a replicate without texts\n  use {len(set(folds))} or more")
    taken: Counter[str] = Counter()
    kept = []
    for *_, index in sorted(order):
        if taken[labels[index]] < limit:
            taken[labels[index]] += 1
            kept.append(index)
    # Classes are balanced by construction, but chance is 1/k only if they are: better check.
    if len(set(taken.values())) > 1:
        raise UserError(f"classes have different numbers of test texts: {dict(taken)}")
    return rows.take(pa.array(kept))


def ask(exported: Exported, chosen: pa.Table, header: ExportHeader) -> Iterator[ExportedQuestion]:
    """Make a question about each chosen test text."""
    texts = exported.texts.to_pydict()
    index = {at: i for i, at in enumerate(zip(texts["variant"], texts["row"], strict=True))}
    label, replicate, training = (
        np.array(texts["label"]),
        np.array(texts["replicate"]),
        np.array(texts["split"]) == "train",
    )
    known: dict[tuple[str, int], Ints] = {}
    for row in chosen.to_pylist():
        fold = row["fold"]
        if (header.classes[0], fold) not in known:
            seen = training & (replicate != fold) if header.split == UNSEEN_REPLICATE else training
            known |= {(name, fold): np.flatnonzero(seen & (label == name)) for name in header.classes}
        fewest = min(len(known[name, fold]) for name in header.classes)
        if header.shots > fewest:
            raise UserError(f"--shots {header.shots} is more than the {fewest} training texts of a class")
        order = _drawn(exported, row, "letters", len(header.classes))
        shown = [
            (name, int(known[name, fold][place]))
            for name in header.classes
            for place in _drawn(exported, row, f"shots {name}", len(known[name, fold]))[: header.shots]
        ]
        shown = [shown[place] for place in _drawn(exported, row, "order", len(shown))]
        letter = {header.classes[of]: LETTERS[place] for place, of in enumerate(order)}
        asked = texts["text"][index[row["variant"], row["row"]]]
        yield ExportedQuestion(
            query=query([(texts["text"][i], letter[name]) for name, i in shown], asked, len(order)),
            answer=LETTERS.index(letter[row["label"]]),
            order=tuple(order),
            variant=row["variant"],
            row=row["row"],
            prompt=row["prompt"],
            fold=fold,
            shots=tuple(f"{texts['variant'][i]} {texts['row'][i]}" for _, i in shown),
        )


def _drawn(exported: Exported, row: Mapping[str, Any], purpose: str, n: int) -> list[int]:
    """Draw an order of n things for one question."""
    name = (exported.result.seed, "lm-eval export", purpose, row["variant"])
    words = streams.raw(n, *name, row=row["row"])
    return [int(place) for place in np.argsort(words, kind="stable")]


def query(shown: Sequence[tuple[str, str]], text: str, classes: int) -> str:
    """The text of a question: examples (text, letter), then the text in question, all unchanged."""
    letters = LETTERS[:classes]
    listed = f"{', '.join(letters[:-1])} and {letters[-1]}"
    examples = "".join(f"<text>{one}</text>\nAuthor: {letter}\n\n" for one, letter in shown)
    return (
        f"{classes} authors, {listed}, wrote the texts below. Each text stands between <text> and </text>, and behind "
        f"it its author.\n\n{examples}<text>{text}</text>\nAuthor:"
    )


def _task_yaml(name: str, folder: Path, header: ExportHeader, metadata: Mapping[str, Any]) -> str:
    # lm-eval takes paths relative to its working directory and as patterns: make it absolute and escape it.
    data = {"test": glob.escape(str(folder / f"{name}.jsonl"))}
    return _yaml(
        {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": data},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "query",
            "doc_to_choice": [*LETTERS[: len(header.classes)]],
            "doc_to_target": "answer",
            "target_delimiter": " ",
            "num_fewshot": 0,
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1, **metadata},
        }
    )


def _group_yaml(task: str, tasks: Sequence[str], metadata: Mapping[str, Any]) -> str:
    return _yaml(
        {
            "group": group(task),
            "task": list(tasks),
            "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
            "metadata": {"version": 1, **metadata},
        }
    )


def _yaml(values: Mapping[str, Any]) -> str:
    """Write a mapping as YAML with JSON values, so that no version of YAML misreads words like `no` or `1e3`."""
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def next_commands(header: ExportHeader, folder: Path, result: str = "RESULT") -> list[str]:
    """The commands that put a language model on the leaderboard: by lm-eval on an export, and by its output."""
    ask = ["lm_eval", "--model", "hf", "--model_args", "pretrained=NAME", "--include_path", str(folder)]
    ask += ["--tasks", group(header.task), "--log_samples", "--output_path", "OUTPUT"]
    return [shlex.join(ask), shlex.join(["natfp-bench", "import-lm-eval", "OUTPUT", "--result", result])]


def _usage(header: ExportHeader, folder: Path, questions: int, longest: int) -> str:
    commands = "\n".join(next_commands(header, folder))
    return (
        f"{questions:,} multiple-choice questions for lm-eval: each shows {header.shots} labelled texts of every class "
        f"and asks about one more. The longest has {longest:,} characters, which must fit into a model's context.\n\n"
        f"```console\n{commands}\n```\n\n"
        "The YAML has the absolute path of this folder: if you move the folder, change `dataset_kwargs`."
    )
