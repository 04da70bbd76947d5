"""Stacked training: each model as if alone, whoever is beside it, and after any interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import changed, log

from natfp_bench.models import model as models
from natfp_bench.models import train
from natfp_bench.models.loss import next_token_loss
from natfp_bench.models.stacked import Stack
from natfp_bench.models.train import Order, TrainMeta
from natfp_bench.plan.settings import Settings

CPU = torch.device("cpu")
SHAPES = ["llama", "gpt2", "gpt_neox"]


def orders(settings: Settings, corpus: Path, folder: Path, seeds: list[int]) -> list[Order]:
    """Runs that differ in their seeds."""
    found = []
    for seed in seeds:
        (folder / str(seed) / "model").mkdir(parents=True, exist_ok=True)
        own = changed(settings, seeds__init=seed, seeds__data_order=seed)
        found.append(Order(own, 0, corpus, folder / str(seed) / "model", folder / str(seed) / "partial"))
    return found


def weights(metas: list[TrainMeta]) -> list[str]:
    return [meta.weights for meta in metas]


@pytest.fixture
def stacked(tiny: Settings) -> Settings:
    return changed(tiny, numerics__stack=3, budget__tokens=8 * 32 * 40)


@pytest.mark.parametrize("architecture", SHAPES)
def test_gradients_of_a_stack_are_those_of_each_model(tiny: Settings, architecture: str) -> None:
    spec = changed(tiny, model__architecture=architecture).model
    alone, together = ([models.build(spec, 300, 0, "a", seed).train() for seed in range(3)] for _ in range(2))
    tokens = torch.randint(0, 300, (3, 4, 32), generator=torch.Generator().manual_seed(0))
    stack = Stack(together, 4)
    losses = stack.losses(next_token_loss, stack.batch(dict(enumerate(tokens))))
    losses.sum().backward()  # type: ignore[no-untyped-call]
    stack.share_gradients()
    for place, model in enumerate(alone):
        loss = next_token_loss(model, tokens[place])
        loss.backward()  # type: ignore[no-untyped-call]
        assert losses[place].item() == pytest.approx(loss.item(), rel=1e-6)
        for (name, own), (_, other) in zip(model.named_parameters(), together[place].named_parameters(), strict=True):
            assert own.grad is not None
            assert other.grad is not None
            torch.testing.assert_close(other.grad, own.grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    "what",
    [{}, {"numerics__micro_batch": 3}, {"numerics__dtype": "bfloat16"}, {"optimizer__name": "muon"}],
    ids=str,
)
def test_a_stack_learns_as_plain_runs_do(
    stacked: Settings, tiny_corpus: Path, tmp_path: Path, what: dict[str, Any]
) -> None:
    settings = changed(stacked, **what)
    train.train(orders(settings, tiny_corpus, tmp_path / "stack", [0, 1, 2]), CPU)
    for seed in range(3):
        alone = changed(settings, numerics__stack=0)
        train.train(orders(alone, tiny_corpus, tmp_path / "alone", [seed]), CPU)
        # Training is chaotic after some steps, so that the first twenty are compared.
        ours, theirs = (log(tmp_path / kind / str(seed)) for kind in ("stack", "alone"))
        assert [line["step"] for line in ours] == [line["step"] for line in theirs]
        tolerance = 0.02 if "numerics__dtype" in what else 1e-4
        assert [line["loss"] for line in ours[:2]] == pytest.approx(
            [line["loss"] for line in theirs[:2]], rel=tolerance
        )
        assert ours[0]["lr"] == theirs[0]["lr"]


def test_who_is_beside_a_model_changes_nothing(stacked: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    whole = weights(train.train(orders(stacked, tiny_corpus, tmp_path / "a", [0, 1, 2]), CPU))
    assert len(set(whole)) == 3
    turned = weights(train.train(orders(stacked, tiny_corpus, tmp_path / "b", [2, 0]), CPU))
    assert turned == [whole[2], whole[0]]
    assert weights(train.train(orders(stacked, tiny_corpus, tmp_path / "c", [1]), CPU)) == [whole[1]]


def test_a_broken_stack_goes_on(stacked: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    whole = train.train(orders(stacked, tiny_corpus, tmp_path / "whole", [0, 1, 2]), CPU)

    def stop(done: int, total: int, _: str) -> None:
        assert total == 3 * 40 * 8 * 32
        if done >= 3 * 23 * 8 * 32:
            raise KeyboardInterrupt

    given = orders(stacked, tiny_corpus, tmp_path / "broken", [0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        train.train(given, CPU, progress=stop)
    # One is further back than the others, as after a kill between two checkpoints.
    (given[1].partial / "checkpoint.safetensors").unlink()
    assert train.train(given, CPU) == whole
    for seed in range(3):
        assert log(tmp_path / "broken" / str(seed)) == log(tmp_path / "whole" / str(seed))


def test_one_that_diverges_takes_nobody_with_it(stacked: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    calm = weights(train.train(orders(stacked, tiny_corpus, tmp_path / "calm", [0, 1]), CPU))
    mixed = orders(stacked, tiny_corpus, tmp_path / "mixed", [0, 1, 2])
    wild = changed(mixed[2].settings, optimizer__lr=1e30)
    found = train.train([*mixed[:2], Order(wild, 0, tiny_corpus, mixed[2].folder, mixed[2].partial)], CPU)
    assert [meta.status for meta in found] == ["ok", "ok", "diverged"]
    assert weights(found[:2]) == calm


def test_what_trains_alone(stacked: Settings) -> None:
    assert stacked.stacks
    assert not changed(stacked, model__dropout=0.1).stacks
    assert not changed(stacked, finetune__share=0.25).stacks
    assert not changed(stacked, budget__stop=0.5).stacks
    assert not changed(stacked, numerics__stack=0).stacks


def test_too_many_make_no_stack(stacked: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 models do not fit a stack of 3"):
        train.train(orders(stacked, tiny_corpus, tmp_path, [0, 1, 2, 3]), CPU)
    with pytest.raises(ValueError, match="make no stack"):
        train.train(orders(changed(stacked, numerics__stack=0), tiny_corpus, tmp_path, [0, 1]), CPU)


def test_a_run_whose_models_are_stacked(bench: Any, tmp_path: Path) -> None:
    """Three of four in a first stack and one in a second; made again alone, a model is the same to the bit."""
    result, _ = bench.run("seed_id", baselines="majority", overrides={"numerics.stack": "3"})
    assert [variant.settings["numerics"]["stack"] for variant in result.variants] == [3] * 4
    entries = [bench.store / "model" / variant.key[:2] / variant.key for variant in result.variants]
    manifests = [json.loads((entry / "manifest.json").read_text()) for entry in entries]
    assert len({manifest["files"]["model.safetensors"] for manifest in manifests}) == 4
