"""What a run has found, before any of it is interpreted: its finished stages, and how to read them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.base.text import first_bytes
from natfp_bench.corpus import words
from natfp_bench.corpus.metas import CorpusMeta, TextsMeta
from natfp_bench.corpus.tokens import reader
from natfp_bench.models.metas import ModelMeta
from natfp_bench.plan import split
from natfp_bench.plan.plan import Plan, Target, Variant
from natfp_bench.statistics.intervals import Floats, Ints

from .stages.prediction import Prediction, PredictionMeta
from .stages.sample import read_table
from .stages.score import TextScores
from .stages.stage import Stage
from .stages.studies import Study
from .stages.variant import VariantStages
from .store import Store

Found = TypeVar("Found", bound=Record)


@dataclass(frozen=True)
class TestTexts:
    """The test texts of all kept variants, variant after variant.

    source: the variant's index; lengths: tokens of its own tokenizer; bytes: what attributors see of them. ids: token
    ids; empty for fixed texts, of which only the text is kept.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    source: Ints
    rows: Ints
    prompts: Ints
    lengths: Ints
    bytes: Ints
    ids: list[list[int]]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Evidence:
    """All that a result is made from; predictions, text_scores and studies are finished stages.

    metas: what is noted of each finished stage, of its `meta_type`. strangers: variants of no class (`ladder`) that did
    not diverge; twins: likewise, by the variant whose initial weights they have. unrelated: models that descend from no
    level (`plan.ancestors`), with texts, that did not diverge. predictions: by (baseline, target, fold); failed: why
    there is none. sandboxed: names of the baselines that were in a sandbox. text_scores: by variant; stranger_scores:
    likewise, of the texts of unrelated models. studies: by name. parity: what lm-eval says of each variant's model.
    """

    plan: Plan
    store: Store
    metas: Mapping[Stage, Any]
    variants: Sequence[VariantStages]
    kept: Sequence[VariantStages]
    baselines: Sequence[Baseline]
    protocol: str
    strangers: Sequence[VariantStages] = ()
    twins: Mapping[str, VariantStages] = field(default_factory=dict)
    unrelated: Sequence[VariantStages] = ()
    sandboxed: Collection[str] = ()
    predictions: Mapping[tuple[str, Target, int], Prediction] = field(default_factory=dict)
    failed: Mapping[tuple[str, Target], str] = field(default_factory=dict)
    text_scores: Mapping[str, TextScores] = field(default_factory=dict)
    stranger_scores: Mapping[str, TextScores] = field(default_factory=dict)
    studies: Mapping[str, Study] = field(default_factory=dict)
    failed_studies: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the kept variants."""
        return [of.variant.name for of in self.kept]

    @property
    def replicates(self) -> Ints:
        """Replicate of each kept variant."""
        return np.array([of.variant.replicate for of in self.kept], dtype=np.int64)

    @property
    def levels(self) -> list[str]:
        """Level of each kept variant."""
        return [of.variant.level for of in self.kept]

    @property
    def attributed(self) -> bool:
        """Whether at least two levels are left to choose between."""
        return len(set(self.levels)) > 1

    def splits(self, target: Target) -> tuple[str, ...]:
        """Splits by which a target is scored, the one that the task is about first."""
        if target == "level" and self.plan.holds_out_replicates and len(np.unique(self.replicates)) > 1:
            return (split.UNSEEN_REPLICATE, split.SEEN_REPLICATE)
        return (split.UNSEEN_PROMPT,)

    @cached_property
    def samples(self) -> SampleTotals:
        """Sizes and digest of all sample sets."""
        return SampleTotals.of([self.sample_table(of) for of in self.kept])

    @cached_property
    def texts(self) -> TestTexts:
        """The test texts."""
        tables = []
        for of in self.kept:
            table = self.sample_table(of)
            test = split.test_rows(table["prompt"].to_numpy().astype(np.int64), self.plan.split)
            tables.append(table.filter(pa.array(test)))
        table = pa.concat_tables(tables)
        texts = table["text"].to_pylist()
        seen = texts if self.plan.cut is None else [first_bytes(text, self.plan.cut) for text in texts]
        return TestTexts(
            source=np.repeat(np.arange(len(tables)), [len(one) for one in tables]),
            rows=table["row"].to_numpy().astype(np.int64),
            prompts=table["prompt"].to_numpy().astype(np.int64),
            lengths=token_counts(table),
            bytes=np.array([len(text.encode()) for text in seen], dtype=np.int64),
            ids=table["ids"].to_pylist() if "ids" in table.column_names else [],
        )

    def sample_table(self, of: VariantStages) -> pa.Table:
        """Read a variant's sample set; bundled texts have no `ids`, but a number of `tokens`."""
        return read_table(self.store, of.samples, self.plan.texts)

    @cached_property
    def token_scores(self) -> list[NDArray[np.float32]]:
        """Nats of each token of every test text under each kept variant: one (texts, tokens) array per variant."""
        return [self.text_scores[name].read(self.store) for name in self.names]

    @cached_property
    def token_types(self) -> list[list[str]]:
        """Type of each token of every test text, one of `words.WORD_TYPES`; only where all models share a tokenizer."""
        entry = self.kept[0].model.entry(self.store)
        tokenizer, _, end = reader(entry.folder, entry.meta)
        known = sorted({token for row in self.texts.ids for token in row})
        decoded = tokenizer.decode_batch([[token] for token in known], skip_special_tokens=False)
        pieces = {**dict(zip(known, decoded, strict=True)), end: ""}
        return [words.token_types([pieces[token] for token in row]) for row in self.texts.ids]

    def log_likelihood(self, length: int | None = None) -> Floats:
        """Nats of the first `length` tokens of every test text under each kept variant: (texts, variants)."""
        return np.column_stack([scores[:, :length].astype(np.float64).sum(axis=1) for scores in self.token_scores])

    def proba(self, baseline: str, target: Target, fold: int) -> Floats:
        """Return what a baseline answered for all test texts in one fold: (texts, classes)."""
        return self.predictions[baseline, target, fold].read(self.store)

    def studied(self, name: str, kind: type[Found]) -> list[Found]:
        """Return what a study found, as records of its kind; none if it was not done."""
        return self.studies[name].read(self.store, kind) if name in self.studies else []

    def heldout(self, of: VariantStages) -> pa.Table:
        """Read how a variant's model does on each held-out document: bits, true bits and bytes."""
        return pq.read_table(of.model.folder(self.store) / "heldout.parquet")

    def model_meta(self, of: VariantStages) -> ModelMeta:
        """What is noted of a variant's model."""
        meta: ModelMeta = self.metas[of.model]
        return meta

    def corpus_meta(self, of: VariantStages) -> CorpusMeta | TextsMeta:
        """What is noted of a variant's corpus."""
        meta: CorpusMeta | TextsMeta = self.metas[of.corpus]
        return meta

    def prediction_meta(self, prediction: Prediction) -> PredictionMeta:
        """What is noted of a prediction."""
        meta: PredictionMeta = self.metas[prediction]
        return meta


def without_diverged(variants: Sequence[Variant], statuses: Mapping[str, str]) -> set[str]:
    """Names of the variants that take part in the statistics.

    A replicate with a diverged variant is left out whole, so that levels stay balanced. If no replicate is whole, the
    levels that diverged are left out.
    """
    bad = [variant for variant in variants if statuses[variant.name] != "ok"]
    whole = {variant.replicate for variant in variants} - {variant.replicate for variant in bad}
    if whole:
        return {variant.name for variant in variants if variant.replicate in whole}
    levels = {variant.level for variant in bad}
    return {variant.name for variant in variants if variant.level not in levels}


def token_counts(table: pa.Table) -> Ints:
    """Tokens of each text of a sample set."""
    if "ids" in table.column_names:
        return np.asarray(table["ids"].combine_chunks().value_lengths(), dtype=np.int64)
    return np.asarray(table["tokens"].to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class SampleTotals:
    """Sizes of sample sets, and the digest of all their tokens (of fixed texts, of the texts)."""

    texts: int
    tokens: int
    ended: int
    digest: str

    @staticmethod
    def of(tables: Sequence[pa.Table]) -> SampleTotals:
        """Add up tables of samples."""
        total = hashlib.sha256()
        tokens = ended = texts = 0
        for table in tables:
            lengths = token_counts(table)
            if "ids" in table.column_names:
                total.update(table["ids"].combine_chunks().flatten().to_numpy().tobytes() + lengths.tobytes())
            else:
                total.update(canonical_json(table["text"].to_pylist()).encode())
            tokens, texts = tokens + int(lengths.sum()), texts + len(lengths)
            ended += int(table["ended"].to_numpy().sum())
        return SampleTotals(texts, tokens, ended, total.hexdigest())
