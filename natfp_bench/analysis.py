"""What the finished entries say: scores, ceiling, divergences and checks, as a result and a table of predictions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from numpy.typing import NDArray

from . import ceiling, metrics, split
from .metrics import Floats, Interval, Ints
from .plan import Plan, Target, Variant
from .registry import Baseline
from .results import (
    AttributorId,
    Check,
    CorpusResult,
    FactorResult,
    Likelihood,
    MeanKL,
    Predicted,
    Result,
    RunInfo,
    SampleResult,
    Score,
    TaskId,
    VariantResult,
)
from .store import Store

CEILING = AttributorId(name="ceiling", version="1", digest=None, access="likelihood", floor=False)

SUSPICIOUS = 1e-3
"""p-value below which a check counts as failed."""

PREDICTIONS = pa.schema(
    {
        "variant": pa.string(),
        "row": pa.int64(),
        "prompt": pa.int64(),
        "fold": pa.int32(),
        "split": pa.string(),
        "target": pa.string(),
        "attributor": pa.string(),
        "label": pa.string(),
        "proba": pa.list_(pa.float64()),
    }
)
"""Columns of `predictions.parquet`: `label` is the truth, `proba` the answer for the score's classes in their order."""


@dataclass(frozen=True)
class VariantKeys:
    """A variant, and the keys of all that it leaves in the store."""

    variant: Variant
    corpus: str
    model: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """All that a result is made from; the keys of predictions and scores are those of finished entries."""

    plan: Plan
    store: Store
    metas: Mapping[str, dict[str, Any]]
    variants: Sequence[VariantKeys]
    kept: Sequence[VariantKeys]
    baselines: Sequence[Baseline]
    predictions: Mapping[tuple[str, Target], str]
    scores: Mapping[tuple[str, str], str]
    failed: Mapping[tuple[str, Target], str]
    protocol: str


@dataclass(frozen=True)
class TestTexts:
    """The test texts of all kept variants, variant after variant; `source` is the variant's index."""

    __test__ = False  # no test case, whatever pytest makes of the name

    source: Ints
    rows: Ints
    prompts: Ints
    lengths: Ints
    log_likelihood: Floats


def label(variant: Variant, target: Target) -> str:
    """What an attributor is to guess of a variant's texts."""
    return variant.level if target == "level" else variant.name


def without_diverged(variants: Sequence[Variant], statuses: Mapping[str, str]) -> set[str]:
    """Names of the variants that take part in the statistics.

    A replicate with a diverged variant is left out whole, so that levels stay balanced; where no replicate is whole,
    the levels that diverged are.
    """
    bad = [variant for variant in variants if statuses[variant.name] != "ok"]
    whole = {variant.replicate for variant in variants} - {variant.replicate for variant in bad}
    if whole:
        return {variant.name for variant in variants if variant.replicate in whole}
    levels = {variant.level for variant in bad}
    return {variant.name for variant in variants if variant.level not in levels}


def left_out(variants: Sequence[VariantKeys], kept: Sequence[VariantKeys], diverged: set[str]) -> list[Check]:
    """Name the variants that share a replicate with a diverged one, and so its fate."""
    taking_part = {of.variant.name for of in kept} | diverged
    names = [of.variant.name for of in variants if of.variant.name not in taking_part]
    detail = f"left out beside a diverged variant: {', '.join(names)}"
    return [Check(name="replicates are whole", ok=False, detail=detail)] if names else []


def result(evidence: Evidence, info: RunInfo) -> tuple[Result, pa.Table]:
    """Build the result, and the table of predictions (one row a test text, target and attributor)."""
    plan = evidence.plan
    scores: list[Score] = []
    likelihood: list[Likelihood] = []
    diverged = {of.variant.name for of in evidence.variants if evidence.metas[of.model]["status"] != "ok"}
    checks = [_same_data(evidence), *_same_weights(evidence), *left_out(evidence.variants, evidence.kept, diverged)]
    tables: list[pa.Table] = []
    mean_kl = None
    samples, texts = _read_samples(evidence) if evidence.scores else (None, None)
    if texts is not None:
        names = tuple(of.variant.name for of in evidence.kept)
        matrix = ceiling.mean_kl(texts.log_likelihood, texts.lengths, texts.source)
        mean_kl = MeanKL(variants=names, divergence=tuple(map(tuple, matrix)))
        for target in plan.targets:
            found, extra, tests, table = _target(evidence, target, texts)
            scores += found
            likelihood.append(extra)
            checks += tests
            tables.append(table)
    else:
        kept = sorted({of.variant.level for of in evidence.kept})
        checks.append(Check(name="two levels", ok=False, detail=f"levels that did not diverge: {kept or 'none'}"))
    corpus = evidence.metas[evidence.variants[0].corpus]
    made = Result(
        schema=1,
        protocol_digest=evidence.protocol,
        overrides=plan.overrides,
        seed=plan.seed,
        task=TaskId(
            name=plan.task.name,
            version=plan.task.version,
            digest=plan.task_digest,
            tags=plan.task.tags,
            control=plan.task.control,
        ),
        preset=plan.preset,
        factor=FactorResult(
            name=plan.task.factor.name, fields=plan.task.factor.fields, levels=tuple(plan.task.factor.levels)
        ),
        corpus=CorpusResult(
            name=plan.variants[0].settings.corpus.name,
            **{name: corpus[name] for name in ("digest", "documents", "bytes", "tokens")},
        ),
        variants=tuple(_variant(of, evidence) for of in evidence.variants),
        samples=samples,
        scores=tuple(scores),
        likelihood=tuple(likelihood),
        mean_kl=mean_kl,
        checks=tuple(checks),
        run=info,
    )
    return made, pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()


def _variant(of: VariantKeys, evidence: Evidence) -> VariantResult:
    meta = evidence.metas[of.model]
    bits = excess = None
    if meta["status"] == "ok":
        table = pq.read_table(evidence.store.require("model", of.model).folder / "heldout.parquet")
        modelled, size = (table[name].to_numpy() for name in ("bits", "bytes"))
        seed = evidence.plan.seed
        bits = metrics.ratio_interval(modelled, size, seed, "documents")
        if not table["true_bits"].null_count:
            excess = metrics.ratio_interval(modelled - table["true_bits"].to_numpy(), size, seed, "documents")
    kept = ("status", "reason", "parameters", "tokens_trained", "epochs", "training_multiset", "weights")
    return VariantResult(
        name=of.variant.name,
        level=of.variant.level,
        replicate=of.variant.replicate,
        source="train",
        key=of.model,
        settings=of.variant.settings.model_dump(mode="json"),
        heldout_bits_per_byte=bits,
        excess_bits_per_byte=excess,
        **{name: meta[name] for name in kept},
    )


def _read_samples(evidence: Evidence) -> tuple[SampleResult, TestTexts]:
    plan, total = evidence.plan, hashlib.sha256()
    tokens = ended = texts = 0
    parts: dict[str, list[NDArray[Any]]] = {"source": [], "rows": [], "prompts": [], "lengths": [], "scores": []}
    for index, of in enumerate(evidence.kept):
        paths = [evidence.store.require("sample", key).folder / "samples.parquet" for key in of.samples]
        table = pa.concat_tables([pq.read_table(path) for path in paths]).slice(0, plan.texts)
        ids = table["ids"].combine_chunks()
        lengths = np.asarray(ids.value_lengths(), dtype=np.int64)
        total.update(ids.flatten().to_numpy().tobytes() + lengths.tobytes())
        tokens, texts = tokens + int(lengths.sum()), texts + len(lengths)
        ended += int(table["ended"].to_numpy().sum())
        prompts = table["prompt"].to_numpy().astype(np.int64)
        test = split.test_rows(prompts, plan.split)
        parts["source"].append(np.full(int(test.sum()), index))
        parts["rows"].append(table["row"].to_numpy().astype(np.int64)[test])
        parts["prompts"].append(prompts[test])
        parts["lengths"].append(lengths[test])
        parts["scores"].append(_scores(evidence, of))
    spec = evidence.kept[0].variant.settings.sampling
    samples = SampleResult(
        per_variant=plan.texts,
        max_tokens=spec.max_tokens,
        prompted=spec.prompt_characters > 0,
        mean_tokens=tokens / texts,
        ended=ended / texts,
        digest=total.hexdigest(),
    )
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return samples, TestTexts(log_likelihood=joined.pop("scores"), **joined)


def _scores(evidence: Evidence, source: VariantKeys) -> Floats:
    """Log-likelihood of a variant's test texts under every kept variant: (texts, variants) float64."""
    columns = []
    for scorer in evidence.kept:
        key = evidence.scores[scorer.variant.name, source.variant.name]
        path = evidence.store.require("score", key).folder / "scores.safetensors"
        columns.append(safetensors.numpy.load_file(path)["token_log_likelihood"].astype(np.float64).sum(axis=1))
    return np.column_stack(columns)


def _target(
    evidence: Evidence, target: Target, texts: TestTexts
) -> tuple[list[Score], Likelihood, list[Check], pa.Table]:
    """Score every attributor and the ceiling on one target."""
    plan = evidence.plan
    labels = [label(of.variant, target) for of in evidence.kept]
    classes = tuple(sorted(set(labels)))
    class_of = np.array([classes.index(name) for name in labels], dtype=np.int64)
    truth = class_of[texts.source]
    posterior = ceiling.posterior(texts.log_likelihood, class_of)
    probas: dict[str, Floats] = {}
    for baseline in evidence.baselines:
        if key := evidence.predictions.get((baseline.name, target)):
            path = evidence.store.require("prediction", key).folder / "proba.parquet"
            flat = pq.read_table(path)["proba"].combine_chunks().flatten().to_numpy()
            probas[baseline.name] = flat.reshape(-1, len(classes)).astype(np.float64)
    credit = {name: metrics.credits(proba, truth) for name, proba in probas.items()}
    rank = metrics.ranks(credit, texts.prompts, plan.seed) if credit else {}

    def score(attributor: AttributorId, proba: Floats, n_train: int | None) -> Score:
        hits = math.fsum(metrics.credits(proba, truth))
        return Score(
            attributor=attributor,
            status="ok",
            split=split.UNSEEN_PROMPT,
            target=target,
            classes=classes,
            chance=1 / len(classes),
            n_train=n_train,
            n_test=len(truth),
            log10_p=metrics.binomial_log10_p(hits, len(truth), 1 / len(classes)),
            rank=rank.get(attributor.name) if attributor.access == "text" else None,
            metrics=metrics.score(proba, truth, texts.prompts, plan.seed),
            confusion=tuple(map(tuple, metrics.confusion(proba, truth).tolist())),
        )

    scores: list[Score] = []
    for baseline in evidence.baselines:
        card = baseline.card
        who = AttributorId(
            name=card.name, version=card.version, digest=baseline.digest, access="text", floor=card.floor
        )
        if baseline.name in probas:
            key = evidence.predictions[baseline.name, target]
            scores.append(score(who, probas[baseline.name], evidence.metas[key]["n_train"]))
        else:
            error = evidence.failed.get((baseline.name, target), "did not run")
            scores.append(
                Score(
                    attributor=who,
                    status="failed",
                    error=error,
                    split=split.UNSEEN_PROMPT,
                    target=target,
                    classes=classes,
                    chance=1 / len(classes),
                )
            )
    scores.append(score(CEILING, posterior, None))

    spec = evidence.kept[0].variant.settings.sampling
    at = sorted({2**power for power in range(1, 12)} | {spec.max_tokens})
    predicted = ceiling.predicted_accuracy(texts.log_likelihood, texts.lengths, texts.source, class_of, at)
    likelihood = Likelihood(
        target=target,
        mutual_information=ceiling.mutual_information(posterior, truth, texts.prompts, plan.seed),
        self_check=ceiling.self_check(posterior, truth),
        predicted_accuracy=tuple(Predicted(tokens=n, accuracy=a) for n, a in zip(at, predicted, strict=True)),
    )
    checks = [
        _self_check(target, likelihood.self_check),
        *_below_ceiling(target, credit, metrics.credits(posterior, truth), texts.prompts, plan.seed),
    ]
    if plan.task.control == "negative":
        checks += _at_chance(target, [*scores], likelihood.mutual_information)
    table = _table(evidence, target, texts, classes, truth, {**probas, CEILING.name: posterior})
    return scores, likelihood, checks, table


def _self_check(target: Target, found: ceiling.SelfCheck) -> Check:
    detail = f"{found.excess:+.2f} hits over what the posteriors promise, standard error {found.standard_error:.2f}"
    return Check(name=f"likelihood and sampler agree ({target})", ok=found.ok, detail=detail)


def _below_ceiling(target: Target, credit: Mapping[str, Floats], best: Floats, prompts: Ints, seed: int) -> list[Check]:
    checks = []
    for name, own in credit.items():
        p = metrics.paired_p(own, best, prompts, seed)
        gap = own.mean() - best.mean()
        detail = f"accuracy {gap:+.3f} against the ceiling's, p = {p:.2g} of being above it"
        checks.append(Check(name=f"{name} is not above the ceiling ({target})", ok=p > SUSPICIOUS, detail=detail))
    return checks


def _at_chance(target: Target, scores: Sequence[Score], information: Interval) -> list[Check]:
    """A negative control: nobody can tell, not even from the likelihoods."""
    checks = []
    for score in scores:
        if score.log10_p is None:
            continue
        ok, seen = score.log10_p > math.log10(SUSPICIOUS), score.metrics["accuracy"].value
        if score.attributor.access == "likelihood":
            ok = math.isclose(seen, score.chance, abs_tol=1e-12) and information.value == 0.0
        detail = f"accuracy {seen:.4f}, chance {score.chance:.4f}, p = {10**score.log10_p:.2g}"
        checks.append(Check(name=f"{score.attributor.name} is at chance ({target})", ok=ok, detail=detail))
    return checks


def _same_data(evidence: Evidence) -> Check:
    """Check that all variants read exactly the same training data, unless budget or blocks are what varies."""
    fields = evidence.plan.task.factor.fields
    finished = [evidence.metas[of.model] for of in evidence.variants]
    distinct = {meta["training_multiset"] for meta in finished if meta["status"] == "ok"}
    free = any(path.startswith(("budget.", "model.context")) for path in fields)
    detail = f"{len(distinct)} distinct digests of the training multiset"
    return Check(name="same training data", ok=free or len(distinct) <= 1, detail=detail)


def _same_weights(evidence: Evidence) -> list[Check]:
    """Check that a rerun, where that is the factor, ended with the same weights."""
    if evidence.plan.task.factor.fields != ("rerun",):
        return []
    distinct = {evidence.metas[of.model]["weights"] for of in evidence.variants}
    return [Check(name="reruns repeat exactly", ok=len(distinct) == 1, detail=f"{len(distinct)} distinct weights")]


def _table(
    evidence: Evidence,
    target: Target,
    texts: TestTexts,
    classes: Sequence[str],
    truth: Ints,
    probas: Mapping[str, Floats],
) -> pa.Table:
    names = np.array([of.variant.name for of in evidence.kept])[texts.source]
    n = len(truth)
    tables = []
    for attributor, proba in probas.items():
        columns = {
            "variant": names,
            "row": texts.rows,
            "prompt": texts.prompts,
            "fold": np.zeros(n, dtype=np.int32),
            "split": [split.UNSEEN_PROMPT] * n,
            "target": [target] * n,
            "attributor": [attributor] * n,
            "label": np.array(classes)[truth],
            "proba": pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * len(classes), proba.ravel()),
        }
        tables.append(pa.table(columns, schema=PREDICTIONS))
    return pa.concat_tables(tables)
