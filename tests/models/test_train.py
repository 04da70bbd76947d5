"""Training: exact after any interruption, and each seed has exactly one effect."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from architectures import ARCHITECTURES
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE
from trainings import changed, fresh, log, rows_read, run, same_run
from transformers import AutoModelForCausalLM, get_scheduler

from natfp_bench.corpus import tokens
from natfp_bench.models import model as models
from natfp_bench.models import train
from natfp_bench.plan.plan import parameters
from natfp_bench.plan.settings import Settings

# Exact after any interruption.


FAST = [("llama", 0.0), *((architecture, 0.3) for architecture in ARCHITECTURES)]


@pytest.mark.parametrize(
    ("architecture", "dropout"),
    [*FAST, *(pytest.param(other, 0.0, marks=pytest.mark.slow) for other in ARCHITECTURES if other != "llama")],
)
def test_an_interrupted_training_ends_bit_for_bit_alike(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, architecture: str, dropout: float
) -> None:
    settings = changed(tiny, model__architecture=architecture, model__dropout=dropout)
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    assert (whole.status, whole.steps, whole.tokens_trained) == ("ok", 40, 40 * 8 * 32)
    assert whole.parameters == parameters(settings.model, 300)
    for stop in (3, 17, 18, 39):  # before the first checkpoint, within a stretch, and just before the end
        with pytest.raises(KeyboardInterrupt):
            run(settings, tiny_corpus, tmp_path / "broken", stop_at=stop)
        assert (tmp_path / "broken" / "partial" / "checkpoint.safetensors").is_file() == (stop > 5)
    torch.manual_seed(99)  # what another job in the same process did must not matter
    assert run(settings, tiny_corpus, tmp_path / "broken") == whole
    same_run(tmp_path / "broken", tmp_path / "whole")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "warmup_stable_decay"])
def test_every_schedule_goes_on_where_it_was(tiny: Settings, tiny_corpus: Path, tmp_path: Path, schedule: str) -> None:
    settings = changed(tiny, schedule__name=schedule, budget__tokens=8 * 32 * 24)
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path / "broken", stop_at=23)
    assert run(settings, tiny_corpus, tmp_path / "broken") == whole
    same_run(tmp_path / "broken", tmp_path / "whole")


def test_a_killed_process_loses_nothing(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    settings = changed(tiny, model__dropout=0.1)
    program = (
        "import os, sys, torch; from pathlib import Path; from natfp_bench.models import train;"
        "from natfp_bench.plan.settings import *; s = Settings.model_validate_json(sys.argv[1]);"
        "a, b, c = map(Path, sys.argv[2:]);"
        "killed = lambda done, total, unit: done < 23 * 8 * 32 or os.kill(os.getpid(), 9);"
        "train.train(train.TrainingJob(s, 0, a, b, c), torch.device('cpu'), progress=killed)"
    )
    folders = [tiny_corpus, tmp_path / "killed" / "model", tmp_path / "killed" / "partial"]
    folders[1].mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    arguments = [sys.executable, "-c", program, settings.model_dump_json(), *map(str, folders)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (folders[2] / "checkpoint.safetensors").is_file()
    assert not list(folders[1].iterdir()), "killed before its end"
    assert run(settings, tiny_corpus, tmp_path / "killed") == run(settings, tiny_corpus, tmp_path / "whole")
    same_run(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize("damage", ["empty", "half", "one bit", "zeros", "other file", "half written beside"])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, damage: str
) -> None:
    settings = changed(tiny, budget__tokens=8 * 32 * 16)
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path / "broken", stop_at=11)
    path = tmp_path / "broken" / "partial" / "checkpoint.safetensors"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-1000] ^= 1
    match damage:
        case "half written beside":
            path.with_suffix(".new").write_bytes(content[:1000])
        case "other file":
            path.write_bytes((tmp_path / "whole" / "model" / "model.safetensors").read_bytes())
        case _:
            broken = {"empty": b"", "half": content[: len(content) // 2], "one bit": bytes(flipped)}
            path.write_bytes(broken.get(damage, bytes(len(content))))
    if damage == "half written beside":
        again = run(settings, tiny_corpus, tmp_path / "broken")
    else:
        with pytest.warns(UserWarning, match=r"checkpoint\.safetensors is damaged: the training starts over"):
            again = run(settings, tiny_corpus, tmp_path / "broken")
    assert again == whole
    same_run(tmp_path / "broken", tmp_path / "whole")


def test_the_rate_in_the_log_counts_what_this_process_did(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(train, "_step", lambda state, rows, settings: (next(ticks), (1.0, 1.0))[1])
    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tiny_corpus, tmp_path, stop_at=33)
    run(tiny, tiny_corpus, tmp_path)
    lines = (tmp_path / "model" / "train_log.jsonl").read_text().splitlines()
    # Steps per tick: every step takes one, and so does every look at the clock.
    rates = [json.loads(line)["tokens_per_second"] / 256 for line in lines]
    assert rates == [0.5, pytest.approx(20 / 21, abs=1e-3), pytest.approx(10 / 11, abs=1e-3)]


# The order of the data.


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_epochs_read_fewer_blocks_more_often(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    seen = rows_read(monkeypatch)
    meta = run(changed(tiny, budget__epochs=epochs), tiny_corpus, tmp_path)
    blocks = tokens.read_blocks(tiny_corpus, 32).astype(np.int64)
    place = {row.tobytes(): i for i, row in enumerate(blocks)}
    read = np.array([place[row.numpy().tobytes()] for rows in seen for row in rows]).reshape(epochs, -1)
    first = list(range(320 // epochs))
    assert [sorted(epoch) for epoch in read.tolist()] == [first] * epochs
    assert len({tuple(epoch) for epoch in read.tolist()}) == epochs, "each in an order of its own"
    assert meta.epochs == epochs
    assert meta.tokens_trained == 320 * 32


@given(st.integers(1, 40), st.integers(1, 150), st.integers(0, 5))
def test_each_epoch_has_an_order_of_its_own(available: int, needed: int, seed: int) -> None:
    order = train.data_order(available, needed, "test", seed)
    other = train.data_order(available, needed, "test", seed + 1)
    assert order.shape == (needed,)
    assert order.dtype == np.int64
    whole = needed // available * available
    for start in range(0, whole, available):
        assert sorted(order[start : start + available]) == list(range(available))
    assert sorted(order[whole:]) == list(range(needed - whole)), "the last epoch takes the first blocks, for every seed"
    assert sorted(order) == sorted(other)
    assert np.array_equal(order[:whole], train.data_order(available, needed + available, "test", seed)[:whole])


def test_orders_differ() -> None:
    order = train.data_order(50, 100, "test", 0)
    assert not np.array_equal(order[:50], order[50:])
    assert not np.array_equal(order, train.data_order(50, 100, "test", 1))


def test_multiset_digest_forgets_order_and_nothing_else() -> None:
    blocks = np.arange(60, dtype="<u4").reshape(20, 3)
    of = train.multiset_digest(blocks, np.array([0, 1, 2, 1]))
    assert train.multiset_digest(blocks, np.array([1, 1, 2, 0])) == of
    assert train.multiset_digest(blocks[::-1], np.array([19, 18, 17, 18])) == of, "what is read, not where it stands"
    assert train.multiset_digest(blocks, np.array([0, 1, 2])) != of
    assert train.multiset_digest(blocks, np.array([0, 1, 2, 2])) != of
    assert train.multiset_digest(blocks + 1, np.array([0, 1, 2, 1])) != of


# Each seed has exactly one effect.


def test_each_seed_changes_what_is_named_after_it(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    dropping = changed(tiny, model__dropout=0.2, budget__tokens=8 * 32 * 8)
    base = run(dropping, tiny_corpus, tmp_path / "base")
    assert run(dropping, tiny_corpus, tmp_path / "again") == base
    assert run(changed(dropping, rerun=1), tiny_corpus, tmp_path / "rerun") == base, "a rerun is a rerun"
    for name in ("init", "data_order", "dropout"):
        meta = run(changed(dropping, **{f"seeds__{name}": 1}), tiny_corpus, tmp_path / name)
        assert meta.weights != base.weights, name
        assert meta.training_multiset == base.training_multiset, name
        untouched = meta.model_copy(update={"weights": base.weights})
        assert untouched == base, name
    plain = changed(dropping, model__dropout=0.0)
    without = [run(changed(plain, seeds__dropout=i), tiny_corpus, tmp_path / f"plain{i}") for i in range(2)]
    assert without[0] == without[1], "without dropout its seed does nothing"
    assert run(dropping, tiny_corpus, tmp_path / "seed", seed=1).weights != base.weights


def test_init_and_first_batch_are_those_of_their_seeds_alone(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    """The first loss depends on the initial weights and the first batch: no optimiser setting may change it."""

    def first(**given: Any) -> tuple[float, float]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        run(changed(tiny, budget__tokens=8 * 32 * 4, schedule__warmup_tokens=0, **given), tiny_corpus, folder)
        line = log(folder)[0]
        return line["loss"], line["gradient_norm"]

    base = first()
    for other in ({"optimizer__lr": 1e-2}, {"optimizer__weight_decay": 0.0}, {"optimizer__beta2": 0.99}):
        assert first(**other) == base
    assert first(schedule__name="linear") == base
    assert first(seeds__init=1) != base
    assert first(seeds__data_order=1) != base


# The optimiser and its schedule.


@pytest.mark.parametrize("name", ["cosine", "linear", "constant", "warmup_stable_decay"])
@pytest.mark.parametrize("warmup", [0, 7, 36, 40])
def test_the_log_has_the_rates_of_transformers(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, warmup: int
) -> None:
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    settings = changed(tiny, schedule__name=name, schedule__warmup_tokens=warmup * 8 * 32)
    used: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *rest: Any) -> Any:
        used.append(self.param_groups[0]["lr"])
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(settings, tiny_corpus, tmp_path)
    monkeypatch.undo()
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=4e-3)
    decay = min(4, 40 - warmup)
    known: dict[str, dict[str, Any]] = {
        "constant": {"name": "constant_with_warmup"},
        "warmup_stable_decay": {
            "scheduler_specific_kwargs": {"num_stable_steps": 40 - warmup - decay, "num_decay_steps": decay}
        },
    }
    horizon = {} if name == "warmup_stable_decay" else {"num_training_steps": 40}
    options = {"name": name, "num_warmup_steps": warmup} | horizon | known.get(name, {})
    scheduler = get_scheduler(optimizer=optimizer, **options)
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert used == expected
    assert [line["lr"] for line in log(tmp_path)] == used, "the rate logged is the rate that the step used"
    assert [line["step"] for line in log(tmp_path)] == list(range(40))
    assert [line["tokens"] for line in log(tmp_path)] == [(i + 1) * 256 for i in range(40)]
    assert max(used) <= 4e-3
    assert name == "constant" or warmup == 40 or used[-1] < 0.3 * max(used)


def test_the_gradient_is_clipped(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    model = models.build(tiny.model, 300, 0, "a")
    state = fresh(settings := changed(tiny, optimizer__clip=0.01), model)
    rows = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(0))
    _, norm = train._step(state, rows, settings)
    after = math.sqrt(sum(float((parameter.grad**2).sum()) for parameter in model.parameters()))  # type: ignore[operator]
    assert norm > 0.1
    assert after == pytest.approx(0.01, rel=1e-3)


def test_micro_batches_are_one_step(tiny: Settings) -> None:
    """Parts of a batch, also with a smaller last part, give the loss and the gradient of the whole."""
    rows = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(0))
    found = []
    for size in (0, 8, 3):
        model = models.build(tiny.model, 300, 0, "a")
        state = fresh(settings := changed(tiny, numerics__micro_batch=size), model)
        found.append(train._step(state, rows, settings))
    assert found[0] == found[1]
    assert found[2] == pytest.approx(found[0], rel=1e-5)


# Results of a training.


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_learns(tiny: Settings, tiny_corpus: Path, tmp_path: Path, architecture: str, dtype: str) -> None:
    settings = changed(tiny, model__architecture=architecture, numerics__dtype=dtype, budget__tokens=8 * 32 * 120)
    meta = run(settings, tiny_corpus, tmp_path)
    lines = log(tmp_path)
    assert lines[0]["loss"] == pytest.approx(math.log(300), abs=0.3)
    assert lines[-1]["loss"] < 3.6
    assert meta.epochs == 120 * 8 / len(tokens.read_blocks(tiny_corpus, 32))
    held = pq.read_table(tmp_path / "model" / "heldout.parquet").to_pydict()
    assert sum(held["bits"]) < math.log2(300) * sum(held["bytes"]) * 0.6
    assert held["true_bits"] == [None] * 30
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert models.weights_digest(loaded) == meta.weights
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_divergence_is_a_status(tiny: Settings, tiny_corpus: Path, tmp_path: Path, lr: float) -> None:
    meta = run(changed(tiny, optimizer__lr=lr), tiny_corpus, tmp_path)
    assert meta.status == "diverged"
    assert meta.reason
    assert not (tmp_path / "model" / "heldout.parquet").exists()
    assert run(changed(tiny, optimizer__lr=lr), tiny_corpus, tmp_path) == meta


def test_a_training_that_learns_nothing_is_divergence(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    meta = run(changed(tiny, optimizer__lr=3.0, schedule__name="constant"), tiny_corpus, tmp_path)
    assert (meta.status, meta.steps) == ("diverged", 40)
    assert "no better than guessing uniformly" in meta.reason


def test_an_interruption_does_not_change_the_verdict(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict uses the last tenth of the losses, and the last checkpoint may be within it."""
    settings = changed(tiny, budget__tokens=8 * 32 * 41)
    losses = [9.0] * 40 + [1.0]
    monkeypatch.setattr(train, "_step", lambda state, rows, settings: (losses[state.step], 1.0))
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    assert whole.reason == "loss 7.00 over the last steps, no better than guessing uniformly"
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path / "broken", stop_at=41)
    assert run(settings, tiny_corpus, tmp_path / "broken") == whole
