"""The same weights, served in several ways: what a result may say of them, and what it may not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
import torch
from bench import LEAN, Bench, files, scores, task_file
from checkpoints import SMALL
from samples import blocks, spec
from tokenizers import Tokenizer

from natfp_bench.base.errors import UserError
from natfp_bench.models import model as models
from natfp_bench.models.sample import SampleSet
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.stages.sample import Block
from natfp_bench.plan.text_settings import DrawSpec, ServeSpec
from natfp_bench.report.finding import finding

PLAIN_KERNELS = """\
factor:
  name: way of serving
  fields: [serve.dtype, serve.batch]
  levels:
    many: {serve.dtype: float32, serve.batch: 0}
    single: {serve.dtype: float32, serve.batch: 1}
    bfloat16: {serve.dtype: bfloat16, serve.batch: 0}
"""


def drawn(bench: Bench, result: Result) -> list[list[str]]:
    """Texts of each sample set, block by block."""
    found = [path for path in files(bench.store, "sample", result) if path.name == "samples.parquet"]
    return [pq.read_table(path)["text"].to_pylist() for path in found]


def is_about_serving(result: Result, bfloat16: str, *others: str) -> None:
    """Check that the levels share weights, and that only bfloat16 has likelihoods of its own."""
    assert result.failures == []
    assert len({variant.weights for variant in result.variants}) == 1
    assert len({variant.key for variant in result.variants}) == 2, "a checkpoint is measured once per precision"
    order = [variant.level for variant in result.variants]
    for one in others:
        for other in (*others, bfloat16):
            kl = result.mean_kl.divergence[order.index(one)][order.index(other)]
            assert one == other or (kl.value != 0) == (other == bfloat16), (one, other)
    ceiling = scores(result)["ceiling"]
    assert ceiling.metrics["accuracy"].value < ceiling.chance + 0.25, "no way of serving gives a model away"
    assert "is no evidence about who trained or copied a model" in finding(result)


def test_ways_to_serve_a_checkpoint_share_its_entry_and_no_random_number(
    bench: Bench, checkpoints: Path, tmp_path: Path
) -> None:
    tasks = task_file(tmp_path / "tasks", "served", PLAIN_KERNELS)
    source = {"source.kind": "checkpoint", "source.model": str(checkpoints / "llama-seed1")}
    result, _ = bench.run(
        "served", include=[tasks], overrides={**SMALL, **LEAN, **source}, baselines="majority,naive_bayes"
    )
    is_about_serving(result, "bfloat16", "many", "single")
    texts = drawn(bench, result)
    assert len(texts) == 6
    # Equal random numbers would give equal texts, and they would count as evidence that is not there.
    assert max(sum(a == b for a, b in zip(x, y, strict=True)) for x in texts for y in texts if x is not y) <= 1


@pytest.mark.slow
def test_the_task_compares_four_ways_to_serve_any_checkpoint(bench: Bench, checkpoints: Path) -> None:
    source = {"source.kind": "checkpoint", "source.model": str(checkpoints / "gpt2-seed1")}
    result, _ = bench.run("serving_id", overrides={**SMALL, **LEAN, **source}, baselines="majority,naive_bayes")
    is_about_serving(result, "bfloat16", "batch_of_64", "batch_of_1", "compiled")
    assert len(drawn(bench, result)) == 8


def test_in_one_stream_of_random_numbers_only_the_precision_shows(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people compare: the same seed, served otherwise."""
    from natfp_bench.corpus import tokens

    reader = tokens.reader(tiny_model, {})

    def texts(serve: ServeSpec, size: int) -> SampleSet:
        model = models.load(tiny_model, serve, torch.device("cpu"))
        how = spec(block=size)
        return blocks(model, how, 40, [[reader.begin]], cast("Tokenizer", reader.tokenizer), reader.end)

    together, alone = texts(ServeSpec(), 40), texts(ServeSpec(), 1)
    assert together.texts == alone.texts
    assert abs(together.log_probability - alone.log_probability).max() < 1e-3
    rounded = texts(ServeSpec(dtype="bfloat16"), 40)
    assert 0 < sum(a == b for a, b in zip(together.texts, rounded.texts, strict=True)) < 40


def stage(serve: ServeSpec) -> Block:
    return Block(cast("Any", SimpleNamespace(title="mamba")), serve, 1, DrawSpec(max_tokens=8, block=50), 0, 0)


@pytest.mark.parametrize(
    ("serve", "before", "after"),
    [({}, "reread", "reread"), ({}, "fused", "fused"), ({"compile": True}, "kept", "fused")],
)
def test_kernels_are_compiled_where_that_is_asked_for(serve: dict[str, Any], before: str, after: str) -> None:
    assert stage(ServeSpec(**serve))._prefix(cast("Any", SimpleNamespace(prefix=before))) == after


def test_a_model_that_keeps_nothing_cannot_be_compiled() -> None:
    with pytest.raises(UserError, match=r"^mamba: serve\.compile needs keys and values that are kept"):
        stage(ServeSpec(compile=True))._prefix(cast("Any", SimpleNamespace(prefix="reread")))


def test_a_batch_is_the_block_if_none_is_named() -> None:
    assert [stage(ServeSpec(batch=size)).batch for size in (0, 1, 64)] == [50, 1, 64]
