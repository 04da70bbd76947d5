"""The overview of a run before it starts: what there is, and what has to be computed."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any

import pytest
from plan_tasks import TRAINED

from natfp_bench.models.metas import CheckpointMeta, ModelMeta
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import parameters


def test_overview_of_an_empty_store(tmp_path: Path) -> None:
    from natfp_bench.pipeline.overview import overview

    plan = make_plan("null_id", "smoke", limit=50)
    found = overview(plan, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    # One model, sampled four times: 120 whole steps of 16 sequences of 32 tokens.
    assert [variant.tokens for variant in found.variants] == [120 * 16 * 32] * 4
    assert found.models_to_train == 1
    assert found.tokens_to_train == 120 * 16 * 32
    assert found.training_seconds is None
    assert [variant.differs for variant in found.variants] == [{"sampling.stream": stream} for stream in range(4)]
    assert not any(variant.trained or variant.sampled for variant in found.variants)
    assert set(found.protocol) == set(TRAINED) - {"sampling.stream"}
    shape = plan.variants[0].settings
    size = parameters(shape.model, shape.tokenizer.vocabulary)
    assert found.disk_bytes == 4 * found.tokens_to_train + 4 * size + 4 * 50 * 32 * 12


@pytest.mark.parametrize(
    ("task", "models", "tokens"),
    [
        ("checkpoint_id", 4, 61_440),  # each step of the run once
        ("finetune_seed_id", 4, 61_440 + 3 * 15_360),  # a base, and three of a quarter behind it
        ("token_budget_id", 3, 61_440 * 7 // 4),  # runs of their own
        ("quantization_id", 1, 61_440),
    ],
)
def test_overview_counts_what_is_trained(tmp_path: Path, task: str, models: int, tokens: int) -> None:
    from natfp_bench.pipeline.overview import overview

    found = overview(make_plan(task, "smoke", overrides={"replicates": "1"}), tmp_path)
    assert (found.models_to_train, found.tokens_to_train) == (models, tokens)
    assert not any(variant.trained for variant in found.variants)


NO_RATE: dict[str, Any] = {
    "a checkpoint": CheckpointMeta(parameters=9, commit=None, tokenizer="", begin=0, end=0, context=None).model_dump(),
    "texts": ModelMeta().model_dump(),
    "a backend": ModelMeta(parameters=9).model_dump(),
    "a model that diverged": ModelMeta(status="diverged", parameters=9, tokens_trained=100).model_dump(),
    "nothing": {},
    "no record": [],
    "a number": 7,
    "odd values": {"status": "ok", "parameters": [], "tokens_trained": "many"},
    "no tokens": {"status": "ok", "parameters": 9, "tokens_trained": 0},
}
"""Notes that an entry of the kind model may have, none of which says how long a training takes."""


@pytest.mark.parametrize("kind", NO_RATE)
@pytest.mark.parametrize("task", ["null_id", "lr_id"])
def test_a_model_that_was_not_trained_here_has_no_rate(tmp_path: Path, kind: str, task: str) -> None:
    from natfp_bench.pipeline.overview import overview
    from natfp_bench.pipeline.store import Store

    entry = Store(tmp_path).make("model", "ab" * 32, "measure", lambda _: (sleep(0.01), NO_RATE[kind])[1])
    assert entry.made.seconds > 0
    assert overview(make_plan(task, "smoke"), tmp_path).training_seconds is None


def test_overview_of_a_store_that_holds_everything(bench: Any, seed_run: Any) -> None:
    from natfp_bench.pipeline.overview import overview

    found = overview(bench.plan("seed_id"), bench.store)
    assert all(variant.trained and variant.sampled for variant in found.variants)
    assert (found.models_to_train, found.tokens_to_train, found.training_seconds) == (0, 0, 0)
    # A model not yet there is timed by those of its shape; one of another shape by none.
    other = overview(bench.plan("seed_id", seed=9), bench.store)
    assert other.models_to_train == 4
    assert other.training_seconds > 0
    assert overview(bench.plan("seed_id", overrides={"model.layers": "1"}), bench.store).training_seconds is None


def test_what_attributors_that_know_more_take_is_counted(tmp_path: Path) -> None:
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline.overview import overview

    plan = make_plan("seed_id", "smoke")
    plain = overview(plan, tmp_path / "none", baselines=registry.find("majority"))
    assert (plain.models_to_train, plain.strangers, plain.twins, plain.texts_without_labels) == (4, 0, 0, 0)
    recipe = overview(plan, tmp_path / "none", baselines=registry.find("majority,recipe_lm"))
    assert (recipe.models_to_train, recipe.strangers, recipe.twins) == (5, 1, 0)
    # Of each of four models four times as many texts again as are attributed.
    assert recipe.texts_without_labels == 4 * 4 * 200
    origin = overview(plan, tmp_path / "none", baselines=registry.find("origin_lm"))
    assert (origin.models_to_train, origin.strangers, origin.twins) == (9, 1, 4)
    assert origin.disk_bytes > recipe.disk_bytes > plain.disk_bytes
