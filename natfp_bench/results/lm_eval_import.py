"""From the output of lm-eval for an export's questions to a score of the language model that answered them.

The log-likelihoods of the letters become probabilities of the classes, which are scored as those of any attributor. A
model that answered for every test text of a protocol is one more attributor of that protocol. A model that answered for
a part gets a protocol of its own, in which the other attributors are scored on the same texts: scores compare only if
they are about the same texts.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from natfp_bench.attributors import registry
from natfp_bench.base.environment import environment
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import digest
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline import scoring
from natfp_bench.pipeline.prediction_columns import PREDICTIONS
from natfp_bench.pipeline.result import AttributorId, FactorStudy, Result, RunInfo, Score
from natfp_bench.pipeline.scoring import Answers, Frame
from natfp_bench.plan.plan import Target
from natfp_bench.statistics import paired
from natfp_bench.statistics.intervals import Floats, Ints

from .lm_eval_export import METADATA, ExportedQuestion, ExportHeader, export_digest
from .origin import the_only
from .predictions import Predictions, main_split, read_predictions

DATED = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.json")
"""End of the name of a results file of lm-eval; its samples files end with the same date."""

IDENTITY = ("model_source", "model_name", "chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
CONFIG_IDENTITY = ("model", "model_args", "model_revision", "model_sha", "model_dtype")
"""What lm-eval logs about a model and its prompting: if two outputs differ in any of it, they are two attributors."""

TARGET: Target = "level"


@dataclass(frozen=True)
class Output:
    """One output of lm-eval: its results file and content, and the questions of one export with their answers.

    proba: (questions, letters), in the order of the letters.
    """

    path: Path
    data: Mapping[str, Any]
    header: ExportHeader
    questions: Sequence[ExportedQuestion]
    proba: Floats


def find_output(given: Path) -> Path:
    """Find the one results file in an output of lm-eval; raises UserError if there is none, or several."""
    if given.is_dir():
        found = sorted(path for path in given.rglob("*.json") if DATED.search(path.name))
    else:
        found = [given] if given.is_file() else []
    none = (
        f"no output of lm-eval at {given}\n"
        "  lm_eval ... --log_samples --output_path OUTPUT   writes results_DATE.json, with its samples beside it"
    )
    return the_only(found, given, "outputs of lm-eval", none)


def read_output(given: Path, result: Result) -> Output:
    """Read the output of lm-eval for the questions of a result's export.

    Raises UserError if it is damaged, if it is about another result, or if questions were changed or not answered.
    """
    path = find_output(given)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        configs = {name: config.get("metadata") or {} for name, config in data["configs"].items()}
        said = {name: metadata[METADATA] for name, metadata in configs.items() if METADATA in metadata}
        headers = [{key: value for key, value in one.items() if key != "digest"} for one in said.values()]
        known = {one["digest"] for one in said.values()}
        found = [ExportHeader.model_validate_json(json.dumps(one)) for one in headers]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a results file of lm-eval ({type(error).__name__}: {error})") from None
    if not found:
        raise UserError(f"{path}: it has no task of an export\n  natfp-bench export RESULT --format lm-eval -o DIR")
    header = found[0]
    if header.protocol_digest != result.protocol_digest:
        raise UserError(
            f"{path} is about another result: {header.task} at {header.preset}, protocol "
            f"{header.protocol_digest[:12]}, not {result.task.name} at {result.preset}, protocol "
            f"{result.protocol_digest[:12]}\n  --result takes the result that was exported"
        )
    answered = [pair for name in said for pair in _read_samples(path, name)]
    questions = [question for question, _, _ in answered]
    marks = {mark for _, mark, _ in answered}
    if any(one != header for one in found) or len(known | marks) != 1:
        raise UserError(
            f"{path}: its tasks are from several exports\n  run lm-eval again with one folder as --include_path"
        )
    asked = header.limit * len(header.classes)
    if len({(question.variant, question.row) for question in questions}) != asked or len(questions) != asked:
        raise UserError(
            f"{path}: {len(questions)} answers, but the export has {asked} questions\n"
            "  run lm-eval with the whole group and without --limit; natfp-bench export --limit N makes fewer questions"
        )
    if {export_digest(header, questions)} != known:
        raise UserError(f"{path}: the questions have changed since the export\n  export and run lm-eval again")
    return Output(path, data, header, questions, np.array([proba for _, _, proba in answered]))


def _read_samples(path: Path, task: str) -> list[tuple[ExportedQuestion, str, list[float]]]:
    """Questions of one task, each with the digest of its export and the probabilities of its letters."""
    dated = DATED.search(path.name)
    file = path.with_name(f"samples_{task}_{dated[1] if dated else ''}.jsonl")
    found = []
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
            if line:
                sample = json.loads(line)
                doc = dict(sample["doc"])
                mark = doc.pop("export")
                question = ExportedQuestion.model_validate_json(json.dumps(doc))
                nats = [float(answer[0]) for answer in sample["filtered_resps"]]
                if len(nats) != len(question.order):
                    raise ValueError(f"line {number} has {len(nats)} of {len(question.order)} answers")
                found.append((question, str(mark), softmax(nats)))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})\n  lm_eval --log_samples   writes it") from None
    except (ValueError, KeyError, TypeError, IndexError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: not samples of an export ({type(error).__name__}: {reason})") from None
    return found


def softmax(nats: Sequence[float]) -> list[float]:
    """Probabilities from log-likelihoods; raises ValueError if one is NaN or infinite, or all are minus infinity."""
    highest = max(nats)
    if any(math.isnan(one) for one in nats) or math.isinf(highest):
        raise ValueError(f"log-likelihoods {nats} give no probabilities")
    weights = [math.exp(one - highest) for one in nats]
    return [weight / math.fsum(weights) for weight in weights]


def import_output(
    given: Path, result_path: Path, *, name: str | None = None, command: Sequence[str] = ()
) -> tuple[Result, pa.Table]:
    """Score a language model from the output of lm-eval; returns the result and its predictions.

    name: a name for it, instead of its own. Raises UserError for an output that is not about this result's export, and
    for a name that another attributor of the result has.
    """
    started = datetime.now(UTC)
    result, predictions = results.read(result_path), read_predictions(result_path)
    output = read_output(given, result)
    who = _identity(output, result, name)
    rows = predictions.test_texts(result)
    kept, answered = _answered(output, rows)
    part, asked = len(kept) < len(rows), rows.take(pa.array(kept))
    frame = _frame(result, output.header)
    own = _answers(asked, answered, frame)
    n_train = output.header.shots * len(frame.classes)
    tables = [_table(asked, who.name, answered)]
    if part:
        scores, others = _beside(result, predictions, rows, kept, frame, who, own, n_train)
        tables = [*others, *tables]
    else:
        top = next((score for score in _of_view(result, frame) if score.attributor.name == scoring.CEILING.name), None)
        scores = [scoring.score(frame, who, own, n_train=n_train, rank=1, top=top)]
    seconds = round((datetime.now(UTC) - started).total_seconds(), 3)
    spent = float(output.data.get("total_evaluation_time_seconds") or 0.0)
    info = RunInfo(
        id=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        command=tuple(command),
        started=started.isoformat(timespec="seconds"),
        seconds={"total": seconds},
        work={"lm-eval": round(spent, 3)},
        attributors={f"{TARGET}/{who.name}": {"fit": 0.0, "predict": round(spent, 3)}},
        environment={**environment(), **_logged(output)},
    )
    changes: dict[str, Any] = {"scores": tuple(scores), "run": info}
    if part:
        changes |= _of_a_part(result, output, asked)
    return result.model_copy(update=changes), pa.concat_tables(tables)


def _logged(output: Output) -> dict[str, str | int]:
    """What lm-eval logs about the model, as far as it is short."""
    config = output.data.get("config") or {}
    said = {"lm_eval": output.data.get("lm_eval_version"), "lm_eval model": output.data.get("model_name")}
    said |= {f"lm_eval {name}": config.get(name) for name in ("model_sha", "model_dtype", "model_num_parameters")}
    said["lm_eval max_length"] = output.data.get("max_length")
    return {key: value if isinstance(value, int) else str(value) for key, value in said.items() if value}


def _identity(output: Output, result: Result, name: str | None) -> AttributorId:
    """The attributor: named after the model, with a digest over what lm-eval logs about it and its prompting."""
    config = output.data.get("config") or {}
    identity = {key: output.data.get(key) for key in IDENTITY} | {key: config.get(key) for key in CONFIG_IDENTITY}
    known_as = str(output.data.get("model_name") or "")
    plain = name or re.sub(r"[^a-z0-9]+", "_", known_as.rstrip("/").rsplit("/", 1)[-1].lower()).strip("_")
    if name is None and not registry.NAME.fullmatch(plain):
        raise UserError(f"the name {known_as!r} cannot be used\n  --name gives the model another name")
    registry.check_name(plain)
    taken = {score.attributor.name for score in result.scores} | {found.name for found in registry.bundled()}
    if plain in taken:
        raise UserError(f"there is already an attributor {plain!r}\n  --name gives the model another name")
    shots = output.header.shots
    return AttributorId(
        name=plain,
        version=f"{shots}-shot",
        digest=digest({**json.loads(json.dumps(identity, default=str)), "shots": shots}),
        access="text",
        floor=False,
    )


def _frame(result: Result, header: ExportHeader) -> Frame:
    """Frame in which the answers are scored, the same as for the result's own scores."""
    split = main_split(result)
    scores = [score for score in result.scores if (score.target, score.split) == (TARGET, split)]
    if scores[0].classes != header.classes:
        raise UserError(f"the export has the classes {header.classes}, but the result has {scores[0].classes}")
    ordered = any("level_error" in score.metrics for score in scores)
    order = tuple(name for name in result.factor.levels if name in header.classes) if ordered else ()
    units = next(score.metrics["bits"].units for score in scores if score.status == "ok")
    seeds = any(score.candidates for score in scores)
    return Frame(TARGET, split, header.classes, order, result.seed, units, seeds)


def _of_view(result: Result, frame: Frame) -> list[Score]:
    return [score for score in result.scores if (score.target, score.split) == (frame.target, frame.split)]


def _answered(output: Output, rows: pa.Table) -> tuple[Ints, Floats]:
    """Places of the test texts that have a question, (n,), and the probabilities of their classes, (n, k)."""
    places = {
        at: place for place, at in enumerate(zip(rows["variant"].to_pylist(), rows["row"].to_pylist(), strict=True))
    }
    found: dict[int, Floats] = {}
    for question, letters in zip(output.questions, output.proba, strict=True):
        at = question.variant, question.row
        if at not in places:
            raise UserError(
                f"{output.path}: row {at[1]} of {at[0]} has a question, but is not a test text of the result"
            )
        found[places[at]] = letters[np.argsort(question.order)]
    kept = sorted(found)
    return np.array(kept), np.array([found[place] for place in kept])


def _answers(rows: pa.Table, proba: Floats, frame: Frame) -> Answers:
    place = {name: index for index, name in enumerate(frame.classes)}
    return Answers(
        proba=proba,
        truth=np.array([place[label] for label in rows["label"].to_pylist()], dtype=np.int64),
        writers=np.array(rows["variant"].to_pylist()),
        prompts=rows["prompt"].to_numpy(),
        rows=np.arange(len(rows)),
        fold=rows["fold"].to_numpy().astype(np.int64),
    )


def _table(rows: pa.Table, name: str, proba: Floats) -> pa.Table:
    """Rows of predictions with the answers of an attributor."""
    columns = {column: rows[column] for column in PREDICTIONS.names}
    columns["attributor"] = pa.array([name] * len(rows))
    columns["proba"] = pa.array(proba.tolist(), pa.list_(pa.float64()))
    return pa.table(columns, schema=PREDICTIONS)


def _beside(
    result: Result,
    predictions: Predictions,
    rows: pa.Table,
    kept: Ints,
    frame: Frame,
    who: AttributorId,
    own: Answers,
    n_train: int,
) -> tuple[list[Score], list[pa.Table]]:
    """Scores of the model and of the result's attributors on the texts that the model answered for, ranked together."""
    view = _of_view(result, frame)
    given: dict[str, Answers] = {}
    tables = []
    for score in view:
        if score.status != "ok":
            continue
        theirs = predictions.of(score)
        if theirs.rows.select(["variant", "row"]) != rows.select(["variant", "row"]):
            raise UserError(
                f"the predictions of {score.attributor.name} are about other texts than those of the first attributor"
            )
        part = theirs.rows.take(pa.array(kept))
        tables.append(part)
        given[score.attributor.name] = _answers(part, theirs.proba[kept], frame)
    of_texts = {of.attributor.name for of in view if of.attributor.access == "text"}
    credit = {name: one.credit for name, one in given.items() if name in of_texts} | {who.name: own.credit}
    rungs = {of.attributor.name: of.attributor.knowledge for of in view} | {who.name: who.knowledge}
    ranks = paired.ranks_within(rungs, credit, own.prompts, frame.seed)
    top = None
    scores = []
    for score in reversed(view):
        name, learnt = score.attributor.name, score.n_train
        if score.status != "ok":
            scores.append(score)
        elif name in of_texts:
            scores.append(
                scoring.score(frame, score.attributor, given[name], n_train=learnt, rank=ranks[name], top=top)
            )
        else:
            top = scoring.score(frame, score.attributor, given[name])
            scores.append(top)
    mine = scoring.score(frame, who, own, n_train=n_train, rank=ranks[who.name], top=top)
    return [mine, *reversed(scores)], tables


def _of_a_part(result: Result, output: Output, rows: pa.Table) -> dict[str, Any]:
    """Changes of a result if only a part of its texts is scored: everything that depends on all texts is removed."""
    texts = sorted(zip(rows["variant"].to_pylist(), rows["row"].to_pylist(), strict=True))
    return {
        "protocol_digest": digest({"protocol": result.protocol_digest, "texts": [list(at) for at in texts]}),
        "subset": output.header.limit,
        "likelihood": (),
        "mean_kl": None,
        "checks": (),
        "study": FactorStudy(reference=result.study.reference) if result.study else None,
    }
