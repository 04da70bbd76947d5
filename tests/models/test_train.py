"""Training: exact after any interruption, each seed with its one effect, and held-out bits that others also get."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
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
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from trainings import CPU, changed, fresh, log, run, same_run
from transformers import AutoModelForCausalLM, get_scheduler

from natfp_bench.base import streams
from natfp_bench.corpus import tokens
from natfp_bench.corpus.documents import open_corpus
from natfp_bench.models import heldout, train
from natfp_bench.models import model as models
from natfp_bench.pipeline.sources.train import packing
from natfp_bench.plan.plan import parameters
from natfp_bench.plan.settings import Settings

# Exact after any interruption.


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
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
    settings = changed(tiny, model__dropout=0.1, budget__tokens=8 * 32 * 160)
    program = (
        "import sys, torch; from pathlib import Path; from natfp_bench.models import train;"
        "from natfp_bench.plan.settings import *; s = Settings.model_validate_json(sys.argv[1]);"
        "a, b, c = map(Path, sys.argv[2:]);"
        "train.train(train.TrainingJob(s, 0, a, b, c), torch.device('cpu'))"
    )
    folders = [tiny_corpus, tmp_path / "killed" / "model", tmp_path / "killed" / "partial"]
    folders[1].mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    arguments = [sys.executable, "-c", program, settings.model_dump_json(), *map(str, folders)]
    child = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (folders[2] / "checkpoint.safetensors").is_file() and time.monotonic() < end:
            assert child.poll() is None
            time.sleep(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
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


# A run that is stopped, and goes on.


@pytest.fixture(scope="module")
def stopped(tiny: Settings, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """Folders of one run with dropout, stopped after a quarter, a half, and never; each trained from its beginning."""
    folders = {stop: tmp_path_factory.mktemp("stopped") / str(stop) for stop in (0.25, 0.5, 1.0)}
    for stop, folder in folders.items():
        run(stopping(tiny, stop), tiny_corpus, folder)
    return folders


def stopping(tiny: Settings, stop: float) -> Settings:
    return changed(tiny, budget__stop=stop, model__dropout=0.2)


@pytest.mark.parametrize(("earlier", "later"), [(0.25, 0.5), (0.5, 1.0), (0.25, 1.0)])
def test_a_stopped_run_goes_on_bit_for_bit(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, stopped: dict[float, Path], earlier: float, later: float
) -> None:
    settings, steps = stopping(tiny, later), []
    meta = run(settings, tiny_corpus, tmp_path, start=stopped[earlier], steps=steps)
    assert steps == list(range(round(40 * earlier) + 1, round(40 * later) + 1))
    same_run(tmp_path, stopped[later])
    assert (meta.status, meta.steps, meta.tokens_trained) == ("ok", 40 * later, 40 * later * 8 * 32)
    assert (tmp_path / "model" / train.STATE).is_file() == (later < 1)


def test_a_run_to_the_end_is_the_plain_run(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, stopped: dict[float, Path]
) -> None:
    plain = changed(tiny, model__dropout=0.2)
    assert plain == stopping(tiny, 1.0)
    run(plain, tiny_corpus, tmp_path)
    same_run(tmp_path, stopped[1.0])


def test_stops_are_prefixes_of_one_run(tiny: Settings, tiny_corpus: Path, stopped: dict[float, Path]) -> None:
    quarter, _, end = (log(stopped[stop]) for stop in (0.25, 0.5, 1.0))
    assert [line["step"] for line in end] == [0, 20, 39]
    assert [line["step"] for line in quarter] == [0, 9]
    assert quarter[0] == end[0]
    # The schedule does not know that it will be stopped.
    settings = stopping(tiny, 0.25)
    assert quarter[1]["lr"] == pytest.approx(0.5 * 4e-3 * (1 + math.cos(math.pi * (9 - 4) / (settings.steps - 4))))


def test_a_continuation_may_be_interrupted_itself(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, stopped: dict[float, Path]
) -> None:
    settings, steps = stopping(tiny, 0.5), []
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path, start=stopped[0.25], stop_at=18)
    run(settings, tiny_corpus, tmp_path, start=stopped[0.25], steps=steps)
    assert steps == list(range(16, 21)), "its own checkpoint is nearer than the start"
    same_run(tmp_path, stopped[0.5])


@pytest.mark.parametrize("damage", ["missing", "half"])
def test_a_start_without_its_state_costs_time_and_nothing_else(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, stopped: dict[float, Path], damage: str
) -> None:
    shutil.copytree(stopped[0.25], tmp_path / "start")
    state = tmp_path / "start" / "model" / train.STATE
    content = state.read_bytes()
    state.unlink()
    steps: list[int] = []
    with warnings.catch_warnings(record=True, action="always") as told:
        if damage == "half":
            state.write_bytes(content[: len(content) // 2])
        run(stopping(tiny, 0.5), tiny_corpus, tmp_path / "new", start=tmp_path / "start", steps=steps)
    assert steps == list(range(1, 21))
    assert [str(one.message).endswith("the training starts over") for one in told] == [True] * (damage == "half")
    same_run(tmp_path / "new", stopped[0.5])


def test_what_goes_on_from_a_diverged_run_diverges_as_if_undisturbed(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path
) -> None:
    settings = changed(tiny, optimizer__lr=1e30)
    early, whole = (
        run(changed(settings, budget__stop=stop), tiny_corpus, tmp_path / str(stop)) for stop in (0.25, 1.0)
    )
    assert early.status == whole.status == "diverged"
    assert early.steps < 10, "it diverged before it was stopped"
    assert run(settings, tiny_corpus, tmp_path / "on", start=tmp_path / "0.25") == whole


# Fine-tuning.

TUNED = 10
"""Steps of the fine-tuning of `tuned`."""


@pytest.fixture(scope="module")
def tuned(tiny: Settings) -> Settings:
    """A run whose fine-tuning takes a quarter as many steps as it."""
    return changed(tiny, finetune__share=0.25)


@pytest.fixture(scope="module")
def base(tiny: Settings, tuned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the corpus of a fine-tuned run and the base that it starts from, trained on that corpus."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "corpus").mkdir()
    options = {"context": 32, "heldout": 30, "folder": folder / "corpus", **packing(tuned)}
    meta = tokens.prepare(open_corpus(tuned.corpus), tuned.tokenizer, **options)
    assert meta.blocks == (40 + TUNED) * 8
    assert run(tiny, folder / "corpus", folder).status == "ok"
    return folder


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Make training steps note the blocks that they are given, and do nothing else."""
    seen: list[torch.Tensor] = []

    def step(state: Any, rows: torch.Tensor, settings: Settings) -> tuple[float, float]:
        seen.append(rows)
        return 1.0, 1.0

    monkeypatch.setattr(train, "_step", step)
    return seen


def test_fine_tuning_begins_with_the_weights_of_its_base(tuned: Settings, base: Path, tmp_path: Path) -> None:
    meta = run(tuned, base / "corpus", tmp_path, start=base)
    blocks = tokens.read_blocks(base / "corpus", 32)
    order = 40 * 8 + streams.permutation(TUNED * 8, 0, "finetune", 0)
    first = torch.from_numpy(blocks[order[:8]].astype(np.int64))
    with torch.no_grad():
        loss = AutoModelForCausalLM.from_pretrained(base / "model")(input_ids=first, labels=first).loss.item()
    lines = log(tmp_path)
    assert lines[0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert [line["step"] for line in lines] == [0, TUNED - 1]
    # A quarter of the peak rate of the run, falling to zero over the fine-tuning.
    assert [line["lr"] for line in lines] == pytest.approx([1e-3, 1e-3 / TUNED])
    assert (meta.status, meta.steps, meta.tokens_trained) == ("ok", TUNED, (40 + TUNED) * 8 * 32)
    assert not (tmp_path / "model" / train.STATE).exists()
    assert meta.weights != weights(base)


def weights(folder: Path) -> str:
    return train.weights_digest(AutoModelForCausalLM.from_pretrained(folder / "model"))


def test_fine_tuning_reads_what_its_base_has_not_read(
    tiny: Settings, tuned: Settings, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = rows_read(monkeypatch)
    of_base = run(tiny, base / "corpus", tmp_path / "base")
    of_tuned = run(tuned, base / "corpus", tmp_path / "tuned", start=base)
    assert of_tuned.training_multiset != of_base.training_multiset
    blocks = tokens.read_blocks(base / "corpus", 32).astype(np.int64)
    place = {row.tobytes(): i for i, row in enumerate(blocks)}
    read = [place[row.numpy().tobytes()] for rows in seen for row in rows]
    assert sorted(read[: 40 * 8]) == list(range(40 * 8))
    assert sorted(read[40 * 8 :]) == list(range(40 * 8, (40 + TUNED) * 8))
    everything = np.arange((40 + TUNED) * 8)
    assert of_tuned.training_multiset == train.multiset_digest(tokens.read_blocks(base / "corpus", 32), everything)


def test_the_seed_of_fine_tuning_is_its_order_and_nothing_else(tuned: Settings, base: Path, tmp_path: Path) -> None:
    found = [
        run(changed(tuned, finetune__seed=seed), base / "corpus", tmp_path / f"{i}", start=base)
        for i, seed in enumerate((0, 1, 2, 0))
    ]
    assert len({meta.weights for meta in found}) == 3
    assert found[0] == found[3]
    assert len({meta.training_multiset for meta in found}) == 1
    # What led to the base is the base's: it is given, and not trained again.
    assert (
        run(changed(tuned, seeds__init=5), base / "corpus", tmp_path / "init", start=base).weights == found[0].weights
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_an_interrupted_fine_tuning_ends_bit_for_bit_alike(
    tuned: Settings, base: Path, tmp_path: Path, dropout: float
) -> None:
    settings = changed(tuned, model__dropout=dropout)
    whole = run(settings, base / "corpus", tmp_path / "whole", start=base)
    with pytest.raises(KeyboardInterrupt):
        run(settings, base / "corpus", tmp_path / "broken", start=base, stop_at=8)
    steps: list[int] = []
    assert run(settings, base / "corpus", tmp_path / "broken", start=base, steps=steps) == whole
    assert steps == list(range(6, TUNED + 1))
    same_run(tmp_path / "broken", tmp_path / "whole")


def test_fine_tuning_needs_its_base(tuned: Settings, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="starts from a base model"):
        run(tuned, base / "corpus", tmp_path)


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


# Each seed has its one effect.


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
    """The first loss is a function of initial weights and first batch: no optimiser setting may move it."""

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
    """Parts of a batch, a last one that is smaller among them, give the loss and the gradient of the whole."""
    rows = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(0))
    found = []
    for size in (0, 8, 3):
        model = models.build(tiny.model, 300, 0, "a")
        state = fresh(settings := changed(tiny, numerics__micro_batch=size), model)
        found.append(train._step(state, rows, settings))
    assert found[0] == found[1]
    assert found[2] == pytest.approx(found[0], rel=1e-5)


# What comes of it.


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
    assert train.weights_digest(loaded) == meta.weights
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
    assert meta.status == "diverged"
    assert meta.steps == 40
    assert meta.reason is not None
    assert "no better than guessing uniformly" in meta.reason


def test_an_interruption_does_not_change_the_verdict(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict looks at the last tenth of the losses, and the last checkpoint may lie within it."""
    settings = changed(tiny, budget__tokens=8 * 32 * 41)
    losses = [9.0] * 40 + [1.0]
    monkeypatch.setattr(train, "_step", lambda state, rows, settings: (losses[state.step], 1.0))
    whole = run(settings, tiny_corpus, tmp_path / "whole")
    assert whole.reason == "loss 7.00 over the last steps, no better than guessing uniformly"
    with pytest.raises(KeyboardInterrupt):
        run(settings, tiny_corpus, tmp_path / "broken", stop_at=41)
    assert run(settings, tiny_corpus, tmp_path / "broken") == whole


# Held-out bits.


@pytest.mark.parametrize("length", [2, 3, 31, 32, 33, 34, 63, 64, 65, 66, 97, 200])
def test_document_bits_are_those_of_lm_eval(tiny_model: Path, length: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    end = model.config.eos_token_id
    document = [end, *np.random.default_rng(length).integers(0, 300, length - 2).tolist(), end]
    nats = 0.0
    for pair in get_rolling_token_windows(document[1:], prefix_token=end, max_seq_len=32, context_len=1):
        before, predicted = make_disjoint_window(pair)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*before, *predicted[:-1]]])).logits[0].log_softmax(-1)
        scored = logits[-len(predicted) :].gather(-1, torch.tensor(predicted)[:, None])
        nats -= scored.double().sum().item()
    bits = heldout.document_bits(model, document, 32, CPU)
    assert bits == pytest.approx(nats / math.log(2), rel=1e-6)
    if length <= 32:
        row = torch.tensor([document])
        with torch.no_grad():
            loss = model(input_ids=row, labels=row).loss.item()
        assert bits == pytest.approx(loss * (length - 1) / math.log(2), rel=1e-5)


def test_held_out_bits_count_ends_and_bytes(tiny_corpus: Path, tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    tokenizer = tokens.load_tokenizer(tiny_corpus / "tokenizer.json")
    end = model.config.eos_token_id
    held = pq.read_table(tiny_model / "heldout.parquet").to_pydict()
    documents = tokens.read_heldout(tiny_corpus)
    assert held["bytes"] == [len(document.text.encode()) for document in documents]
    row = [end, *tokenizer.encode(documents[0].text).ids, end]
    assert held["bits"][0] == pytest.approx(heldout.document_bits(model, row, 32, CPU), rel=1e-9)
