"""What a page shows besides the result: training curves and texts from the store, answers from the predictions.

Nothing here is in `result.json`. If the store lacks something, a note says so, with the command that makes it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.base.text import first_bytes
from natfp_bench.corpus.words import word_types
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store, entry_folder
from natfp_bench.plan.plan import cut_to
from natfp_bench.results.origin import remake, sample_stages, settings_of
from natfp_bench.results.predictions import PredictionFiles, ScoredAnswers
from natfp_bench.results.protocols import Protocol

GROUPS = 3
"""Groups of texts that a page shows side by side."""

BINS = 10
"""Parts into which guesses are divided by confidence."""

Segment = tuple[str, str]
"""A piece of a text and its kind: plain (empty), `own` (a word that its level uses more often), or `other`."""


@dataclass(frozen=True)
class ShownAnswer:
    """One attributor's answer to one text: its guess, the probability of the guess, and that of the true level.

    right: None if several levels are equally likely.
    """

    attributor: str
    guess: str
    of_guess: float
    of_truth: float
    right: bool | None


@dataclass(frozen=True)
class ShownText:
    """One text, in segments, and the answers of the attributors."""

    level: str
    variant: str
    segments: Sequence[Segment]
    answers: Sequence[ShownAnswer]


@dataclass(frozen=True)
class SideBySide:
    """Groups of texts, one text per level, that continue the same prompt (or have the same number); or why not."""

    groups: Sequence[Sequence[ShownText]]
    note: str = ""


def training_logs(result: Result, root: Path) -> tuple[dict[str, list[dict[str, float]]], str]:
    """Log lines of the trained variants, by name, and a note about those that the store lacks.

    The store is not asked to verify its entries: hashing a model's weights would take longer than the report.
    """
    trained = [variant for variant in result.variants if variant.source == "train" and not result.fixed_texts]
    if not trained:
        return {}, "No model was trained for this result."
    logs = {variant.name: log for variant in trained if (log := _log(entry_folder(root, "model", variant.key)))}
    if missing := [variant.name for variant in trained if variant.name not in logs]:
        return logs, f"The store does not hold the training of {', '.join(missing)}. To train again: {remake(result)}"
    return logs, ""


def _log(folder: Path) -> list[dict[str, float]]:
    """Lines of a training log that agrees with its manifest; none if it is missing or damaged."""
    path = folder / "train_log.jsonl"
    try:
        if json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"][
            "train_log.jsonl"
        ] != file_digest(path):
            return []
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        read = [{name: float(line[name]) for name in ("tokens", "loss")} for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [line for line in read if all(map(math.isfinite, line.values()))]


@dataclass(frozen=True)
class LevelAnswers:
    """Answers about the level on the main split of one protocol, by attributor; `note`: why some are missing."""

    by_attributor: Mapping[str, ScoredAnswers] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, protocol: Protocol) -> LevelAnswers:
        """Read the answers of the newest score of each attributor."""
        files, found, note = PredictionFiles(), {}, ""
        for name, (path, score) in protocol.scores.get(("level", protocol.main_split), {}).items():
            if score.status == "ok":
                try:
                    found[name] = files.of(path, score)
                except UserError as error:
                    note = str(error).splitlines()[0]
        return cls(found, note)

    def guesses(self, attributor: str) -> NDArray[np.float64]:
        """Confidence and credit of each guess of an attributor: (2, n); n is 0 if its answers are missing."""
        if (found := self.by_attributor.get(attributor)) is None:
            return np.empty((2, 0))
        return np.array([found.proba.max(axis=1), found.credit])


def calibration(found: Sequence[NDArray[np.float64]]) -> list[dict[str, float]]:
    """Guesses in ten equal parts by confidence: mean confidence, and the share that is right."""
    confidence, credit = np.concatenate([np.empty((2, 0)), *found], axis=1)
    if not len(confidence):
        return []
    # A stable sort; a constant answer is a single part, because it has a single confidence.
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, BINS) if np.ptp(confidence) > 0 else [order]
    return [
        {"confidence": float(confidence[part].mean()), "value": float(credit[part].mean()), "texts": len(part)}
        for part in parts
        if len(part)
    ]


def sample_texts(protocol: Protocol, answers: LevelAnswers, root: Path) -> SideBySide:
    """Show some test texts of each level side by side, with marked telling words and the attributors' answers."""
    result = protocol.newest
    again = f"To sample them again: {remake(result)}"
    if result.subset is not None:
        return SideBySide((), "This result is about a part of a run's texts; the page of that run shows texts.")
    if not answers.by_attributor:
        reason = answers.note or "there are no predictions"
        return SideBySide((), f"It is not known which texts are test texts: {reason}.")
    if not result.fixed_texts and not (root / "store.json").is_file():
        return SideBySide((), f"There is no store with the texts here. {again}")
    chosen = _first_of_each_level(result)
    try:
        store = Store(root)
        tables = [read_table(store, stages) for stages in sample_stages(result, chosen, store)]
        size = cut_to(result.factor.fields, settings_of(chosen[0]))
    except UserError as error:
        return SideBySide((), f"The texts cannot be shown: {str(error).splitlines()[0]}. {again}")
    scores = protocol.level(protocol.main_split)
    order = sorted(answers.by_attributor, key=lambda name: _standing(scores[name]))
    answered = [_answered(answers, variant.name, order, scores) for variant in chosen]
    first = [_first_texts(table, own) for table, own in zip(tables, answered, strict=True)]
    shared = sorted(set.intersection(*(set(texts) for texts in first)))[:GROUPS]

    def shown(place: int, prompt: int) -> ShownText:
        variant, (row, text) = chosen[place], first[place][prompt]
        cut = text if size is None else first_bytes(text, size)
        return ShownText(variant.level, variant.name, [*marked(cut, variant.level, result)], answered[place][row])

    groups = [[shown(place, prompt) for place in range(len(chosen))] for prompt in shared]
    return SideBySide(groups, "" if groups else "No prompt has a test text of every level that is not empty.")


def _standing(score: Score) -> tuple[bool, float, str]:
    """Key to sort attributors by: the most accurate first, likelihoods last."""
    found = score.metrics.get("accuracy")
    return score.attributor.access == "likelihood", -found.value if found else 0.0, score.attributor.name


def _first_of_each_level(result: Result) -> list[VariantResult]:
    sound = [variant for variant in result.variants if variant.status == "ok"]
    first = {variant.level: variant for variant in reversed(sound)}
    return [first[level] for level in result.factor.levels if level in first]


def _answered(
    answers: LevelAnswers, variant: str, order: Sequence[str], scores: Mapping[str, Score]
) -> dict[int, list[ShownAnswer]]:
    """Answers to the test texts of one variant, by row, in the order of attributors."""
    found: dict[int, list[ShownAnswer]] = {}
    for name in order:
        own = answers.by_attributor[name]
        for place in np.flatnonzero(pc.equal(own.rows["variant"], variant).to_numpy(zero_copy_only=False)):
            row, proba, truth = own.rows["row"][place].as_py(), own.proba[place], own.truth[place]
            best = np.flatnonzero(proba == proba.max())
            guess = scores[name].classes[best[0]] if len(best) == 1 else f"any of {len(best)}"
            right = bool(best[0] == truth) if len(best) == 1 else None
            answer = ShownAnswer(name, guess, float(proba.max()), float(proba[truth]), right)
            found.setdefault(row, []).append(answer)
    return found


def _first_texts(table: pa.Table, tests: Mapping[int, object]) -> dict[int, tuple[int, str]]:
    """The first test text of each prompt that is not empty, with its row."""
    found: dict[int, tuple[int, str]] = {}
    for row, prompt, text in zip(*(table[name].to_pylist() for name in ("row", "prompt", "text")), strict=True):
        if row in tests and text.strip():
            found.setdefault(prompt, (row, text))
    return found


def marked(text: str, level: str, result: Result) -> Iterator[Segment]:
    """Cut a text into segments at its telling words, if these are confirmed and all replicates agree on them."""
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
