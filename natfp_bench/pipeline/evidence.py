"""What a run has found, before any of it is interpreted: the keys of finished entries, and how to read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from numpy.typing import NDArray

from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.records import Record, canonical_json
from natfp_bench.corpus.tokens import first_bytes
from natfp_bench.plan import split
from natfp_bench.plan.plan import Plan, Target
from natfp_bench.statistics.metrics import Floats, Ints

from .resolve import VariantKeys
from .store import Store

Found = TypeVar("Found", bound=Record)


@dataclass(frozen=True)
class TestTexts:
    """The test texts of all kept variants, variant after variant.

    source: the variant's index; lengths: tokens of its own tokenizer; bytes: what attributors see of them. ids: none of
    fixed texts, which are kept as text alone.
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
    """All that a result is made from; the keys of predictions, scores and studies are those of finished entries.

    predictions: by (baseline, target, fold); failed: why there is none. scores: by variant. studies: by name.
    parity: what lm-eval says of each variant's model.
    """

    plan: Plan
    store: Store
    metas: Mapping[str, dict[str, Any]]
    variants: Sequence[VariantKeys]
    kept: Sequence[VariantKeys]
    baselines: Sequence[Baseline]
    predictions: Mapping[tuple[str, Target, int], str]
    failed: Mapping[tuple[str, Target], str]
    scores: Mapping[str, str]
    studies: Mapping[str, str]
    failed_studies: Mapping[str, str]
    protocol: str
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
        """Whether there was anything to tell apart."""
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
        names = ("source", "rows", "prompts", "lengths", "bytes")
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        ids: list[list[int]] = []
        for index, of in enumerate(self.kept):
            table = self.sample_table(of)
            prompts = table["prompt"].to_numpy().astype(np.int64)
            test = split.test_rows(prompts, self.plan.split)
            if "ids" in table.column_names:
                ids += table["ids"].filter(pa.array(test)).to_pylist()
            texts = table["text"].filter(pa.array(test)).to_pylist()
            seen = texts if self.plan.cut is None else [first_bytes(text, self.plan.cut) for text in texts]
            parts["bytes"].append(np.array([len(text.encode()) for text in seen], dtype=np.int64))
            parts["source"].append(np.full(int(test.sum()), index))
            parts["rows"].append(table["row"].to_numpy().astype(np.int64)[test])
            parts["prompts"].append(prompts[test])
            parts["lengths"].append(token_counts(table)[test])
        return TestTexts(ids=ids, **{name: np.concatenate(arrays) for name, arrays in parts.items()})

    def sample_table(self, of: VariantKeys) -> pa.Table:
        """Return a variant's sample set as it was written; fixed texts have no `ids`, but the number of `tokens`."""
        paths = [self.store.require("sample", key).folder / "samples.parquet" for key in of.samples]
        return pa.concat_tables([pq.read_table(path) for path in paths]).slice(0, self.plan.texts)

    @cached_property
    def token_scores(self) -> list[NDArray[np.float32]]:
        """Nats of each token of every test text under each kept variant: one (texts, tokens) array a variant."""
        return [
            safetensors.numpy.load_file(self.store.require("score", self.scores[name]).folder / "scores.safetensors")[
                "token_log_likelihood"
            ]
            for name in self.names
        ]

    def log_likelihood(self, length: int | None = None) -> Floats:
        """Nats of the first `length` tokens of every test text under each kept variant: (texts, variants)."""
        return np.column_stack([scores[:, :length].astype(np.float64).sum(axis=1) for scores in self.token_scores])

    def proba(self, baseline: str, target: Target, fold: int, classes: int) -> Floats:
        """Return what a baseline answered for all test texts in one fold: (texts, classes)."""
        folder = self.store.require("prediction", self.predictions[baseline, target, fold]).folder
        flat = pq.read_table(folder / "proba.parquet")["proba"].combine_chunks().flatten().to_numpy()
        return np.asarray(flat.reshape(-1, classes), dtype=np.float64)

    def studied(self, name: str, kind: type[Found]) -> list[Found]:
        """Return what a study found, as records of its kind; none where it was not done."""
        if (key := self.studies.get(name)) is None:
            return []
        found = json.loads((self.store.require("study", key).folder / "study.json").read_text())
        rows = found if isinstance(found, list) else [found]
        return [kind.model_validate_json(json.dumps(row)) for row in rows]

    def model(self, of: VariantKeys) -> Path:
        """Folder of a variant's model."""
        return self.store.require("model", of.model).folder


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
