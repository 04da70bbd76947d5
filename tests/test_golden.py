"""What each stage makes of fixed inputs. A stage whose output changes raises its version in `keys.VERSIONS`.

Digests are pinned where bytes are the same on every machine, figures with a tolerance where floats are not.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from natfp_bench import keys, model, registry, sample, tokens
from natfp_bench.attribute import attribute
from natfp_bench.corpus import open_corpus
from natfp_bench.plan import make_plan
from natfp_bench.records import file_digest
from natfp_bench.train import train

GOLDEN = {
    "corpus": (1, "d4c2a2a25714066ec56666b90698c366"),
    "model": (1, 3.87609),
    "sample": (
        1,
        [
            [167, 173, 19, 120, 44, 191],
            [262, 212, 2, 300, 115, 218],
            [234, 250, 89, 309, 144, 13],
            [176, 126, 182, 310, 61, 301],
        ],
    ),
    "score": (1, -634.16638),
    "prediction": (1, [0.987213, 0.0127875, 0.5]),
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
        blocks=settings.steps * settings.budget.batch,
        heldout=settings.corpus.heldout_documents,
        folder=corpus,
    )
    meta = train(settings, 0, corpus, trained, partial=folder / "partial", device=cpu)
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
        "prediction": found.proba[:, 0].tolist(),
    }


def _heldout_bits(folder: Path) -> float:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "heldout.parquet")
    return sum(table["bits"].to_pylist()) / sum(table["bytes"].to_pylist())


@pytest.mark.parametrize("stage", list(GOLDEN))
def test_a_stage_that_changes_raises_its_version(made, stage):
    version, golden = GOLDEN[stage]
    exact = stage in ("corpus", "sample")
    same = made[stage] == (golden if exact else pytest.approx(golden, rel=2e-3))
    assert same, f"stage {stage} now makes {made[stage]!r}: raise keys.VERSIONS[{stage!r}], and pin that here"
    assert keys.VERSIONS[stage] == version
