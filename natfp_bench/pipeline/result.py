"""`result.json`: what a run found, as a public, versioned record.

Everything volatile stands under `run`; two runs of one protocol from two empty stores agree on the rest byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from natfp_bench.attributors.study import Curve, Permuted, Robustness, Wording
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.statistics.ceiling import Divergence, SelfCheck
from natfp_bench.statistics.fingerprint import PositionRatio, TypeRatio
from natfp_bench.statistics.metrics import Interval
from natfp_bench.statistics.replication import Equivalence, Permanova

SCHEMA = 1

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""What makes of a result of one schema version one of the next; there is none older than the first yet."""


class TaskId(Record):
    """Which task, exactly."""

    name: str
    version: int
    digest: str
    tags: tuple[str, ...]
    control: Literal["negative", "positive"] | None


class FactorResult(Record):
    """What varied."""

    name: str
    fields: tuple[str, ...]
    levels: tuple[str, ...]


class CorpusResult(Record):
    """What was trained on: digest of the packed blocks, and their size."""

    name: str
    digest: str
    documents: int
    bytes: int
    tokens: int
    copies: int = Field(0, description="of given texts: those of the test that stood in training too, and were removed")


class VariantResult(Record):
    """One variant: its settings, and what came of its training; null is what a source does not tell.

    training_multiset: digest of the blocks that were read, their order forgotten. Bits per byte are of held-out
    documents; the excess is over the corpus's true entropy, where that is known.
    """

    name: str
    level: str
    replicate: int
    source: Literal["train", "checkpoint", "lm_eval", "texts"]
    key: str
    status: Literal["ok", "diverged"]
    reason: str | None
    settings: dict[str, Any]
    parameters: int | None
    tokens_trained: int | None
    epochs: float | None
    training_multiset: str | None
    weights: str | None
    heldout_bits_per_byte: Interval | None
    excess_bits_per_byte: Interval | None
    parity: dict[str, float] = Field({}, description="what lm-eval says of the model, by task/metric")


class SampleResult(Record):
    """How texts were drawn; the digest is over all variants' tokens, or texts where no tokens are known."""

    per_variant: int
    max_tokens: int | None
    prompted: bool
    mean_tokens: float | None
    ended: float
    digest: str


class AttributorId(Record):
    """Who guessed; `access` says whether from texts or from the variants' likelihoods."""

    name: str
    version: str
    digest: str | None
    access: Literal["text", "likelihood"]
    floor: bool


class Score(Record):
    """One attributor's result for one target on one split; confusion has rows of truth, ties shared."""

    attributor: AttributorId
    status: Literal["ok", "failed"]
    error: str | None = None
    split: str
    target: Literal["level", "instance"]
    classes: tuple[str, ...]
    chance: float
    n_train: int | None = None
    n_test: int | None = None
    log10_p: float | None = Field(None, description="one-sided exact binomial test against chance")
    rank: int | None = Field(None, description="1 + attributors of texts that are significantly better")
    metrics: dict[str, Interval] = Field({})
    parts: tuple[float, ...] = Field((), description="accuracy on each held-out replicate, else each tenth of prompts")
    confusion: tuple[tuple[float, ...], ...] | None = None
    extraction: float | None = Field(None, description="bits over the ceiling's, where the ceiling has enough")


class Predicted(Record):
    """Accuracy of the ceiling that its log-likelihood ratios predict at a length."""

    tokens: int
    accuracy: float


class Likelihood(Record):
    """What the variants' own likelihoods say of one target, every variant known, beyond the ceiling's score.

    There is no self-check where tokenizers differ: the likelihoods are then no sampler's.
    """

    target: Literal["level", "instance"]
    mutual_information: Interval
    self_check: SelfCheck | None
    predicted_accuracy: tuple[Predicted, ...]


class Gap(Record):
    """The replicate gap: accuracy on seen replicates less that on unseen ones, same fits, same prompts.

    p: of a gap below zero, one-sided, Student's t over replicates; None below three.
    """

    attributor: str
    gap: Interval
    p: float | None


class LengthPoint(Record):
    """Accuracy at one length: the reference attributor's, the ceiling's, and what the likelihood ratios predict."""

    at: int
    accuracy: Interval
    ceiling: float | None
    predicted: float | None


class Length(Record):
    """Accuracy against length; `to_95`: length at which 0.95 is reached, None where the longest texts do not.

    The ceiling and the prediction are of the level target with every variant known.
    """

    unit: str
    points: tuple[LengthPoint, ...]
    to_95: float | None
    ceiling_to_95: float | None
    predicted_to_95: float | None


class Detectable(Record):
    """Smallest effects that this preset would have found with a power of 0.8 at the 5% level.

    instance: accuracy on the instance target (level, where a level is an instance). factor: identifiability on unseen
    replicates, from the spread seen; None below three.
    """

    instance: float | None
    factor: float | None


class FactorStudy(Record):
    """What is known of the factor beyond its scores; the reference attributor did the refits.

    failed: studies that could not be done, each with its reason.
    """

    reference: str
    permutation: Permuted | None
    permanova: Permanova | None
    gaps: tuple[Gap, ...]
    parity: Equivalence | None
    detectable: Detectable
    length: Length | None
    curves: tuple[Curve, ...]
    robustness: tuple[Robustness, ...]
    wording: Wording | None
    by_position: tuple[PositionRatio, ...]
    by_type: tuple[TypeRatio, ...]
    failed: dict[str, str]


class MeanKL(Record):
    """Mean KL divergence in bits a token (a byte, where tokenizers differ), of each variant (row) from each other."""

    unit: Literal["token", "byte"]
    variants: tuple[str, ...]
    divergence: tuple[tuple[Divergence, ...], ...]


class Check(Record):
    """Something that must hold of a sound run."""

    name: str
    ok: bool
    detail: str


class RunInfo(Record):
    """Everything volatile: when, where, how fast."""

    id: str
    command: tuple[str, ...]
    started: str
    seconds: dict[str, float] = Field(description="total: wall clock; a stage: summed over the jobs that it did now")
    work: dict[str, float] = Field(description="a stage: summed over all jobs that the result rests on")
    attributors: dict[str, dict[str, float]] = Field(description="seconds of fit and prediction, by target/name")
    memory_mb: dict[str, int] = Field({}, description="most memory of a process that fits and answers, by target/name")
    environment: dict[str, str | int]


class Result(Record):
    """The whole of `result.json`."""

    schema_: Literal[1] = Field(1, alias="schema")
    protocol_digest: str
    overrides: dict[str, str | int | float | bool]
    seed: int
    fixed_texts: str | None = Field(None, description="digest of the fixed texts, where no model was trained")
    subset: int | None = Field(None, description="test texts a class, where scores are of a part of a protocol's")
    task: TaskId
    preset: str
    factor: FactorResult
    corpus: CorpusResult
    variants: tuple[VariantResult, ...]
    samples: SampleResult | None
    scores: tuple[Score, ...]
    likelihood: tuple[Likelihood, ...]
    mean_kl: MeanKL | None
    study: FactorStudy | None
    checks: tuple[Check, ...]
    run: RunInfo

    @property
    def failures(self) -> list[str]:
        """What failed: checks, attributors, variants that diverged."""
        diverged = [f"{v.name} diverged: {v.reason}; kept out" for v in self.variants if v.status == "diverged"]
        failed = {s.attributor.name: f"{s.attributor.name} failed: {s.error}" for s in self.scores if s.error}
        studies = [f"study {name} failed: {why}" for name, why in (self.study.failed if self.study else {}).items()]
        return [
            *diverged,
            *failed.values(),
            *studies,
            *(f"check {c.name}: {c.detail}" for c in self.checks if not c.ok),
        ]

    def to_json(self) -> str:
        """Serialise, keys in the order of the schema."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"

    def stable_json(self) -> str:
        """Serialise without what is volatile."""
        return json.dumps(self.model_dump(mode="json", exclude={"run"}), sort_keys=True)


def schema() -> dict[str, Any]:
    """JSON Schema of `result.json`."""
    found = Result.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def read(path: Path) -> Result:
    """Read a `result.json`, of an older schema too; raises UserError where it is none, or of a newer one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged, no JSON ({error})") from None
    version = data.get("schema") if isinstance(data, dict) else None
    try:
        return Result.model_validate_json(json.dumps(_migrated(data, version, path)))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _migrated(data: Any, version: Any, path: Path) -> Any:
    """Bring a result to the schema of now, version by version."""
    if type(version) is int and version > SCHEMA:
        raise UserError(
            f"{path}: no result of schema {SCHEMA} (found {version}, which is newer)\n"
            "  pip install --upgrade natfp_bench, or use the version that wrote it"
        )
    known = type(version) is int and (version == SCHEMA or version in MIGRATIONS)
    if not known:
        raise UserError(f"{path}: no result of schema {SCHEMA} (found {version!r})\n  use the version that wrote it")
    while version < SCHEMA:
        try:
            data = MIGRATIONS[version](data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: damaged, no result of schema {version} ({error!r})") from None
        version += 1
        data = {**data, "schema": version}
    return data


def find(paths: list[Path]) -> list[Path]:
    """All `result.json` among files and below folders, sorted; raises UserError for a path that is not there."""
    found: set[Path] = set()
    for path in paths:
        if path.is_file():
            found.add(path)
        elif path.is_dir():
            found.update(path.rglob("result.json"))
        else:
            raise UserError(f"no results at {str(path)!r}\n  natfp-bench run --task seed_id   makes some")
    return sorted(found)
