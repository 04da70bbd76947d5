"""Trainings that start from another one: continued after an early stop, or fine-tuned."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import changed, log, rows_read, run, same_run
from transformers import AutoModelForCausalLM

from natfp_bench.base import streams
from natfp_bench.corpus import tokens
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.models import model as models
from natfp_bench.models import train
from natfp_bench.pipeline.stages.trained import packing
from natfp_bench.plan.settings import Settings

# A training that stops early, and continues.


@pytest.fixture(scope="module")
def stopped(tiny: Settings, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """Folders of one training with dropout, stopped after a quarter, a half, and never, each from the beginning."""
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
    """Settings whose fine-tuning takes a quarter of the steps of the training."""
    return changed(tiny, finetune__share=0.25)


@pytest.fixture(scope="module")
def base(tiny: Settings, tuned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the corpus of a fine-tuned model, and with its base, trained on that corpus."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "corpus").mkdir()
    options = {"context": 32, "heldout": 30, "folder": folder / "corpus", **packing(tuned)}
    meta = tokens.prepare(open_corpus(tuned.corpus), tuned.tokenizer, **options)
    assert meta.blocks == (40 + TUNED) * 8
    assert run(tiny, folder / "corpus", folder).status == "ok"
    return folder


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
    return models.weights_digest(AutoModelForCausalLM.from_pretrained(folder / "model"))


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
