"""Copies that part from one run at a step, and decays that end where training stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import changed, run, same_run

from natfp_bench.models import train
from natfp_bench.plan.descent import ForkSpec
from natfp_bench.plan.settings import Recipe, Settings

KINDS = ("data_order", "dropout", "last_place")


def forked(tiny: Settings, kind: str, branch: int, at: float = 0.5) -> Settings:
    return changed(tiny, model__dropout=0.2, fork__at=at, fork__kind=kind, fork__branch=branch)


def trunk_of(settings: Settings, corpus: Path, folder: Path) -> Path:
    recipe = settings.recipe.trunk
    assert recipe is not None
    (folder / "model").mkdir(parents=True)
    train.train(train.TrainingJob(recipe, 0, corpus, folder / "model", folder / "partial"), torch.device("cpu"))
    return folder


@pytest.fixture(scope="module")
def trunk(tiny: Settings, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of a run with dropout."""
    return trunk_of(forked(tiny, "dropout", 1), tiny_corpus, tmp_path_factory.mktemp("trunk"))


def test_all_copies_of_all_kinds_share_one_beginning(tiny: Settings) -> None:
    trunks = {kind: forked(tiny, kind, branch).recipe.trunk for kind in KINDS for branch in (0, 1)}
    assert len({str(one) for one in trunks.values()}) == 1
    assert all(isinstance(one, Recipe) and one.stop_step == 20 and one.fork == ForkSpec() for one in trunks.values())


def test_copy_0_is_the_undisturbed_run(tiny: Settings, tiny_corpus: Path, tmp_path: Path, trunk: Path) -> None:
    run(changed(tiny, model__dropout=0.2), tiny_corpus, tmp_path / "plain")
    run(forked(tiny, "last_place", 0), tiny_corpus, tmp_path / "copy", start=trunk)
    same_run(tmp_path / "copy", tmp_path / "plain")


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_from_the_beginning_bit_for_bit(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, trunk: Path, kind: str
) -> None:
    settings, steps = forked(tiny, kind, 2), []
    meta = run(settings, tiny_corpus, tmp_path / "from trunk", start=trunk, steps=steps)
    assert steps[0] == 21, "what is before the fork is not trained again"
    alone = run(settings, tiny_corpus, tmp_path / "alone")
    same_run(tmp_path / "from trunk", tmp_path / "alone")
    other = run(forked(tiny, kind, 3), tiny_corpus, tmp_path / "other", start=trunk)
    assert len({meta.weights, other.weights}) == 2
    # Whatever the order, the copies have read the same data.
    assert meta.training_multiset == other.training_multiset == alone.training_multiset


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_may_be_interrupted(tiny: Settings, tiny_corpus: Path, tmp_path: Path, trunk: Path, kind: str) -> None:
    settings = forked(tiny, kind, 1)
    run(settings, tiny_corpus, tmp_path / "calm", start=trunk)
    for stop_at in (21, 28, 36):
        with pytest.raises(KeyboardInterrupt):
            run(settings, tiny_corpus, tmp_path / "torn", start=trunk, stop_at=stop_at)
    run(settings, tiny_corpus, tmp_path / "torn", start=trunk)
    same_run(tmp_path / "torn", tmp_path / "calm")


def test_the_last_place_moves_one_weight_by_one_unit(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    job = train.TrainingJob(forked(tiny, "last_place", 1).recipe, 0, tiny_corpus, tmp_path, tmp_path / "partial")
    training = train._Training(job, torch.device("cpu"), print)
    before = {name: one.detach().clone() for name, one in training.state.model.named_parameters()}
    training._move_one_weight()
    moved = [
        (float(before[name][at]), float(one.detach()[at]))
        for name, one in training.state.model.named_parameters()
        for at in zip(*np.nonzero((one.detach() != before[name]).numpy()), strict=True)
    ]
    assert len(moved) == 1
    assert moved[0][1] == np.nextafter(np.float32(moved[0][0]), np.float32(np.inf))


def test_a_forked_order_keeps_what_was_read_and_each_epoch() -> None:
    order = train.data_order(10, 25, 0, "data_order", 0)
    found = train.forked_order(order, 13, 10, 0, "fork order", 0, 1)
    assert (found[:13] == order[:13]).all()
    assert not (found == order).all()
    for epoch in (slice(0, 10), slice(10, 20), slice(20, 25)):
        assert sorted(found[epoch]) == sorted(order[epoch])


@pytest.mark.parametrize("stop", [0.5, 1.0])
def test_a_decay_at_a_stop_goes_on_from_a_constant_run(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, stop: float
) -> None:
    settings = changed(tiny, schedule__name="warmup_stable_decay", schedule__decay_at_stop=True, budget__stop=stop)
    recipe = settings.recipe.trunk
    assert recipe is not None
    assert (recipe.schedule.name, recipe.stop_step) == ("constant", 0.9 * 40 * stop)
    start, steps = trunk_of(settings, tiny_corpus, tmp_path / "trunk"), []
    run(settings, tiny_corpus, tmp_path / "from trunk", start=start, steps=steps)
    assert steps[0] == recipe.stop_step + 1
    run(settings, tiny_corpus, tmp_path / "alone")
    same_run(tmp_path / "from trunk", tmp_path / "alone")


def test_the_decay_at_the_end_is_that_of_the_plain_schedule(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    run(changed(tiny, schedule__name="warmup_stable_decay"), tiny_corpus, tmp_path / "plain")
    settings = changed(tiny, schedule__name="warmup_stable_decay", schedule__decay_at_stop=True)
    run(settings, tiny_corpus, tmp_path / "at stop")
    same_run(tmp_path / "at stop", tmp_path / "plain")


@pytest.mark.parametrize("available", [40, 16])
def test_at_the_end_of_a_segment_every_order_has_read_the_same_blocks(available: int) -> None:
    orders = [train.data_order(available, 40, 0, "data_order", seed, segments=[10, 20]) for seed in range(3)]
    for place in (10, 20, 40):
        assert len({tuple(sorted(order[:place])) for order in orders}) == 1
    assert len({tuple(order) for order in orders}) == 3
    plain = train.data_order(available, 40, 0, "data_order", 0)
    assert sorted(orders[0]) == sorted(plain)
