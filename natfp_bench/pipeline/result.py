"""`result.json`: what a run found, as a public, versioned record.

Everything volatile is under `run`: two runs of one protocol that start from empty stores agree on the rest byte for
byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, field_validator

from natfp_bench.base.records import Record
from natfp_bench.base.rungs import Rung
from natfp_bench.corpus.metas import CorpusFile
from natfp_bench.plan.text_settings import SourceName
from natfp_bench.statistics.candidates import CandidateCurve
from natfp_bench.statistics.ceiling import Divergence, SelfCheck
from natfp_bench.statistics.crossed import Variance
from natfp_bench.statistics.curves import Curve, Permuted, Robustness, Side, Wording
from natfp_bench.statistics.dilution import Dilution
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.reading import Reading
from natfp_bench.statistics.replication import Equivalence, Permanova
from natfp_bench.statistics.token_evidence import PositionRatio, TypeRatio
from natfp_bench.statistics.verification import Verification

SCHEMA = 1


class TaskId(Record):
    """Which version of which task."""

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
    """The training corpus: digest of the packed blocks, and their size.

    files: what the documents were read from, with sizes and digests of whole files. revision: of the data set on the
    Hub, where one was named.
    """

    name: str
    digest: str
    documents: int
    bytes: int
    tokens: int
    copies: int = Field(
        0, description="given texts only: test texts that were removed because they were in training, too"
    )
    empty: int = Field(0, description="given texts only: empty texts that were left out")
    files: tuple[CorpusFile, ...] = ()
    revision: str | None = None


class VariantResult(Record):
    """One variant: its settings and the outcome of its training; null if the source does not know a value.

    training_multiset: digest of the training blocks, whatever their order. Bits per byte are measured on held-out
    documents; the excess is over the corpus's true entropy, if that is known.
    """

    name: str
    level: str
    replicate: int
    source: SourceName
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
    parity: dict[str, float] = Field({}, description="scores of the model by lm-eval, by task/metric")


class SampleResult(Record):
    """How texts were sampled; the digest is over the tokens of all variants, or over texts if tokens are unknown."""

    per_variant: int
    max_tokens: int | None
    prompted: bool
    mean_tokens: float | None
    ended: float
    digest: str


LIKELIHOOD_REFERENCE = "likelihood_reference"
"""Name of the attributor that has the likelihoods of the models that a fit has met, and of no others."""


class AttributorId(Record):
    """An attributor; `access`: whether it uses the texts or the variants' likelihoods.

    knowledge: its rung of the ladder, which says what it was given beside labelled texts.
    """

    name: str
    version: str
    digest: str | None
    access: Literal["text", "likelihood"]
    floor: bool
    knowledge: Rung = "texts"


METRICS = (
    "accuracy",
    "identifiability",
    "bits",
    "macro_f1",
    "log_loss",
    "pairwise_auroc",
    "calibration_error",
    "tpr_at_1_percent_fpr",
    "level_error",
    "kendall_tau",
)
"""The figures that a score states; each is a function in `statistics.metrics`."""


class Score(Record):
    """One attributor's result for one target on one split; rows of `confusion` are true classes, ties are shared."""

    attributor: AttributorId
    status: Literal["ok", "failed"]
    error: str | None = None
    split: str
    target: Literal["level", "instance"]
    classes: tuple[str, ...]
    chance: float
    n_train: int | None = None
    n_test: int | None = None
    log10_p: float | None = Field(None, description="one-sided test against chance, about these models alone")
    p_test: str | None = Field(None, description="the test that gave log10_p, or why there is none")
    rank: int | None = Field(None, description="1 + number of attributors of its rung that are significantly better")
    metrics: dict[str, Interval] = Field({}, json_schema_extra={"propertyNames": {"enum": list(METRICS)}})
    parts: tuple[float, ...] = Field(
        (), description="accuracy on each held-out replicate, else on each tenth of the prompts"
    )
    by_variant: dict[str, float] = Field({}, description="accuracy on the texts of each variant")
    bits_by_variant: dict[str, float] = Field({}, description="bits, the mean over the texts of each variant")
    candidates: CandidateCurve | None = Field(
        None, description="accuracy against the number of candidates, if the classes are many and nothing but seeds"
    )
    confusion: tuple[tuple[float, ...], ...] | None = None
    extraction: float | None = Field(None, description="bits divided by the ceiling's, if the ceiling has enough")

    @field_validator("metrics")
    @classmethod
    def _known(cls, found: dict[str, Interval]) -> dict[str, Interval]:
        if unknown := found.keys() - set(METRICS):
            raise ValueError(f"unknown metric {min(unknown)!r}")
        return found


class Likelihood(Record):
    """What the variants' own likelihoods say about one target if every variant is known, beyond the ceiling's score.

    There is no self-check if tokenizers differ: the likelihoods are then not those of the sampler.
    """

    target: Literal["level", "instance"]
    mutual_information: Interval
    self_check: SelfCheck | None


class Gap(Record):
    """The replicate gap: accuracy on seen replicates minus accuracy on unseen ones, same fits, same prompts.

    p: one-sided p-value of a gap below zero, by the t of its interval; None below three replicates.
    """

    attributor: str
    gap: Interval
    p: float | None


class LengthPoint(Record):
    """Accuracy at one length: of the reference attributor, and of the ceiling."""

    at: int
    accuracy: Interval
    ceiling: float | None


class Length(Record):
    """Accuracy against length; `to_95`: length at which 0.95 is reached, None if the longest texts do not reach it.

    The ceiling is for the level target with every variant known.
    """

    unit: str
    points: tuple[LengthPoint, ...]
    to_95: float | None
    ceiling_to_95: float | None


class Detectable(Record):
    """Smallest effects that this preset detects with a power of 0.8 at a significance level of 5%.

    instance: accuracy on the instance target (on levels, if each level is one instance), by the exact binomial test.
    factor: identifiability on unseen replicates, by the permutation test; None if no data could be significant. It
    comes from the spread under permuted labels, which a real effect widens: it is about factors that were not found.
    """

    instance: float | None = None
    factor: float | None = None


class CrossedSide(Side):
    """One seed of a crossing; likelihood: accuracy of the likelihoods of the same models that the attributor knows."""

    likelihood: Interval | None = None


class Crossed(Record):
    """A crossing of seeds: the parts of the differences between models, and how well each seed is guessed.

    variance: None if the models have no likelihoods, or do not differ.
    """

    seeds: tuple[str, ...]
    variance: Variance | None
    sides: tuple[CrossedSide, ...] = Field((), description="none if the study of them failed")


class FactorStudy(Record):
    """What is known about the factor beyond its scores; the reference attributor was refitted for these studies.

    failed: studies that failed, each with its reason.
    """

    reference: str
    permutation: Permuted | None = None
    permanova: Permanova | None = None
    gaps: tuple[Gap, ...] = ()
    equivalence: Equivalence | None = None
    detectable: Detectable = Detectable()
    length: Length | None = None
    curves: tuple[Curve, ...] = ()
    robustness: tuple[Robustness, ...] = ()
    wording: Wording | None = None
    by_position: tuple[PositionRatio, ...] = ()
    by_type: tuple[TypeRatio, ...] = ()
    readings: tuple[Reading, ...] = Field(
        (), description="what each attributor reads of the evidence in texts of the models that it has learnt from"
    )
    crossed: Crossed | None = None
    transposed: CrossedSide | None = Field(
        None, description="which replicate wrote the text, at levels that no fit has met; likelihoods beside it"
    )
    verification: Verification | None = Field(
        None, description="in tasks whose levels are ancestors: is a model a descendant of one of them?"
    )
    dilution: Dilution | None = Field(
        None, description="with analysis.shares: what share of mixed texts is by one of two models?"
    )
    failed: dict[str, str] = Field({})


class MeanKL(Record):
    """Mean KL divergence in bits per token (per byte, if tokenizers differ) of each variant (row) from each other."""

    unit: Literal["token", "byte"]
    variants: tuple[str, ...]
    divergence: tuple[tuple[Divergence, ...], ...]


class Check(Record):
    """A condition that every sound run meets."""

    name: str
    ok: bool
    detail: str


class RunInfo(Record):
    """Everything volatile: when, where, how fast."""

    id: str
    command: tuple[str, ...]
    started: str
    seconds: dict[str, float] = Field(description="total: wall clock; a stage: sum over the jobs of this run")
    work: dict[str, float] = Field(
        description="by stage: sum over all jobs that the result depends on, whenever they ran"
    )
    attributors: dict[str, dict[str, float]] = Field(description="seconds of fit and prediction, by target/name")
    memory_mb: dict[str, int] = Field({}, description="peak memory of the fitting process, by target/name")
    environment: dict[str, str | int]
    sandboxed: tuple[str, ...] = Field((), description="attributors that ran in a sandbox")
    mixed_versions: dict[str, tuple[str, ...]] = Field(
        {},
        description="packages whose major or minor version differs among the jobs of the result, with these versions",
    )


def share_weights(weights: Iterable[tuple[int, str | None]]) -> bool:
    """Whether the models of each replicate have the same weights; weights: the replicate and digest of each model."""
    models = list(weights)
    replicates = {replicate for replicate, _ in models}
    known = None not in {digest for _, digest in models}
    return known and len(set(models)) == len(replicates) < len(models)


class Result(Record):
    """The whole of `result.json`."""

    schema_: Literal[1] = Field(1, alias="schema")
    protocol_digest: str
    overrides: dict[str, str | int | float | bool]
    seed: int
    fixed_texts: str | None = Field(None, description="digest of the fixed texts, if no model was trained")
    subset: int | None = Field(None, description="test texts per class, if only a part of the test texts is scored")
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
    def same_weights(self) -> bool:
        """Whether the levels differ only in how the same weights are served or sampled."""
        return share_weights((of.replicate, of.weights) for of in self.variants if of.status == "ok")

    @property
    def equivalence(self) -> Equivalence | None:
        """Whether the levels are equally good models; None where they have the same weights, which cannot differ.

        Results of earlier versions have an answer there, which is about the weights alone.
        """
        return None if self.study is None or self.same_weights else self.study.equivalence

    @property
    def failures(self) -> list[str]:
        """One line for each variant that diverged, and each attributor, study and check that failed."""
        diverged = [f"{v.name} diverged: {v.reason}; left out" for v in self.variants if v.status == "diverged"]
        failed = {s.attributor.name: f"{s.attributor.name} failed: {s.error}" for s in self.scores if s.error}
        studies = [f"study {name} failed: {why}" for name, why in (self.study.failed if self.study else {}).items()]
        return [
            *diverged,
            *failed.values(),
            *studies,
            *(f"check {c.name}: {c.detail}" for c in self.checks if not c.ok),
        ]

    def to_json(self) -> str:
        """Serialise with the keys in the order of the schema."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"

    def stable_json(self) -> str:
        """Serialise all but the volatile part."""
        return json.dumps(self.model_dump(mode="json", exclude={"run"}), sort_keys=True)


def schema() -> dict[str, Any]:
    """JSON Schema of `result.json`."""
    found = Result.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
