"""Models from elsewhere: checkpoints of several architectures, tasks of the Hub, and parity by lm-eval."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from checkpoints import ARCHITECTURES, SMALL, save, write
from safetensors.torch import load_file, save_file
from scipy.special import log_softmax
from tokenizers import Tokenizer, decoders, models, normalizers

import natfp_bench
from natfp_bench import api
from natfp_bench.attributors import registry
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.corpus import tokens
from natfp_bench.models import checkpoint
from natfp_bench.models import checkpoint_files as source
from natfp_bench.models.heldout import document_bits
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.text_settings import ServeSpec, SourceSpec


@pytest.fixture(scope="module")
def run(bench: Any, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of three architectures, two checkpoints each as replicates."""
    levels = {name: str(checkpoints / f"{name}-seed{{replicate}}") for name in ARCHITECTURES}
    tasks = write(tmp_path_factory.mktemp("tasks"), "shapes", levels, replicate="1,2")
    return bench.run("shapes", include=[tasks], overrides=SMALL, baselines="majority,naive_bayes")


def test_checkpoints_are_told_apart_as_trained_models_are(run: Any) -> None:
    result, _ = run
    assert [variant.source for variant in result.variants] == ["checkpoint"] * 6
    assert all(variant.tokens_trained is None and variant.heldout_bits_per_byte for variant in result.variants)
    assert {(score.split, score.target) for score in result.scores} == {
        ("unseen_replicate", "level"),
        ("seen_replicate", "level"),
        ("unseen_prompt", "instance"),
    }
    found = {s.attributor.name: s.metrics["accuracy"].value for s in result.scores if s.target == "instance"}
    assert found["ceiling"] > 0.9
    assert found["naive_bayes"] > 0.4
    assert result.failures == []
    assert {check.name for check in result.checks} >= {"likelihood and sampler agree (instance)"}
    assert result.study.by_type
    assert result.study.length.unit == "tokens"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_measures_what_transformers_says(
    checkpoints: Path, tiny_corpus: Path, tmp_path: Path, architecture: str
) -> None:
    spec = SourceSpec(kind="checkpoint", model=str(checkpoints / f"{architecture}-seed1"))
    meta = checkpoint.adopt(spec, ServeSpec(), tiny_corpus, tmp_path, device=torch.device("cpu"))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    known = AutoModelForCausalLM.from_pretrained(spec.model)
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    assert meta.parameters == sum(parameter.numel() for parameter in known.parameters())
    assert (meta.begin, meta.end) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    text = tokens.read_heldout(tiny_corpus)[0].text
    ids = [meta.begin, *tokenizer(text, add_special_tokens=False).input_ids, meta.end][: meta.context]
    logits = known(torch.tensor([ids])).logits[0].detach().double().numpy()
    bits = -log_softmax(logits, axis=-1)[np.arange(len(ids) - 1), ids[1:]].sum() / np.log(2)
    assert document_bits(known, ids, 64, torch.device("cpu")) == pytest.approx(bits, rel=1e-5)
    if len(ids) < 64:
        assert pq.read_table(tmp_path / "heldout.parquet")["bits"][0].as_py() == pytest.approx(bits, rel=1e-5)


def test_what_a_checkpoint_is_decides_its_key_and_not_where_it_lies(checkpoints: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(checkpoints / "gpt2-seed1", moved)
    here = SourceSpec(kind="checkpoint", model=str(checkpoints / "gpt2-seed1"))
    assert source.identity(here) == source.identity(SourceSpec(kind="checkpoint", model=str(moved)))
    (moved / "notes.log").write_text("nothing that a model is made of")
    assert source.identity(here) == source.identity(SourceSpec(kind="checkpoint", model=str(moved)))
    (moved / "generation_config.json").write_text("{}")
    assert source.identity(here) != source.identity(SourceSpec(kind="checkpoint", model=str(moved)))


def test_models_that_read_other_tokens_are_compared_by_bytes(
    bench: Any, checkpoints: Path, tmp_path: Path, prose: Path
) -> None:
    from natfp_bench.plan.settings import TokenizerSpec

    folder = tmp_path / "corpus"
    folder.mkdir()
    documents = prose.read_text().split("\n\n")
    tokens.train_tokenizer(documents, TokenizerSpec(vocabulary=280, train_bytes=1)).save(str(folder / "tokenizer.json"))
    other = save(tmp_path / "other", folder, "gpt2", 3)
    levels = {"one": str(checkpoints / "gpt2-seed1"), "other": str(other)}
    tasks = write(tmp_path / "tasks", "tokenizers", levels)
    with pytest.raises(UserError, match=r"2 different tokenizers.*\n.*--set source.shared_tokenizer=false"):
        bench.run("tokenizers", include=[tasks], overrides=SMALL, baselines="majority")
    result, _ = bench.run(
        "tokenizers",
        include=[tasks],
        overrides={**SMALL, "source.shared_tokenizer": "false"},
        baselines="majority,naive_bayes",
    )
    assert {score.attributor.name for score in result.scores} == {"majority", "naive_bayes", "likelihood_reference"}
    assert result.mean_kl.unit == "byte"


def test_a_tokenizer_that_takes_more_tokens_than_were_drawn(bench: Any, checkpoints: Path, tmp_path: Path) -> None:
    """One that puts a space before each text reads 16 bytes as 17 tokens."""
    other = tmp_path / "other"
    shutil.copytree(checkpoints / "gpt2-seed1", other)
    made = Tokenizer.from_file(str(other / "tokenizer.json"))
    made.normalizer = normalizers.Prepend("~")
    made.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip("~", 1, 0)])
    made.model = models.BPE(made.get_vocab(with_added_tokens=False), [])
    made.save(str(other / "tokenizer.json"))
    tasks = write(tmp_path / "tasks", "spaced", {"one": str(checkpoints / "gpt2-seed2"), "other": str(other)})
    asked = {"include": [tasks], "overrides": {**SMALL, "source.shared_tokenizer": "false"}, "baselines": "majority"}
    result, _ = bench.run("spaced", **asked)
    assert {score.attributor.name for score in result.scores} == {"majority", "likelihood_reference"}
    config = json.loads((other / "config.json").read_text())
    table = {"transformer.wpe.weight": 16}
    given = load_file(other / "model.safetensors")
    cut = {name: one[: table.get(name, len(one))].clone() for name, one in given.items()}
    save_file(cut, other / "model.safetensors", metadata={"format": "pt"})
    (other / "config.json").write_text(json.dumps({**config, "n_positions": 16}))
    with pytest.raises(UserError, match=r"a text takes 1[78] tokens of its tokenizer.* context has 16\n  --set"):
        bench.run("spaced", **asked)


def test_tokenizers_that_lose_text(bench: Any, checkpoints: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("one", "other")}
    for number, folder in enumerate(folders.values(), 1):
        shutil.copytree(checkpoints / f"gpt2-seed{number}", folder)
        made = Tokenizer.from_file(str(folder / "tokenizer.json"))
        made.normalizer = normalizers.Lowercase()
        made.save(str(folder / "tokenizer.json"))
    tasks = write(tmp_path / "tasks", "small", {name: str(folder) for name, folder in folders.items()})
    bench.run("small", include=[tasks], overrides=SMALL, baselines="majority")
    said = "\n".join(event.text for event in bench.events if event.kind == "warning")
    assert all(f"{folder}: its tokenizer loses part" in said for folder in folders.values())
    tasks = write(tmp_path / "tasks", "mixed", {"one": str(checkpoints / "gpt2-seed1"), "other": str(folders["other"])})
    with pytest.raises(UserError, match=r"other: its tokenizer loses part .*\n  compare models of one tokenizer"):
        bench.run(
            "mixed",
            include=[tasks],
            overrides={**SMALL, "source.shared_tokenizer": "false"},
            baselines="majority",
        )


# What a task of other sources may say.


@pytest.mark.parametrize(
    ("spec", "levels", "overrides", "said"),
    [
        ({}, {"a": "x/a", "b": "x/b"}, {"optimizer.lr": "1e-3"}, "changes nothing: a checkpoint source is not trained"),
        ({"replicate": "1,2"}, {"a": "x/a", "b": "x/b"}, {}, "give both or neither"),
        ({}, {"a": "x/a{replicate}", "b": "x/b"}, {}, "give both or neither"),
        ({"replicate": "1,1"}, {"a": "x/a{replicate}", "b": "x/b{replicate}"}, {}, "a replicate is named twice"),
        ({"kind": "texts"}, {"a": "x", "b": "y"}, {}, "natfp-bench texts FILE"),
        ({"kind": "train"}, {"a": "x", "b": "y"}, {}, "change nothing while source.kind is 'train'"),
        ({"kind": "lm_eval", "model_args": "z"}, {"a": "x", "b": "y"}, {}, "set sampling.prompt_characters"),
        (
            {"kind": "lm_eval"},
            {"a": "x", "b": "y"},
            {"serve.dtype": "bfloat16"},
            "a backend of lm-eval serves its own model",
        ),
        ({}, {"a": "", "b": "y"}, {}, "takes a Hub id or a folder"),
    ],
)
def test_tasks_that_ask_for_what_cannot_be(
    tmp_path: Path, spec: dict[str, Any], levels: dict[str, str], overrides: dict[str, str], said: str
) -> None:
    tasks = write(tmp_path / "tasks", "wrong", levels, **spec)
    with pytest.raises(SpecError) as caught:
        make_plan("wrong", "smoke", include=[tasks], overrides=overrides)
    assert said in str(caught.value)


def test_ways_to_serve_are_no_factor_of_a_backend() -> None:
    chosen = {"source.kind": "lm_eval", "source.model": "hf", "sampling.prompt_characters": "10"}
    with pytest.raises(SpecError, match=r"quantization_id\.yaml:\d+: serve changes nothing"):
        make_plan("quantization_id", "smoke", overrides=chosen)


def test_missing_checkpoints_are_all_named_with_the_commands_that_fetch_them(bench: Any, tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks", "hub", {"a": "nobody/model-a", "b": "nobody/model-b"}, revision="step1")
    plan = make_plan("hub", "smoke", include=[tasks])
    assert [variant.settings.source.model for variant in plan.variants] == ["nobody/model-a", "nobody/model-b"]
    with pytest.raises(UserError) as caught:
        bench.run("hub", include=[tasks])
    said = str(caught.value)
    assert "2 checkpoints are not available" in said
    assert "nobody/model-a at step1: not in the cache, and the Hub cannot be reached" in said
    assert "hf download nobody/model-b --revision step1" in said


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: shutil.rmtree(folder), "is no folder"),
        (lambda folder: [p.unlink() for p in folder.glob("tokenizer*")], "there is no tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "its model cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "its config.json cannot be loaded"),
    ],
)
def test_broken_checkpoints(bench: Any, checkpoints: Path, tmp_path: Path, damage: Any, said: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoints / "gpt2-seed1", broken)
    damage(broken)
    levels = {"good": str(checkpoints / "gpt2-seed1"), "broken": str(broken)}
    tasks = write(tmp_path / "tasks", "damaged", levels)
    with pytest.raises(UserError, match=said):
        bench.run("damaged", include=[tasks], overrides=SMALL, baselines="majority")


def test_a_tokenizer_without_begin_and_end(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(checkpoints / "gpt2-seed1", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    kept = {name: value for name, value in settings.items() if name not in ("bos_token", "eos_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="no begin token and no end token"):
        checkpoint.read_tokenizer(SourceSpec(kind="checkpoint", model=str(folder)))


def test_a_prompt_longer_than_the_context(bench: Any, checkpoints: Path, tmp_path: Path) -> None:
    levels = {f"seed{seed}": str(checkpoints / f"gpt2-seed{seed}") for seed in (1, 2)}
    tasks = write(tmp_path / "tasks", "long", levels)
    with pytest.raises(UserError, match="context of 64"):
        bench.run("long", include=[tasks], overrides={**SMALL, "sampling.prompt_characters": "150"})


# Tasks of the Hub.


HUB = sorted(name for name, path in spec.task_files().items() if "hub" in spec.load_task(path)[0].tags)


def test_tasks_of_the_hub_are_there() -> None:
    assert {*HUB} == {
        *("pythia_seed_id", "pythia_size_id", "pythia_stage_id", "pythia_data_order_id", "pythia_dedup_id"),
        *("gpt2_seed_id", "datadecide_data_id", "datadecide_seed_id", "seedprints_init_id"),
        *("olmo2_order_id", "olmo2_7b_order_id", "olmo2_13b_order_id"),
    }


@pytest.mark.parametrize("task", HUB)
def test_a_task_of_the_hub_plans_shows_and_validates_offline(task: str, natfp: Any) -> None:
    found = spec.load_task(spec.task_files()[task])[0]
    assert "hub" in found.tags
    assert "docs/hub.md" in " ".join(found.notes.split())
    for preset in spec.preset_files():
        plan = make_plan(task, preset)
        assert plan.source.kind == "checkpoint"
        assert not any("{" in of.settings.source.filled(of.settings.source.model) for of in plan.variants)
    code, out, err = natfp("show", task)
    assert code == 0, err
    assert "to do" in out
    for of in make_plan(task, "quick").variants:
        own = of.settings.source
        assert f"{own.filled(own.model)} at {own.filled(own.revision) or 'main'}" in out
    assert natfp("validate", spec.task_files()[task])[0] == 0


def test_a_task_of_the_hub_without_a_network_names_all_that_is_missing(natfp: Any, tmp_path: Path) -> None:
    code, _, err = natfp("run", "--task", "pythia_seed_id", "--store", tmp_path / "store")
    assert code == 2
    assert [f"hf download EleutherAI/pythia-14m-seed{seed}" in err for seed in (1, 2, 3, 4)] == [True] * 4


def test_all_means_what_needs_no_network() -> None:
    assert not set(HUB) & set(api.find_tasks(["all"])[0])
    assert api.find_tasks(tags=["hub"]) == (HUB, [])
    chosen, left_out = api.find_tasks(tags=["seeds"])
    assert not set(HUB) & set(chosen)
    assert set(left_out) <= {*HUB, "ft_seed_id", "ft_order_id"}
    chosen, left_out = api.find_tasks(tags=["control"])
    assert left_out == ["domain_id"], "it needs two files of the user's"
    assert "ft_lr_id" in api.find_tasks(tags=["optimisation"])[1], "it needs a model of the user's"
    assert "data_id" in chosen
    with pytest.raises(UserError, match="tag 'natural': all its tasks need"):
        api.find_tasks(tags=["natural"])


# Parity by lm-eval.


@pytest.mark.slow
def test_parity_agrees_with_the_bits_per_byte_of_a_run(
    bench: Any, seed_run: Any, checkpoints: Path, tmp_path: Path
) -> None:
    from natfp_bench.pipeline.run import run_plan
    from natfp_bench.pipeline.store import Store

    levels = {"llama": str(checkpoints / "llama-seed1"), "gpt2": str(checkpoints / "gpt2-seed1")}
    tasks = write(tmp_path / "tasks", "good", levels)
    plans = {
        "good": bench.plan("good", include=[tasks], overrides=SMALL),
        "seed_id": bench.plan("seed_id", limit=40),
    }
    for plan in plans.values():
        result, _ = run_plan(
            plan,
            registry.find("majority"),
            store=Store(bench.store),
            engine=bench.engine,
            output=tmp_path / "results",
            device="cpu",
            parity=[],
        )
        for variant in result.variants:
            assert variant.parity.keys() == {"natfp_heldout/bits_per_byte"}
            assert variant.parity["natfp_heldout/bits_per_byte"] == pytest.approx(
                variant.heldout_bits_per_byte.value, rel=1e-6
            )


def test_parity_of_texts_makes_no_sense(tmp_path: Path) -> None:
    rows = [{"label": "ab"[i % 2], "text": f"text {i}"} for i in range(80)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="only texts"):
        natfp_bench.run_texts(tmp_path / "x.jsonl", parity=[], store=tmp_path / "store", output=tmp_path / "out")


@pytest.mark.slow
def test_parity_tasks_that_cannot_be_had(natfp: Any, tmp_path: Path) -> None:
    run = ("run", "--task", "null_id", "--preset", "smoke", "--limit", "8", "--baseline", "majority", "--workers", "1")
    code, _, err = natfp(*run, "--parity-tasks", "no_such_task", "--store", tmp_path / "store")
    assert (code, "--parity-tasks no_such_task: lm-eval cannot run them" in err) == (2, True), err
