"""Runs of models that are made of trained weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench import BRIEF
from safetensors.numpy import load_file

from natfp_bench.base.errors import SpecError
from natfp_bench.plan.make_plan import make_plan

if TYPE_CHECKING:
    from bench import Bench

ONE = BRIEF | {"replicates": "1"}


def folders(bench: Bench, result: Any) -> dict[str, Path]:
    """Folder of each variant's model, by level."""
    return {of.level: bench.store / "model" / of.key[:2] / of.key for of in result.variants}


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(load_file(folder / "model.safetensors"))


def test_two_finetunings_and_their_means(bench: Bench) -> None:
    # A recipe that no other test trains, so that every training is made here.
    own = ONE | {"optimizer.weight_decay": "0.05"}
    result, _ = bench.run("merge_id", overrides=own, baselines="majority")
    trained = [name for name in bench.started() if name.startswith("train")]
    assert len(trained) == 3, "a base, and two fine-tunings of it"
    found = {level: weights(folder) for level, folder in folders(bench, result).items()}
    assert len({of.training_multiset for of in result.variants}) == 1, "both read the same documents"
    assert len({of.weights for of in result.variants}) == 5
    for name, one in found["alone"].items():
        half = (one.astype(np.float64) + found["partner"][name].astype(np.float64)) / 2
        np.testing.assert_array_equal(found["half"][name], half.astype(np.float32))
    assert result.failures == []
    # What is there is not made again: neither the means nor what they are made of.
    bench.run("merge_id", overrides=own, baselines="majority")
    assert bench.started() == []


@pytest.mark.slow
def test_an_average_of_checkpoints_trains_each_step_of_the_run_once(bench: Bench) -> None:
    from natfp_bench.pipeline.overview import overview

    plan = bench.plan("average_id", overrides=ONE)
    assert overview(plan, bench.store / "none").tokens_to_train == 20_480
    plain, _ = bench.run("checkpoint_id", overrides=ONE, baselines="majority")
    result, _ = bench.run("average_id", overrides=ONE, baselines="majority")
    end = next(of for of in plain.variants if of.level == "end")
    assert {of.level: of.key for of in result.variants}["end"] == end.key, "the end of the run is the run itself"
    assert len({of.weights for of in result.variants}) == 3
    assert {of.tokens_trained for of in result.variants} == {20_480}
    assert result.failures == []


def test_pruned_models_share_one_training(bench: Bench) -> None:
    result, _ = bench.run("prune_id", overrides=ONE, baselines="majority")
    assert sum(name.startswith("train") for name in bench.started()) <= 1
    found = folders(bench, result)
    zeros = {
        level: np.mean(np.concatenate([one.ravel() for name, one in weights(at).items() if "_proj" in name]) == 0)
        for level, at in found.items()
    }
    assert zeros == pytest.approx({"none": 0.0, "p10": 0.1, "p30": 0.3, "p50": 0.5, "p70": 0.7}, abs=1e-3)
    bits = {of.level: of.heldout_bits_per_byte.value for of in result.variants}
    assert bits["none"] < bits["p50"] < bits["p70"], "a model that lost weights predicts worse"
    assert result.failures == []


def test_a_mean_with_a_model_that_diverged_is_left_out(bench: Bench) -> None:
    wild = ONE | {"optimizer.lr": "1e4", "optimizer.name": "sgd", "optimizer.clip": "1e9"}
    result, _ = bench.run("merge_bases_id", overrides=wild, baselines="majority")
    found = {of.level: of for of in result.variants}
    assert {of.status for of in found.values()} == {"diverged"}
    assert found["half"].reason.startswith("made of a model that diverged: ")
    assert not found["alone"].reason.startswith("made of")
    assert result.scores == ()


REFUSED = {
    ("seed_id", "derive.average: '30'"): "begin before the run",
    ("seed_id", "derive.average: '2'; derive.merge: '0.5'"): "cannot be combined",
    ("seed_id", "derive.merge: '0.5'"): "set finetune.share, or derive.partner run",
    ("finetune_seed_id", "derive.average: '2'"): "one whole run",
    ("seed_id", "derive.average: '4'; derive.spacing: '0.001'"): "no 4 checkpoints so close",
    ("seed_id", "derive.prune: '1.0'"): "less than 1",
    ("ft_lr_id", "derive.prune: '0.5'; source.model: some/model"): "a fine-tuning starts from a released model",
    ("gpt2_seed_id", "derive.prune: '0.5'"): "a checkpoint source is not trained here",
}


@pytest.mark.parametrize(("task", "given"), REFUSED)
def test_what_cannot_be_made_is_refused_at_once(task: str, given: str) -> None:
    overrides = {path: value.strip("'") for path, value in (one.split(": ") for one in given.split("; "))}
    with pytest.raises(SpecError, match=REFUSED[task, given]):
        make_plan(task, "smoke", overrides=overrides)


def test_a_factor_that_changes_no_weight_is_refused(tmp_path: Path) -> None:
    text = "task: t\nversion: 1\nsummary: s\nfactor:\n  name: f\n  fields: [{}]\n  levels: {{a: {}, b: {}}}\n"
    for field, a, b, idle in (
        ("derive.spacing", 0.1, 0.2, "derive.average is 1"),
        ("derive.fading", 0.1, 0.2, "derive.average is 1"),
        ("derive.partner", "run", "finetuning", "derive.merge is 0"),
    ):
        (tmp_path / "t.yaml").write_text(text.format(field, a, b))
        with pytest.raises(SpecError, match=rf"t\.yaml:6: '{field}' changes nothing while {idle}"):
            make_plan(tmp_path / "t.yaml", "smoke")


def test_what_is_not_derived_has_the_settings_that_it_always_had() -> None:
    assert "derive" not in make_plan("seed_id", "smoke").variants[0].settings.model_dump()
    shares = make_plan("average_id", "smoke", overrides={"replicates": "1"}).variants[2].settings.derive.shares
    assert sum(shares) == pytest.approx(1)
    assert [b / a for a, b in itertools.pairwise(shares)] == pytest.approx([0.6] * 7)
