"""What a report takes from the store, where it still has it: training curves and texts; and from the predictions.

Nothing here is in `result.json`. What the store lacks is said, with the command that makes it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.corpus.tokens import first_bytes
from natfp_bench.corpus.words import word_types
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store, entry_folder
from natfp_bench.plan.plan import cut_to
from natfp_bench.results.export import main_split, read_predictions
from natfp_bench.results.origin import remake, sample_stages, settings_of
from natfp_bench.results.protocols import Protocol
from natfp_bench.statistics import metrics

GROUPS = 3
"""Groups of texts that a page shows side by side."""

BINS = 10

Segment = tuple[str, str]
"""A piece of a text, and what it is: plain (empty), `own`, a word that its level says more often, or `other`."""


@dataclass(frozen=True)
class Answer:
    """What one attributor said of one text: its guess with that probability, and the probability of the truth.

    right: None where several classes are as likely.
    """

    attributor: str
    guess: str
    of_guess: float
    of_truth: float
    right: bool | None


@dataclass(frozen=True)
class Text:
    """One text, in segments, and what the attributors said of it."""

    level: str
    variant: str
    segments: Sequence[Segment]
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Texts:
    """Groups of texts, one of each level, that continue the same prompt (or have the same number); or why not."""

    groups: Sequence[Sequence[Text]]
    note: str = ""


def training_logs(result: Result, root: Path) -> tuple[dict[str, list[dict[str, float]]], str]:
    """Log lines of the variants that were trained, by name; and what is to be said of those that are not there.

    Entries are read as they are: to hash a model's weights for the sake of its log would take longer than the report.
    """
    trained = [variant for variant in result.variants if variant.source == "train" and not result.fixed_texts]
    if not trained:
        return {}, "No model was trained for this result."
    logs = {variant.name: log for variant in trained if (log := _log(entry_folder(root, "model", variant.key)))}
    if missing := [variant.name for variant in trained if variant.name not in logs]:
        return logs, f"The store does not hold the training of {', '.join(missing)}. To make it again: {remake(result)}"
    return logs, ""


def _log(folder: Path) -> list[dict[str, float]]:
    """Lines of a training log that is what its manifest says; none where it is not there, or damaged."""
    path = folder / "train_log.jsonl"
    try:
        if json.loads((folder / "manifest.json").read_text())["files"]["train_log.jsonl"] != file_digest(path):
            return []
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        read = [{name: float(line[name]) for name in ("tokens", "loss")} for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [line for line in read if all(map(math.isfinite, line.values()))]


@dataclass(frozen=True)
class Answers:
    """Predictions of one protocol on the split that the task is about, for levels; None where none can be read."""

    rows: pa.Table | None
    note: str = ""

    @classmethod
    def of(cls, protocol: Protocol) -> Answers:
        """Read those beside each result; of two answers of one attributor the newer counts."""
        found: list[pa.Table] = []
        known: set[str] = set()
        note = ""
        for path, result in reversed(protocol.results):
            try:
                table = read_predictions(path)
            except UserError as error:
                note = str(error).splitlines()[0]
                continue
            wanted = pa.compute.and_(
                pa.compute.equal(table["target"], "level"), pa.compute.equal(table["split"], main_split(result))
            )
            table = table.filter(wanted)
            found.append(
                table.filter(
                    pa.compute.invert(pa.compute.is_in(table["attributor"], pa.array(sorted(known), pa.string())))
                )
            )
            known |= set(table["attributor"].unique().to_pylist())
        return cls(pa.concat_tables(found) if found else None, note)


def guesses(answers: Answers, score: Score) -> NDArray[np.float64]:
    """Confidence and credit of each guess of one attributor: (2, n); none where its answers are missing or damaged."""
    if answers.rows is None:
        return np.empty((2, 0))
    own = answers.rows.filter(pa.compute.equal(answers.rows["attributor"], score.attributor.name))
    try:
        proba = np.array(own["proba"].to_pylist(), dtype=np.float64)
        truth = np.array([score.classes.index(label) for label in own["label"].to_pylist()], dtype=np.int64)
    except ValueError:
        return np.empty((2, 0))
    if proba.shape != (len(truth), len(score.classes)) or not len(truth):
        return np.empty((2, 0))
    return np.array([proba.max(axis=1), metrics.credits(proba, truth)])


def calibration(found: Sequence[NDArray[np.float64]]) -> list[dict[str, float]]:
    """Guesses in ten equal parts by confidence: mean confidence, and the share that is right."""
    confidence, credit = np.concatenate([np.empty((2, 0)), *found], axis=1)
    if not len(confidence):
        return []
    # Stable: of equals, the first; a constant answer is one part, for it has one confidence.
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, BINS) if np.ptp(confidence) > 0 else [order]
    return [
        {"confidence": float(confidence[part].mean()), "value": float(credit[part].mean()), "texts": len(part)}
        for part in parts
        if len(part)
    ]


def sample_texts(protocol: Protocol, answers: Answers, root: Path) -> Texts:
    """Some test texts of each level side by side, their telling words marked, with each attributor's answer."""
    result = protocol.newest
    again = f"To make them again: {remake(result)}"
    if result.subset is not None:
        return Texts((), "This result is of a part of a run's texts; the run's own page shows some.")
    if answers.rows is None or not len(answers.rows):
        return Texts((), f"Which texts are for testing is not known ({answers.note or 'there are no predictions'}).")
    if not result.fixed_texts and not (root / "store.json").is_file():
        return Texts((), f"The texts are in no store here. {again}")
    chosen = _first_of_each_level(result)
    try:
        store = Store(root)
        tables = [read_table(store, stages) for stages in sample_stages(result, chosen, store)]
        size = cut_to(result.factor.fields, settings_of(chosen[0]))
    except UserError as error:
        return Texts((), f"The texts cannot be shown: {str(error).splitlines()[0]}. {again}")
    told = [_by_row(answers.rows, variant.name) for variant in chosen]
    first = [_first_texts(table, own) for table, own in zip(tables, told, strict=True)]
    shared = sorted(set.intersection(*(set(texts) for texts in first)))[:GROUPS]
    scores = protocol.level(main_split(result))
    order = {name: place for place, name in enumerate(sorted(scores, key=lambda name: _standing(scores[name])))}

    def shown(place: int, prompt: int) -> Text:
        variant, (row, text) = chosen[place], first[place][prompt]
        known = [one for one in told[place][row] if one["attributor"] in order]
        known.sort(key=lambda one: order[one["attributor"]])
        said = [_answer(one, scores[one["attributor"]].classes) for one in known]
        cut = text if size is None else first_bytes(text, size)
        return Text(variant.level, variant.name, [*marked(cut, variant.level, result)], said)

    groups = [[shown(place, prompt) for place in range(len(chosen))] for prompt in shared]
    return Texts(groups, "" if groups else "No prompt has a test text of every level that is not empty.")


def _standing(score: Score) -> tuple[bool, float, str]:
    """Place of an attributor among others: the best first, likelihoods last."""
    found = score.metrics.get("accuracy")
    return score.attributor.access == "likelihood", -found.value if found else 0.0, score.attributor.name


def _first_of_each_level(result: Result) -> list[VariantResult]:
    sound = [variant for variant in result.variants if variant.status == "ok"]
    first = {variant.level: variant for variant in reversed(sound)}
    return [first[level] for level in result.factor.levels if level in first]


def _by_row(rows: pa.Table, variant: str) -> dict[int, list[dict[str, Any]]]:
    """Answers for one variant's test texts, by row."""
    found: dict[int, list[dict[str, Any]]] = {}
    for answer in rows.filter(pa.compute.equal(rows["variant"], variant)).to_pylist():
        found.setdefault(answer["row"], []).append(answer)
    return found


def _first_texts(table: pa.Table, told: Mapping[int, Any]) -> dict[int, tuple[int, str]]:
    """The first test text of each prompt that is not empty, with its row."""
    found: dict[int, tuple[int, str]] = {}
    for row, prompt, text in zip(*(table[name].to_pylist() for name in ("row", "prompt", "text")), strict=True):
        if row in told and text.strip():
            found.setdefault(prompt, (row, text))
    return found


def _answer(one: Mapping[str, Any], classes: Sequence[str]) -> Answer:
    proba, truth = one["proba"], one["label"]
    top = max(proba)
    best = [label for label, of in zip(classes, proba, strict=True) if of == top]
    of_truth = proba[classes.index(truth)] if truth in classes else 0.0
    guess = best[0] if len(best) == 1 else f"any of {len(best)}"
    return Answer(one["attributor"], guess, top, of_truth, None if len(best) > 1 else best == [truth])


def marked(text: str, level: str, result: Result) -> Iterator[Segment]:
    """Cut a text into segments at its telling words: those that are confirmed, and on which all replicates agree."""
    study = result.study
    own: set[str] = set()
    other: set[str] = set()
    for word in study.wording.telling_words if study and study.wording else ():
        if word.confirmed and word.agrees is not False and word.log_odds > 0:
            (own if word.label == level else other).add(word.word)
    at = 0
    for start, end, _ in word_types(text):
        word_ = text[start:end]
        if word_ in own or word_ in other:
            if at < start:
                yield text[at:start], ""
            yield word_, "own" if word_ in own else "other"
            at = end
    if at < len(text):
        yield text[at:], ""
