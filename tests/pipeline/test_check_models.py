"""What is found out about checkpoints before anything is sampled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import SMALL, write

Natfp = Callable[..., tuple[int, str, str]]


@pytest.fixture
def options(prose: Path, tmp_path: Path) -> tuple[object, ...]:
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    where = ("--store", tmp_path / "store", "--include-path", tmp_path / "tasks", "--corpus", f"text:{prose}")
    return (*where, "--preset", "smoke", "--workers", "1", *settings)


def task(tmp_path: Path, folders: dict[str, Path], **source: Any) -> None:
    write(tmp_path / "tasks", "mine", {level: str(folder) for level, folder in folders.items()}, **source)


def test_models_are_listed_with_their_digests(
    natfp: Natfp, checkpoints: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    task(tmp_path, {"a": checkpoints / "gpt2-seed1", "b": checkpoints / "gpt2-seed2"})
    code, out, err = natfp("check-models", "mine", *options, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [one["variant"] for one in found["models"]] == ["a/r0", "b/r0"]
    first, second = found["models"]
    assert first["weights"] != second["weights"]
    assert first["tokenizer"] == second["tokenizer"]
    assert first["parameters"] == second["parameters"] > 1000
    assert found["faults"] == found["warnings"] == []
    assert not list((tmp_path / "store").glob("**/texts.parquet")), "nothing is sampled"
    code, out, _ = natfp("check-models", "mine", *options)
    assert code == 0
    assert first["weights"][:12] in out


def test_one_model_under_two_names_is_found_by_its_weights(
    natfp: Natfp, checkpoints: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    """The files differ, the weights do not; a run refuses them before it samples."""
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints / "gpt2-seed1", copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "note": "another file"}))
    task(tmp_path, {"a": checkpoints / "gpt2-seed1", "b": copy, "c": checkpoints / "gpt2-seed2"})
    code, out, err = natfp("check-models", "mine", *options)
    said = "these checkpoints have the same weights, so nothing can tell them apart:\n  a/r0, b/r0: digest "
    assert (code, said in err) == (1, True)
    assert "c/r0" in out
    code, _, err = natfp("run", "--task", "mine", "--baseline", "unigram", "-o", tmp_path / "out", *options)
    assert (code, said in err, "sample" in err) == (2, True, False)


def test_a_model_that_cannot_be_loaded_leaves_the_others_checked(
    natfp: Natfp, checkpoints: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(checkpoints / "gpt2-seed1", empty)
    (empty / "model.safetensors").unlink()
    task(tmp_path, {"empty": empty, "whole": checkpoints / "gpt2-seed2"})
    code, out, err = natfp("check-models", "mine", *options)
    assert code == 1
    assert "whole/r0" in out
    assert "empty: its model cannot be loaded" in err.replace("\n", " ")


def test_a_task_without_checkpoints(natfp: Natfp) -> None:
    code, _, err = natfp("check-models", "seed_id")
    assert (code, "the models of seed_id are no checkpoints" in err) == (2, True)
