"""Fine-tuning of released models: five tasks on checkpoints of three architectures, LoRA, and GGUF files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import ARCHITECTURES
from safetensors.torch import load_file

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.corpus import tokens
from natfp_bench.models import checkpoint, checkpoint_files, model, train, tune
from natfp_bench.pipeline.sources.finetune import TunedModel
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.descent import TuningSpec
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.settings import ModelSpec
from natfp_bench.plan.task_files import trained_tasks
from natfp_bench.plan.text_settings import ServeSpec, SourceSpec

TASKS = {
    "ft_seed_id": "seeds.data_order",
    "ft_order_id": "seeds.data_order",
    "ft_lr_id": "optimizer.lr",
    "ft_data_id": "tuning.part",
    "ft_method_id": "tuning.lora_rank",
}
LORA = ("ft_order_id", "ft_method_id")

SMALL = {"sampling.texts": "60", "sampling.block": "30", "budget.tokens": "20480", "corpus.heldout_documents": "20"}

CPU = torch.device("cpu")

needs_peft = pytest.mark.skipif(
    not importlib.util.find_spec("peft"), reason="peft is not installed: pip install 'natfp-bench[finetune]'"
)
needs_gguf = pytest.mark.skipif(
    not (importlib.util.find_spec("gguf") and importlib.util.find_spec("accelerate")),
    reason="gguf and accelerate are not installed: pip install gguf accelerate",
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Path:
    """A released model of each architecture."""
    folder = tmp_path_factory.mktemp("bases")
    tokenizer = tokens.load_tokenizer(tiny_corpus / "tokenizer.json")
    for name in ARCHITECTURES:
        spec = ModelSpec(architecture=name, width=32, layers=2, heads=2, feed_forward=64, context=64)
        made = model.build(spec, tokenizer.get_vocab_size(), tokenizer.token_to_id(tokens.END), "tests", 1)
        model.save(made, tiny_corpus / "tokenizer.json", spec.context, folder / name)
    return folder


def asked(task: str, base: Path) -> dict[str, str]:
    rate = {} if task == "ft_lr_id" else {"optimizer.lr": "0.01"}
    return {**SMALL, **rate, "source.model": str(base)}


@pytest.mark.parametrize(
    ("task", "architecture"),
    [
        pytest.param(
            task,
            ARCHITECTURES[i % 3],
            marks=[needs_peft] * (task in LORA) + [pytest.mark.slow] * (task != "ft_seed_id"),
        )
        for i, task in enumerate(TASKS)
    ],
)
def test_each_task_runs_as_those_of_trained_models_do(bench: Any, bases: Path, task: str, architecture: str) -> None:
    result, _ = bench.run(task, overrides=asked(task, bases / architecture), baselines="naive_bayes")
    assert {one.source for one in result.variants} == {"finetune"}
    assert result.failures == []
    assert {one.status for one in result.variants} == {"ok"}
    assert {score.attributor.name for score in result.scores} >= {"ceiling", "naive_bayes"}
    assert all(one.heldout_bits_per_byte and one.tokens_trained == 20480 for one in result.variants)
    checks = {check.name: check for check in result.checks}
    assert checks["same training data"].ok
    assert len({one.training_multiset for one in result.variants}) == (3 if task == "ft_data_id" else 1)
    # Every variant is a model of its own, and replicates are, too.
    assert len({one.key for one in result.variants}) == len(result.variants)


@needs_peft
def test_adapters_of_every_architecture_change_the_matrices_of_layers_alone(
    bench: Any, bases: Path, tmp_path: Path
) -> None:
    for name in ARCHITECTURES:
        _job(bench, bases / name, tmp_path / name, TuningSpec(lora_rank=4))
        before, after = (load_file(at / "model.safetensors") for at in (bases / name, tmp_path / name / "made"))
        assert before.keys() == after.keys()
        changed = {key for key in before if not torch.equal(before[key], after[key])}
        assert changed
        for key in changed:
            assert before[key].ndim == 2, key
            assert not any(part in key for part in ("embed", "wte", "wpe", "lm_head", "norm", "ln_")), key
            # The change has the rank of the adapters.
            assert torch.linalg.matrix_rank(after[key].double() - before[key].double(), rtol=1e-4) <= 4
        assert model.load(tmp_path / name / "made", ServeSpec(), CPU).config.model_type == name


def _job(bench: Any, base: Path, folder: Path, tuning: TuningSpec, *, run: bool = True) -> train.TrainingJob:
    """Fine-tune a base on the bench's corpus; returns the job."""
    plan = bench.plan("ft_seed_id", overrides=asked("ft_seed_id", base))
    recipe = plan.variants[0].settings.tuning_recipe
    where = SourceSpec(kind="finetune", model=str(base))
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    (folder / "made").mkdir()
    (folder / "partial").mkdir()
    from natfp_bench.corpus.open_corpus import open_corpus

    settings, own = plan.variants[0].settings, checkpoint.read_tokenizer(where)
    tokens.prepare(
        open_corpus(settings.corpus),
        own,
        context=recipe.model.context,
        blocks=recipe.unique_blocks,
        heldout=20,
        folder=corpus,
    )
    job = train.TrainingJob(
        recipe,
        0,
        corpus=corpus,
        folder=folder / "made",
        partial=folder / "partial",
        released=tune.Released(where, tuning, own, 64),
    )
    if run:
        train.train(job, CPU)
    return job


@pytest.mark.parametrize("rank", [0, pytest.param(4, marks=needs_peft)])
def test_an_interrupted_fine_tuning_ends_with_the_same_bytes(
    bench: Any, bases: Path, tmp_path: Path, rank: int
) -> None:
    tuning = TuningSpec(lora_rank=rank)
    _job(bench, bases / "gpt2", tmp_path / "whole", tuning)
    job = _job(bench, bases / "gpt2", tmp_path / "torn", tuning, run=False)

    class KilledError(Exception):
        pass

    def kill(done: int, total: int, unit: str) -> None:
        if done > total * 0.6:
            raise KilledError

    with pytest.raises(KilledError):
        train.train(job, CPU, progress=kill)
    kept = tmp_path / "torn" / "partial" / "checkpoint.safetensors"
    names = [name for name in load_file(kept) if name.startswith("model.")]
    assert any("lora" in name for name in names) == bool(rank)
    assert not rank or all("lora" in name for name in names)
    train.train(job, CPU)
    whole, torn = (tmp_path / name / "made" / "model.safetensors" for name in ("whole", "torn"))
    assert whole.read_bytes() == torn.read_bytes()


def test_keys_know_the_bytes_of_the_base_and_not_its_place(bench: Any, bases: Path, tmp_path: Path) -> None:
    def key(task: str = "ft_lr_id", base: Path = bases / "llama", **more: str) -> str:
        plan = bench.plan(task, overrides={**SMALL, "source.model": str(base), **more})
        found = resolve(plan)[0].model
        assert isinstance(found, TunedModel)
        return found.key

    import shutil

    moved = shutil.copytree(bases / "llama", tmp_path / "moved")
    assert key(base=moved) == key()
    tokenizer = moved / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert key(base=moved) != key()
    ranks = {key(**{"tuning.lora_rank": str(rank)}) for rank in (0, 4, 8)}
    assert len(ranks) == 3
    # The preset's own model says nothing about a released one.
    plans = [
        make_plan("ft_data_id", preset, overrides={**SMALL, "model.context": "32"}) for preset in ("smoke", "quick")
    ]
    assert len({one.variants[0].settings.tuning_recipe.model for one in plans}) == 1


def test_parts_are_disjoint_and_equally_long() -> None:
    packed = np.arange(11)[:, None]
    reader: Any = None
    parts = [
        tune.Released(SourceSpec(), TuningSpec(parts=3, part=part), reader, 8).blocks(packed).ravel()
        for part in range(3)
    ]
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_an_unnamed_base_is_asked_for_and_only_by_a_run(bench: Any, tmp_path: Path) -> None:
    for task in TASKS:
        plan = bench.plan(task)
        assert all(isinstance(of.model, TunedModel) for of in resolve(plan))
        with pytest.raises(UserError, match=r"none is named\n  --set source\.model=FOLDER"):
            bench.run(task)
    with pytest.raises(UserError, match="is no folder"):
        resolve(bench.plan("ft_seed_id", overrides={"source.model": str(tmp_path / "gone")}))
    assert not set(TASKS) & set(trained_tasks())


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        ({"model.width": "64"}, "model.width=64: changes nothing"),
        ({"tokenizer.vocabulary": "400"}, "tokenizer.vocabulary=400: changes nothing"),
        ({"finetune.share": "0.5"}, "changes nothing"),
        ({"source.replicate": "a,b"}, "replicates of a fine-tuning differ in their seeds"),
        ({"tuning.part": "3"}, "tuning.part 3 does not exist"),
    ],
)
def test_settings_that_would_change_nothing_are_refused(overrides: dict[str, str], what: str) -> None:
    with pytest.raises(SpecError, match=what):
        make_plan("ft_seed_id", "smoke", overrides=overrides)


def test_tuning_is_refused_where_nothing_is_fine_tuned() -> None:
    with pytest.raises(SpecError, match="tuning changes nothing"):
        make_plan("seed_id", "smoke", overrides={"tuning.lora_rank": "4"})


@pytest.mark.parametrize(
    ("fields", "levels", "what"),
    [
        ("source.model", "{a: x, b: y}", "all levels of a fine-tuning start from one model"),
        ("model.width", "{a: 32, b: 64}", "the model is a released one"),
        ("tuning.parts", "{a: 2, b: 3}", "cannot be a factor"),
        ("optimizer.lr, tuning.part", "{a: {optimizer.lr: 1e-3, tuning.part: 0}, b: 1}", "two factors vary at once"),
        ("seeds.init", "{a: 0, b: 1}", "changes nothing while tuning.lora_rank is 0"),
    ],
)
def test_a_factor_that_touches_something_else_is_refused(tmp_path: Path, fields: str, levels: str, what: str) -> None:
    (tmp_path / "wrong.yaml").write_text(
        f"task: wrong\nversion: 1\nsummary: A factor that is none.\nfactor:\n  name: x\n  fields: [{fields}]\n"
        f"  levels: {levels}\nsettings:\n  source: {{kind: finetune}}\n  tuning: {{}}\n"
    )
    with pytest.raises(SpecError, match=what):
        make_plan("wrong", "smoke", include=[tmp_path])


def test_the_disk_is_not_said_to_hold_models_of_no_size(natfp: Any) -> None:
    _, out, _ = natfp("show", "ft_seed_id", "--preset", "smoke")
    assert "MB, and 4 models of the base's size, four bytes a weight" in out
    _, out, _ = natfp("show", "seed_id", "--preset", "smoke")
    assert "MB in total" in out


def test_replicates_without_a_difference_are_refused() -> None:
    with pytest.raises(SpecError, match="all replicates would be the same"):
        make_plan("ft_order_id", "smoke", overrides={"tuning.lora_rank": "0"})


def test_missing_packages_are_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"need gguf and accelerate\n  pip install gguf accelerate"):
        checkpoint_files.require([SourceSpec(kind="checkpoint", model="./x", gguf_file="x.gguf")])


@pytest.fixture(scope="module")
def gguf(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as a GGUF file, as llama.cpp writes them."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf accelerate")
    import json

    folder = tmp_path_factory.mktemp("gguf")
    config = json.loads((bases / "llama" / "config.json").read_text())
    read = json.loads((bases / "llama" / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(str(folder / "tiny.gguf"), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config["vocab_size"])
    vocabulary = sorted(read["model"]["vocab"], key=read["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token == tokens.END else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in read["model"]["merges"]])
    writer.add_bos_token_id(vocabulary.index(tokens.END))
    writer.add_eos_token_id(vocabulary.index(tokens.END))
    names = {"embed_tokens": "token_embd", "norm": "output_norm"}
    parts = {
        **{f"self_attn.{one}_proj": f"attn_{one}" for one in "qkv"},
        **{f"mlp.{one}_proj": f"ffn_{one}" for one in ("gate", "up", "down")},
        "self_attn.o_proj": "attn_output",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for key, tensor in load_file(bases / "llama" / "model.safetensors").items():
        own = key.removeprefix("model.").removesuffix(".weight")
        if own.startswith("layers."):
            _, layer, part = own.split(".", 2)
            if part in ("self_attn.q_proj", "self_attn.k_proj"):
                # llama.cpp rotates neighbouring positions of a head, transformers its halves.
                tensor = tensor.reshape(2, 2, 8, 32).swapaxes(1, 2).reshape(32, 32)
            name = f"blk.{layer}.{parts[part]}"
        else:
            name = names[own]
        writer.add_tensor(f"{name}.weight", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


@needs_gguf
def test_a_gguf_file_is_the_model_that_it_was_made_from(
    gguf: Path, bases: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SourceSpec(kind="checkpoint", model=str(gguf), gguf_file="tiny.gguf")
    meta = checkpoint.adopt(spec, ServeSpec(), tiny_corpus, tmp_path, device=CPU)
    assert "Converting" not in capsys.readouterr().err, "no progress bar of a library"
    before, after = (load_file(at / "model.safetensors") for at in (bases / "llama", tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert meta.lossless
    # What lies in the store is an ordinary checkpoint, with its tokenizer.
    plain = SourceSpec(kind="checkpoint", model=str(tmp_path))
    text = tokens.read_heldout(tiny_corpus)[0].text
    ids = [checkpoint.read_tokenizer(at).tokenizer.encode(text).ids for at in (spec, plain)]
    assert ids[0] == ids[1]
    assert model.weights_digest(checkpoint.load_weights(plain)) == meta.weights


@pytest.mark.slow
@needs_gguf
def test_a_gguf_file_is_fine_tuned_and_served(bench: Any, gguf: Path) -> None:
    named = {"source.model": str(gguf), "source.gguf_file": "tiny.gguf"}
    result, _ = bench.run("ft_seed_id", overrides={**asked("ft_seed_id", gguf), **named}, baselines="naive_bayes")
    assert result.failures == []
    kinds = {"source.kind": "checkpoint", **named, "sampling.texts": "60", "sampling.block": "30"}
    result, _ = bench.run("temperature_id", overrides=kinds, baselines="naive_bayes")
    assert result.failures == []
    with pytest.raises(UserError, match=r"there is no file other\.gguf"):
        bench.run("ft_seed_id", overrides={**named, "source.gguf_file": "other.gguf"})
