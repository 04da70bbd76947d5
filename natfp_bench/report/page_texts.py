"""What a page shows besides the result: training curves and texts from the store, answers from the predictions.

Nothing here is in `result.json`. If the store lacks something, a note says so, with the command that makes it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.base.text import first_bytes
from natfp_bench.corpus.words import word_types
from natfp_bench.pipeline.prediction_columns import PREDICTIONS
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.pipeline.stages.sample import SampleStage
from natfp_bench.pipeline.store import Store, entry_folder
from natfp_bench.plan.plan import cut_to
from natfp_bench.results.origin import remake, sample_stages, settings_of
from natfp_bench.results.predictions import PredictionFiles, Predictions, ScoredAnswers, read_predictions, rows_where
from natfp_bench.results.protocols import Protocol

GROUPS = 3
"""Groups of texts that a page shows side by side."""

GAME, EXAMPLES = 10, 2
"""Texts to guess (more if there are more levels), and example texts per level to learn from."""

ROWS_READ = 200
"""Rows of a sample set that are looked at."""

BINS = 10
"""Parts into which guesses are divided by confidence."""

NAMES = [column.name for column in PREDICTIONS if column.type == pa.string()]
"""Columns of predictions that repeat a few names."""

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
class PageTexts:
    """What pages show of a result's texts; `note`: why something is missing.

    groups: of texts, one per level, that continue the same prompt (or have the same number). game: test texts to guess.
    examples: training texts of each level, from the runs that wrote the texts of the game.
    """

    groups: Sequence[Sequence[ShownText]] = ()
    note: str = ""
    game: Sequence[ShownText] = ()
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)


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
        about = ("level", protocol.main_split)
        for name, (path, score) in protocol.scores.get(about, {}).items():
            if score.status == "ok":
                try:
                    if path not in files.read:
                        files.read[path] = _predictions(path, *about)
                    found[name] = files.of(path, score)
                except UserError as error:
                    note = str(error).splitlines()[0]
        return cls(found, note)

    def guesses(self, attributor: str) -> NDArray[np.float64]:
        """Confidence and credit of each guess of an attributor: (2, n); n is 0 if its answers are missing."""
        if (found := self.by_attributor.get(attributor)) is None:
            return np.empty((2, 0))
        return np.array([found.proba.max(axis=1), found.credit])


def _predictions(result: Path, target: str, split: str) -> Predictions:
    """The predictions about one target on one split: other rows, most of a file, are not kept.

    Raises UserError if they are missing or damaged.
    """
    path = result.parent / "predictions.parquet"
    try:
        # Names are read as numbers, and become words only where rows are kept.
        table = pq.read_table(path, read_dictionary=NAMES, partitioning=None)
        if table.schema.names != PREDICTIONS.names:
            return read_predictions(result)  # says what is wrong
        table = rows_where(table, {"target": target, "split": split}).cast(PREDICTIONS)
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException):
        return read_predictions(result)
    return read_predictions(result) if any(column.null_count for column in table.columns) else Predictions(path, table)


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


def page_texts(protocol: Protocol, answers: LevelAnswers, root: Path) -> PageTexts:
    """Choose the texts that pages show: some of each level side by side, those of the game, and examples for it.

    All are of the first variant of each level, and each file of texts is read once. Telling words are marked.
    """
    result = protocol.newest
    again = f"To sample them again: {remake(result)}"
    if result.subset is not None:
        return PageTexts(note="This result is about a part of a run's texts; the page of that run shows texts.")
    if not answers.by_attributor:
        reason = answers.note or "there are no predictions"
        return PageTexts(note=f"It is not known which texts are test texts: {reason}.")
    if not result.fixed_texts and not (root / "store.json").is_file():
        return PageTexts(note=f"There is no store with the texts here. {again}")
    chosen = _first_of_each_level(result)
    try:
        store = Store(root)
        tables = [_some_rows(store, stages) for stages in sample_stages(result, chosen, store)]
        size = cut_to(result.factor.fields, settings_of(chosen[0]))
    except UserError as error:
        return PageTexts(note=f"The texts cannot be shown: {str(error).splitlines()[0]}. {again}")
    scores = protocol.level(protocol.main_split)
    order = sorted(answers.by_attributor, key=lambda name: _standing(scores[name]))
    names = [variant.name for variant in chosen]
    last = max((row for table in tables for row in table["row"].to_pylist()), default=0)
    answered = _answered(answers, names, last, order, scores)
    first = [_first_texts(table, answered[name]) for table, name in zip(tables, names, strict=True)]
    telling = _telling(result)

    def shown(place: int, prompt: int) -> ShownText:
        variant, (row, text) = chosen[place], first[place][prompt]
        cut = text if size is None else first_bytes(text, size)
        return ShownText(
            variant.level, variant.name, [*marked(cut, variant.level, telling)], answered[variant.name][row]
        )

    shared = sorted(set.intersection(*(set(texts) for texts in first)))
    groups = [[shown(place, prompt) for place in range(len(chosen))] for prompt in shared[:GROUPS]]
    # In turn from each level, from prompts that no group shows; the page shuffles them.
    free = [[prompt for prompt in sorted(texts) if prompt not in shared[:GROUPS]] for texts in first]
    turns = [
        (place, prompts[turn]) for turn in range(GAME) for place, prompts in enumerate(free) if turn < len(prompts)
    ]
    game = [shown(place, prompt) for place, prompt in turns[: max(GAME, len(chosen))]]
    examples = {
        variant.level: _examples(table, answered[variant.name], size)
        for variant, table in zip(chosen, tables, strict=True)
    }
    note = "" if groups else "No prompt has a test text of every level that is not empty."
    return PageTexts(groups, note, game if len(game) >= len(chosen) else (), examples)


def _some_rows(store: Store, stages: Sequence[SampleStage]) -> pa.Table:
    """The first rows of a sample set: far more than a page shows, far fewer than it holds."""
    paths = [stage.folder(store) / "samples.parquet" for stage in stages]
    tables = [pq.read_table(path, columns=["row", "prompt", "text"], partitioning=None) for path in paths]
    return pa.concat_tables(tables).slice(0, ROWS_READ)


def _examples(table: pa.Table, tests: Mapping[int, object], size: int | None) -> list[str]:
    """The first training texts that are not empty."""
    found = (
        text if size is None else first_bytes(text, size)
        for row, text in zip(table["row"].to_pylist(), table["text"].to_pylist(), strict=True)
        if row not in tests and text.strip()
    )
    return list(islice(found, EXAMPLES))


def _standing(score: Score) -> tuple[bool, float, str]:
    """Key to sort attributors by: the most accurate first, likelihoods last."""
    found = score.metrics.get("accuracy")
    return score.attributor.access == "likelihood", -found.value if found else 0.0, score.attributor.name


def _first_of_each_level(result: Result) -> list[VariantResult]:
    sound = [variant for variant in result.variants if variant.status == "ok"]
    first = {variant.level: variant for variant in reversed(sound)}
    return [first[level] for level in result.factor.levels if level in first]


def _answered(
    answers: LevelAnswers, variants: Sequence[str], last: int, order: Sequence[str], scores: Mapping[str, Score]
) -> dict[str, dict[int, list[ShownAnswer]]]:
    """Answers to test texts of some variants up to a last row, by variant and row, the best attributor first."""
    found: dict[str, dict[int, list[ShownAnswer]]] = {name: {} for name in variants}
    for name in order:
        own = answers.by_attributor[name]
        few = pc.and_(pc.is_in(own.rows["variant"], pa.array(variants)), pc.less_equal(own.rows["row"], last))
        places = np.flatnonzero(few.to_numpy(zero_copy_only=False))
        taken = own.rows.take(places)
        for place, variant, row in zip(places, taken["variant"].to_pylist(), taken["row"].to_pylist(), strict=True):
            proba, truth = own.proba[place], own.truth[place]
            best = np.flatnonzero(proba == proba.max())
            guess = scores[name].classes[best[0]] if len(best) == 1 else f"any of {len(best)}"
            right = bool(best[0] == truth) if len(best) == 1 else None
            answer = ShownAnswer(name, guess, float(proba.max()), float(proba[truth]), right)
            found[variant].setdefault(row, []).append(answer)
    return found


def _first_texts(table: pa.Table, tests: Mapping[int, object]) -> dict[int, tuple[int, str]]:
    """The first test text of each prompt that is not empty, with its row."""
    found: dict[int, tuple[int, str]] = {}
    for row, prompt, text in zip(*(table[name].to_pylist() for name in ("row", "prompt", "text")), strict=True):
        if row in tests and text.strip():
            found.setdefault(prompt, (row, text))
    return found


def _telling(result: Result) -> dict[str, set[str]]:
    """Telling words by level, if they are confirmed and all replicates agree on them."""
    found: dict[str, set[str]] = {}
    study = result.study
    for word in study.wording.telling_words if study and study.wording else ():
        if word.confirmed and word.agrees is not False and word.log_odds > 0:
            found.setdefault(word.label, set()).add(word.word)
    return found


def marked(text: str, level: str, telling: Mapping[str, set[str]]) -> Iterator[Segment]:
    """Cut a text into segments at its telling words: those of its own level, and those of others."""
    own = telling.get(level, set())
    other = set().union(*(words for of, words in telling.items() if of != level)) - own
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
