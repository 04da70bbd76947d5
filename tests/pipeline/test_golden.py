"""What each stage makes of fixed inputs. A stage whose output changes raises its version.

Digests are pinned where bytes are the same on every machine, figures with a tolerance where floats are not.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from every_stage import all_stages

from natfp_bench.attributors import factor_test, registry, study
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.knowledge import write_texts
from natfp_bench.base.records import file_digest
from natfp_bench.corpus import tokens
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models import model, sample
from natfp_bench.models.train import TrainingJob, train
from natfp_bench.pipeline.stages import knowledge
from natfp_bench.pipeline.stages.trained import packing
from natfp_bench.plan.make_plan import make_plan

GOLDEN = {
    "corpus": (1, "ffc95b57c6bfd330c56666b90698c366"),
    "model": (2, 3.88004),
    "sample": (
        3,
        [
            [167, 173, 19, 120, 44, 191],
            [262, 212, 2, 300, 115, 218],
            [234, 250, 89, 309, 144, 13],
            [176, 126, 182, 310, 61, 301],
        ],
    ),
    "score": (3, -634.16638),
    "knowledge": (1, "0bee5fa542de8b10b31226305832bf89"),
    "prediction": (3, [0.985911, 0.0140887, 0.5]),
    "study": (
        4,
        [
            *[0.545833, 0.545833, 0.6375, 1.0, 0.5625, 0.6375, 0.6125, 0.204167],  # curves, first and last points
            *[0.6375, 0.604167, 0.675, 0.545833, 0.545833],  # robustness
            *[0.572222, 0.25, 0.0249828],  # permutation
            *[-0.833662, 0.0508715],  # wording
        ],
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The output of every stage on the smoke preset's first variant, boiled down."""
    folder = tmp_path_factory.mktemp("golden")
    settings = make_plan("seed_id", "smoke").variants[0].settings
    corpus, trained = folder / "corpus", folder / "model"
    corpus.mkdir()
    trained.mkdir()
    cpu = torch.device("cpu")
    tokens.prepare(
        open_corpus(settings.corpus),
        settings.tokenizer,
        context=settings.model.context,
        heldout=settings.corpus.heldout_documents,
        folder=corpus,
        **packing(settings),
    )
    meta = train(TrainingJob(settings, 0, corpus, trained, folder / "partial"), cpu)
    assert meta.status == "ok"
    tokenizer = tokens.load_tokenizer(trained / "tokenizer.json")
    end = tokenizer.token_to_id(tokens.END)
    spec = settings.sampling
    prompts = sample.encode_prompts(tokenizer, [""], end, spec, settings.model.context)
    # Initial weights: a trained model's figures differ between machines by more than its initial ones.
    fresh = model.build(settings.model, settings.tokenizer.vocabulary, end, 0, "init", 0).eval()
    drawn = sample.sample_rows(fresh, spec, range(4), prompts, tokenizer, end, 0, "golden")
    scored = sample.token_log_likelihood(fresh, spec, drawn, prompts, rows=8)
    texts = [f"{word} {i}" for i in range(40) for word in ("tea", "sea")]
    labels = ["a", "b"] * 40
    baseline = registry.find("unigram")[0]
    found = attribute(partial(registry.build, baseline), 0, texts, labels, range(80), ["tea 3", "sea 50", "pea"])
    return {
        "corpus": file_digest(corpus / "blocks.bin")[:16] + file_digest(corpus / "tokenizer.json")[:16],
        "model": _heldout_bits(trained),
        "sample": [row[:6] for row in drawn.ids],
        "score": float(scored.sum()),
        "knowledge": _as_texts(corpus, settings.model.context, folder / "texts.jsonl"),
        "prediction": found.proba[:, 0].tolist(),
        "study": _studied(),
    }


def _as_texts(corpus: Path, context: int, path: Path) -> str:
    write_texts((text for text in knowledge.decoded(corpus, context) if text), path)
    return file_digest(path)[:32]


def _studied() -> list[float]:
    """One or two figures of every study, of texts of two levels in three replicates that differ a little."""
    baseline = registry.find("naive_bayes")[0]
    draw = np.random.default_rng(0)
    words = np.array([a + b for a in "bdfgklmn" for b in ("a", "ei", "o")])
    likely = np.stack([np.arange(24) % 2 == level for level in range(2)]) + 1.5
    variants, n = np.arange(6), 40
    texts = [
        " ".join(draw.choice(words, 5, p=likely[v % 2] / likely[v % 2].sum())) for v in variants for _ in range(2 * n)
    ]
    source, prompts = np.repeat(variants, 2 * n), np.tile(np.arange(2 * n), 6)
    all_, test = study.Texts(texts, source, prompts), prompts % 2 == 1
    experiment = study.Experiment(
        build=partial(registry.build, baseline),
        seed=0,
        labels=("a", "b") * 3,
        replicates=variants // 2,
        split="unseen_replicate",
        train=all_.take(~test),
        test=all_.take(test),
    )
    short = [texts.changed(lambda those: [text[:8] for text in those]) for texts in (experiment.train, experiment.test)]
    words_found = study.wording(experiment)
    rows = study.robustness(experiment, ["shuffled_words"], {"short": short[1]}, {"short": (short[0], short[1])}, 1000)
    curves = [
        study.length_curve(experiment, lambda size: (short[0], short[1]), [8], "bytes"),
        study.pooled_curve(experiment),
        study.training_curve(experiment),
        study.class_curve(experiment, [f"v{v}" for v in variants]),
    ]
    permuted = factor_test.permutation_test(experiment, 5, 30)
    return [
        *(point.accuracy.value for curve in curves for point in (curve.points[0], curve.points[-1])),
        *(row.accuracy.value for row in rows),
        permuted.observed,
        permuted.test.p,
        permuted.spread,
        words_found.telling_words[0].z_test,
        words_found.jensen_shannon[0].value,
    ]


def _heldout_bits(folder: Path) -> float:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "heldout.parquet")
    return sum(table["bits"].to_pylist()) / sum(table["bytes"].to_pylist())


def test_every_stage_is_pinned():
    # What lm-eval says is lm-eval's; test_sources.py compares it with our own bits per byte.
    assert {*GOLDEN, "parity"} == {kind.kind for kind in all_stages()}


@pytest.mark.parametrize("stage", list(GOLDEN))
def test_a_stage_that_changes_raises_its_version(made, stage):
    version, golden = GOLDEN[stage]
    exact = stage in ("corpus", "sample", "knowledge")
    same = made[stage] == (golden if exact else pytest.approx(golden, rel=2e-3))
    assert same, f"stage {stage} now makes {made[stage]!r}: raise its version, and pin that here"
    # What is noted about a checkpoint has a version of its own: nothing is made there.
    assert {kind.version for kind in all_stages() if kind.kind == stage and kind.name != "checkpoint"} == {version}
