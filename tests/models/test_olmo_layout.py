"""Checkpoints of OLMo's first code: read exactly as what they are, or refused with the setting at fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import olmo_files
import pytest
import torch
from checkpoints import SMALL, write

from natfp_bench.base.errors import UserError
from natfp_bench.models import checkpoint
from natfp_bench.plan.text_settings import SourceSpec

Natfp = Callable[..., tuple[int, str, str]]

IDS = [3, 7, 1, 12, 5, 9, 499, 0, 42]


@pytest.fixture
def tokenizer(tiny_corpus: Path) -> Path:
    return tiny_corpus / "tokenizer.json"


def spec(folder: Path) -> SourceSpec:
    return SourceSpec(kind="checkpoint", model=str(folder))


@pytest.mark.parametrize(
    "config",
    [{}, {"n_kv_heads": 2}, {"weight_tying": True}, {"mlp_hidden_size": 128}, {"rope_theta": 500000, "n_layers": 1}],
    ids=str,
)
def test_a_model_computes_what_its_own_code_does(config: Any, tokenizer: Path, tmp_path: Path) -> None:
    weights = olmo_files.tensors(1, **config)
    model = checkpoint.load_weights(spec(olmo_files.save(tmp_path / "one", tokenizer, weights, **config)))
    with torch.inference_mode():
        found = model(torch.tensor([IDS])).logits[0]
    expected = olmo_files.logits({key: one.double() for key, one in weights.items()}, IDS, **config)
    torch.testing.assert_close(found, expected.float(), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"layer_norm_type": "default"},
        {"layer_norm_with_affine": False},
        {"norm_after": True},
        {"clip_qkv": 8.0},
        {"attention_layer_norm": True},
        {"block_type": "parallel"},
        {"activation_type": "gelu"},
        {"include_bias": True},
        {"alibi": True, "rope": False},
        {"scale_logits": True},
    ],
    ids=str,
)
def test_what_is_no_llama_is_refused_by_its_setting(config: Any, tokenizer: Path, tmp_path: Path) -> None:
    folder = olmo_files.save(tmp_path / "one", tokenizer, olmo_files.tensors(1), **config)
    with pytest.raises(UserError) as caught:
        checkpoint.load_weights(spec(folder))
    assert all(f"{key}: {json.dumps(value)}" in str(caught.value) for key, value in config.items())


def change(weights: dict[str, Any], how: str) -> None:
    block = "model.transformer.blocks.1."
    if how == "missing":
        del weights[f"{block}ff_out.weight"]
    elif how == "unknown":
        weights["model.transformer.extra.weight"] = torch.zeros(1)
    else:
        weights[f"{block}att_proj.weight"] = torch.zeros(7, 32)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "1 missing: model.layers.1.mlp.down_proj.weight"),
        ("unknown", "1 unknown to the model: model.transformer.extra.weight"),
        ("another size", "att_proj.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(how: str, said: str, tokenizer: Path, tmp_path: Path) -> None:
    weights = olmo_files.tensors(1)
    change(weights, how)
    with pytest.raises(UserError, match="its tensors are not those of") as caught:
        checkpoint.load_weights(spec(olmo_files.save(tmp_path / "one", tokenizer, weights)))
    assert said in str(caught.value)


def test_weights_in_parts_and_in_torchs_format(tokenizer: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    weights = olmo_files.tensors(1)
    whole = checkpoint.load_weights(spec(olmo_files.save(tmp_path / "whole", tokenizer, weights))).state_dict()
    parts = olmo_files.save(tmp_path / "parts", tokenizer, weights)
    (parts / "model.safetensors").unlink()
    names = sorted(weights)
    files = {name: f"model-0000{1 + (i > 5)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in names if files[name] == file}, parts / file)
    (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    old = olmo_files.save(tmp_path / "old", tokenizer, weights)
    (old / "model.safetensors").unlink()
    torch.save(weights, old / "pytorch_model.bin")
    for folder in (parts, old):
        found = checkpoint.load_weights(spec(folder)).state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in whole.items())
    (parts / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00002.safetensors is missing, which model.safetensors.index"):
        checkpoint.load_weights(spec(parts))
    (old / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        checkpoint.load_weights(spec(old))


@pytest.mark.slow
def test_a_task_of_such_checkpoints_runs(natfp: Natfp, tokenizer: Path, prose: Path, tmp_path: Path) -> None:
    levels = {}
    for seed in range(2):
        folder = olmo_files.save(tmp_path / f"m{seed}", tokenizer, olmo_files.tensors(seed))
        levels[f"seed{seed}"] = str(folder)
    tasks = write(tmp_path / "tasks", "olmo", levels)
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    code, _, err = natfp(
        *("run", "--task", "olmo", "--preset", "smoke", "--include-path", tasks, "--baseline", "unigram"),
        *("--corpus", f"text:{prose}", "--store", tmp_path / "store", "-o", tmp_path / "out", *settings),
    )
    assert code == 0, err
    [path] = (tmp_path / "out").rglob("result.json")
    result = json.loads(path.read_text())
    size = sum(tensor.numel() for tensor in olmo_files.tensors(0).values())
    assert {one["parameters"] for one in result["variants"]} == {size}
    [ceiling] = [one for one in result["scores"] if one["attributor"]["name"] == "ceiling"]
    assert ceiling["metrics"]["accuracy"]["value"] > 0.9
