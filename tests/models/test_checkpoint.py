"""Checkpoints whose files do not fit: each is refused by name before anything is measured, or read as it was meant."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import ARCHITECTURES
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, normalizers

from natfp_bench.base.errors import UserError
from natfp_bench.models import checkpoint, checkpoint_files
from natfp_bench.models import lm_eval_backend as backend
from natfp_bench.plan.text_settings import SamplingSpec, ServeSpec, SourceSpec

Tensors = dict[str, torch.Tensor]


def spec_of(folder: Path) -> SourceSpec:
    return SourceSpec(kind="checkpoint", model=str(folder))


def changed(source: Path, folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of a checkpoint with other tensors."""
    shutil.copytree(source, folder)
    save_file(change(load_file(source / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def edited(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**found, **changes}))


def largest(tensors: Tensors) -> str:
    return max(tensors, key=lambda name: tensors[name].numel())


UNFIT: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "renamed": (lambda given: {f"module.{name}": one for name, one in given.items()}, r"\d+ missing: .*\n.*unknown to"),
    "most are missing": (lambda given: dict(list(given.items())[:6]), r"\d+ missing: .* and \d+ more"),
    "one is missing": (lambda given: {k: v for k, v in given.items() if k != largest(given)}, r"[12] missing: "),
    "a head beside it": (lambda given: {**given, "v_head.weight": torch.zeros(3)}, r"1 unknown to the model: v_head"),
    "an adapter": (
        lambda given: {**given, f"{largest(given)}.lora_A": torch.zeros(2, 2)},
        r"1 unknown to the model: .*lora_A",
    ),
    "another width": (
        lambda given: {**given, largest(given): torch.zeros(7, 5)},
        r"\d+ of another size: |\d+ missing: ",
    ),
}


@pytest.mark.parametrize("fault", UNFIT)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tensors_that_do_not_fit(checkpoints: Path, tmp_path: Path, architecture: str, fault: str) -> None:
    change, said = UNFIT[fault]
    folder = changed(checkpoints / f"{architecture}-seed1", tmp_path / "unfit", change)
    with pytest.raises(UserError, match=said) as caught:
        checkpoint.load(spec_of(folder), ServeSpec(), torch.device("cpu"))
    assert str(caught.value).startswith(f"checkpoint {folder}: its tensors are not those of ")


FIT: dict[str, Callable[[Tensors], Tensors]] = {
    "halves": lambda given: {name: one.half() for name, one in given.items()},
    "without the name of its part": lambda given: {
        name.removeprefix("transformer.").removeprefix("gpt_neox.").removeprefix("model."): one
        for name, one in given.items()
    },
    "masks of old versions": lambda given: {
        **given,
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
        "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64, dtype=torch.bool),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
    },
}


@pytest.mark.parametrize("kind", FIT)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tied_and_derived_tensors_are_no_fault(checkpoints: Path, tmp_path: Path, architecture: str, kind: str) -> None:
    source = checkpoints / f"{architecture}-seed1"
    folder = changed(source, tmp_path / "fit", FIT[kind])
    found, known = (checkpoint.load(spec_of(path), ServeSpec(), torch.device("cpu")) for path in (folder, source))
    row = torch.arange(8)[None]
    with torch.inference_mode():
        torch.testing.assert_close(found(row).logits, known(row).logits, rtol=0.02, atol=0.3)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs(checkpoints: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pointers"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(UserError, match=rf"{name}: this is a pointer of git-lfs.*\n  git lfs pull"):
        checkpoint_files.identity(spec_of(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_links_that_lead_nowhere_and_folders_are_no_files(checkpoints: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    (folder / name).unlink()
    (folder / name).symlink_to("../blobs/gone")
    with pytest.raises(UserError, match=f"{name}: a link that leads nowhere"):
        checkpoint_files.identity(spec_of(folder))
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(UserError, match=f"{name}: not a file"):
        checkpoint_files.identity(spec_of(folder))


@pytest.mark.parametrize("kept", [0.0, 1e-4, 0.02, 0.5, 0.999])
def test_weights_that_were_cut_off(checkpoints: Path, tmp_path: Path, kept: float) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged, or not whole"):
        checkpoint_files.identity(spec_of(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\x00\x00"])
def test_files_that_are_no_settings(
    checkpoints: Path, tiny_corpus: Path, tmp_path: Path, name: str, content: str
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    (folder / name).write_text(content)
    place = tmp_path / "made"
    place.mkdir()
    with pytest.raises(UserError, match=f"^checkpoint {folder}: "):
        checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, place, device=torch.device("cpu"))


@pytest.mark.parametrize(("architecture", "heads"), [("llama", "num_attention_heads"), ("gpt2", "n_head")])
def test_a_width_that_heads_do_not_divide(
    checkpoints: Path, tiny_corpus: Path, tmp_path: Path, architecture: str, heads: str
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(checkpoints / f"{architecture}-seed1", folder)
    edited(folder, "config.json", **{heads: 5, "num_key_value_heads": 5, "head_dim": None})
    with pytest.raises(UserError, match=f"^checkpoint {folder}: "):
        checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, tmp_path, device=torch.device("cpu"))


def test_a_context_that_the_model_does_not_have(checkpoints: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    """GPT-2 has as many positions as its table has rows, whatever another name in its configuration says."""
    folder = tmp_path / "short"
    cut = {"transformer.wpe.weight": 20}
    changed(
        checkpoints / "gpt2-seed1",
        folder,
        lambda given: {name: one[: cut.get(name, len(one))].clone() for name, one in given.items()},
    )
    edited(folder, "config.json", n_positions=20)
    meta = checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, tmp_path, device=torch.device("cpu"))
    assert meta.context == 20


@pytest.mark.parametrize("name", checkpoint.POSITIONS)
@pytest.mark.parametrize("nested", [False, True])
def test_the_context_is_found_under_each_of_its_names(name: str, nested: bool) -> None:
    inner = types.SimpleNamespace(**{name: 77})
    outer = types.SimpleNamespace(get_text_config=lambda: inner) if nested else inner
    assert checkpoint.context_of(outer) == 77


def test_a_model_that_names_no_context_fails_with_a_hint(
    checkpoints: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "POSITIONS", ())
    with pytest.raises(
        UserError, match=r"fails on a text of up to 2048 tokens\n.*\n.*name it as max_position_embeddings"
    ):
        checkpoint.adopt(
            spec_of(checkpoints / "gpt2-seed1"), ServeSpec(), tiny_corpus, tmp_path, device=torch.device("cpu")
        )


def test_whole_numbers_are_no_weights(checkpoints: Path, tmp_path: Path) -> None:
    for kind in (torch.int32, torch.int8, torch.uint8):
        folder = changed(
            checkpoints / "llama-seed1",
            tmp_path / str(kind),
            lambda given, kind=kind: {name: (one * 100).to(kind) for name, one in given.items()},  # type: ignore[misc]
        )
        with pytest.raises(UserError, match="of its tensors hold whole numbers instead of weights"):
            checkpoint.load(spec_of(folder), ServeSpec(), torch.device("cpu"))


def test_a_quantisation_that_nobody_knows(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quantised"
    shutil.copytree(checkpoints / "llama-seed1", folder)
    edited(folder, "config.json", quantization_config={"quant_method": "mxfp3", "bits": 3})
    with pytest.raises(UserError, match=r"the quantisation that .* names is unknown"):
        checkpoint.load(spec_of(folder), ServeSpec(), torch.device("cpu"))


def test_an_adapter_that_is_not_applied(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapted"
    shutil.copytree(checkpoints / "llama-seed1", folder)
    (folder / "adapter_config.json").write_text("{}")
    made = checkpoint.load(spec_of(checkpoints / "llama-seed1"), ServeSpec(), torch.device("cpu"))
    with pytest.raises(UserError, match="its adapter was not applied"):
        checkpoint.check_read(made, spec_of(folder))


def test_an_adapter_alone(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds an adapter without the model .*\n  merge_and_unload"):
        checkpoint_files.identity(spec_of(folder))


@pytest.mark.parametrize("revision", ["main", "step1000", "{replicate}"])
def test_a_folder_has_no_revisions(checkpoints: Path, revision: str) -> None:
    spec = spec_of(checkpoints / "gpt2-seed1").model_copy(update={"revision": revision, "replicate": "early"})
    with pytest.raises(UserError, match=r"source.revision is \w+, and a folder has no revisions"):
        checkpoint_files.identity(spec)


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": None}, "not a multiple"),
    "a number as text": ({"hidden_size": "32"}, "'hidden_size' expected int, got str"),
    "no number": ({"max_position_embeddings": None}, "'max_position_embeddings'"),
    "a type that torch lacks": ({"dtype": "fp32"}, "has no attribute 'fp32'"),
    "a family that nobody knows": ({"model_type": "nobody"}, "`nobody`"),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_faults_of_a_configuration_are_its_own(checkpoints: Path, tmp_path: Path, fault: str) -> None:
    """The libraries' whole message is quoted: its first line often says nothing."""
    changes, said = CONFIGS[fault]
    shutil.copytree(checkpoints / "llama-seed1", tmp_path / "one" / "inner")
    edited(tmp_path / "one" / "inner", "config.json", **changes)
    spec = spec_of(tmp_path / "one").model_copy(update={"subfolder": "inner"})
    with pytest.raises(UserError, match=said) as caught:
        checkpoint.read_tokenizer(spec)
    assert str(caught.value).startswith(f"checkpoint {tmp_path / 'one' / 'inner'}: its config.json cannot be loaded\n")


@pytest.mark.parametrize(("file", "part"), [("config.json", "config.json"), ("tokenizer_config.json", "tokenizer")])
def test_code_that_comes_with_a_checkpoint(checkpoints: Path, tmp_path: Path, file: str, part: str) -> None:
    folder = tmp_path / "coded"
    shutil.copytree(checkpoints / "llama-seed1", folder)
    (folder / "mine.py").write_text("raise SystemExit('run')")
    if part == "tokenizer":
        edited(folder, file, tokenizer_class="Mine", auto_map={"AutoTokenizer": [None, "mine.Mine"]})
    else:
        edited(folder, file, model_type="mine", auto_map={"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.M"})
    with pytest.raises(UserError, match=rf"its {part} needs code .*\n  --set source.trust_remote_code=true"):
        checkpoint.read_tokenizer(spec_of(folder))


def test_what_a_tokenizer_loses_and_other_ends_are_noted(checkpoints: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lossy"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    place, cpu = tmp_path / "made", torch.device("cpu")
    place.mkdir()
    plain = checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, place, device=cpu)
    assert (plain.lossless, plain.other_ends) == (True, ())
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.normalizer = normalizers.Lowercase()
    made.save(str(folder / "tokenizer.json"))
    edited(folder, "generation_config.json", eos_token_id=[plain.end, 40])
    meta = checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, place, device=cpu)
    assert (meta.lossless, meta.other_ends) == (False, (made.id_to_token(40),))
    made.decoder = None
    made.save(str(folder / "tokenizer.json"))
    with pytest.raises(UserError, match="does not give back what it reads"):
        checkpoint.adopt(spec_of(folder), ServeSpec(), tiny_corpus, place, device=cpu)


def test_two_sets_of_weights(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(checkpoints / "llama-seed1", folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(UserError, match="two sets of weights"):
        checkpoint_files.identity(spec_of(folder))


# What the last user left in the file of a tokenizer.


def _cut(made: Tokenizer) -> None:
    made.enable_truncation(4)


def _padded(made: Tokenizer) -> None:
    made.enable_padding(length=50)


def _random(made: Tokenizer) -> None:
    made.model.dropout = 0.5


@pytest.mark.parametrize("leave", [_cut, _padded, _random])
def test_what_a_tokenizer_was_last_used_for_does_not_matter(
    checkpoints: Path, tiny_corpus: Path, tmp_path: Path, leave: Callable[[Tokenizer], None]
) -> None:
    source, folder = checkpoints / "gpt2-seed1", tmp_path / "used"
    shutil.copytree(source, folder)
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    leave(made)
    made.save(str(folder / "tokenizer.json"))
    metas = []
    for number, path in enumerate((source, folder)):
        place = tmp_path / str(number)
        place.mkdir()
        metas.append(checkpoint.adopt(spec_of(path), ServeSpec(), tiny_corpus, place, device=torch.device("cpu")))
    assert metas[0] == metas[1]
    assert (tmp_path / "0/heldout.parquet").read_bytes() == (tmp_path / "1/heldout.parquet").read_bytes()
    kept = json.loads((tmp_path / "1/tokenizer.json").read_text())
    assert (kept["truncation"], kept["padding"], kept["model"]["dropout"]) == (None, None, None)
    tokenizer = checkpoint.loaded_tokenizer(spec_of(folder))
    assert len(tokenizer("the miller sold a boat in the harbour", add_special_tokens=False).input_ids) > 6


# How the last user sampled.


@pytest.mark.parametrize(
    "wish",
    [
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"temperature": 0.01, "top_k": 1},
        {"suppress_tokens": [*range(40, 120)]},
        {"min_new_tokens": 8},
        {"num_beams": 4},
        {"typical_p": 0.2, "min_p": 0.3, "epsilon_cutoff": 0.1},
        {"forced_eos_token_id": 0, "max_new_tokens": 2},
        {"sequence_bias": [[[70], 50.0]]},
    ],
)
def test_lm_eval_samples_as_the_task_asks(checkpoints: Path, tmp_path: Path, wish: dict[str, Any]) -> None:
    source, folder = checkpoints / "gpt2-seed1", tmp_path / "wishing"
    shutil.copytree(source, folder)
    edited(folder, "generation_config.json", **wish)
    draw = SamplingSpec(texts=6, max_tokens=8, prompt_characters=10)
    texts = [
        backend.sample(
            SourceSpec(kind="lm_eval", model="hf", model_args=f"pretrained={path}"),
            *(draw, ["The miller", "A sailor", "Her boat"], range(6), ("tests",)),
            device="cpu",
            partial=tmp_path / f"partial-{number}",
        )["text"].to_pylist()
        for number, path in enumerate((source, folder))
    ]
    assert texts[0] == texts[1]


def test_lm_eval_does_not_draw_missing_tensors_at_random(checkpoints: Path, tmp_path: Path) -> None:
    folder = changed(checkpoints / "gpt2-seed1", tmp_path / "unfit", UNFIT["renamed"][0])
    spec = SourceSpec(kind="lm_eval", model="hf", model_args=f"pretrained={folder}")
    draw = SamplingSpec(texts=6, max_tokens=8, prompt_characters=10)
    with pytest.raises(UserError, match=r"'hf': .*unfit: its tensors are not those of GPT2LMHeadModel"):
        backend.sample(spec, draw, ["The miller"], range(2), ("tests",), device="cpu", partial=tmp_path / "partial")
