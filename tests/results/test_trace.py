"""Which of a user's own checkpoints wrote some texts: small models with random weights, and what can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import SMALL

import natfp_bench
from natfp_bench import api
from natfp_bench.pipeline.run import Run
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.models_plan import models_plan
from natfp_bench.report.trace_words import trace_conclusion
from natfp_bench.results.identification import Identification
from natfp_bench.results.trace import ModelLikelihood, Trace

Call = Callable[..., tuple[int, str, str]]

OVERRIDES = SMALL | {"sampling.texts": "120"}


@pytest.fixture(scope="module")
def models(checkpoints: Path) -> list[str]:
    """Three checkpoints; texts are by the first two, and the third is unknown to who is asked."""
    return [str(checkpoints / name) for name in ("gpt2-seed1", "gpt2-seed2", "llama-seed1")]


@pytest.fixture(scope="module")
def fresh(bench: Any, models: list[str]) -> dict[str, list[str]]:
    """Texts of each model that no run has read: drawn with another seed."""
    plan = models_plan(models, "smoke", overrides=OVERRIDES | {"corpus.name": f"text:{bench.corpus}"}, seed=7)
    evidence = Run(plan, (), Schedule(Store(bench.store), bench.engine, "cpu", lambda _: None)).gather(transfer=False)
    texts = {of.variant.level: evidence.sample_table(of)["text"].to_pylist() for of in evidence.kept}
    return {name: [text for text in own if text.strip()][:25] for name, own in texts.items()}


@pytest.fixture
def ask(natfp: Call, bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Ask which model wrote texts; returns what the command line does."""
    monkeypatch.setattr(api, "local_engine", lambda _: bench.engine)
    monkeypatch.setattr(bench.engine, "close", lambda: None)

    def call(models: list[str], texts: list[str], *arguments: object) -> tuple[int, str, str]:
        file = tmp_path / "given.jsonl"
        file.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
        named = [part for model in models for part in ("--model", model)]
        changed = [part for key, value in OVERRIDES.items() for part in ("--set", f"{key}={value}")]
        where = ("--store", bench.store, "-o", tmp_path / "results", "--set", f"corpus.name=text:{bench.corpus}")
        how = ("--preset", "smoke", "--baseline", "naive_bayes", *changed, *where)
        return natfp("trace", *named, "--texts", file, *how, *arguments)

    return call


def traced(ask: Any, *arguments: Any) -> Trace:
    code, out, err = ask(*arguments, "--json")
    assert code == 0, err
    return Trace.model_validate_json(out)


def test_the_writer_is_found_among_two(ask: Any, models: list[str], fresh: dict[str, list[str]]) -> None:
    for name in ("gpt2-seed1", "gpt2-seed2"):
        found = traced(ask, models[:2], fresh[name])
        # Random weights write bytes that are no text, so that the likelihoods are not those of what was drawn.
        writer, other = sorted(found.models, key=lambda one: one.label != name)
        assert writer.p > 0.01
        assert other.p < 0.05
        assert writer.own_bits_per_byte == pytest.approx(writer.bits_per_byte, rel=0.1)
        assert found.models[0].bits_per_byte <= found.models[1].bits_per_byte
        assert found.verdict
        assert found.verdict.most_likely == name
        assert found.p > 0.01
        assert found.result
        assert (Path(found.result) / "result.json").is_file()
        assert found.identification == Identification.model_validate(found.identification)


def test_none_of_these_is_an_answer(ask: Any, models: list[str], fresh: dict[str, list[str]]) -> None:
    found = traced(ask, models[:2], fresh["llama-seed1"])
    assert not found.likely
    assert "perhaps none of these models wrote it" in trace_conclusion(found)[0]
    words = traced(ask, models[:1], ["It was a bright cold day in April, and the clocks were striking."] * 3)
    assert words.p < 0.05
    assert "perhaps none of these" in trace_conclusion(words)[0]


def test_a_single_model_is_asked_by_its_likelihoods(ask: Any, models: list[str], fresh: dict[str, list[str]]) -> None:
    found = traced(ask, models[:1], fresh["gpt2-seed1"])
    assert found.likely
    assert found.p == found.models[0].p
    assert found.identification is found.result is None
    code, out, _ = ask(models[:1], fresh["gpt2-seed1"])
    assert code == 0
    assert "nothing speaks against gpt2-seed1" in " ".join(out.split())
    assert not traced(ask, models[:1], fresh["gpt2-seed2"]).likely


def test_likelihoods_are_those_of_a_plain_forward_pass(
    ask: Any, models: list[str], fresh: dict[str, list[str]]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = fresh["gpt2-seed2"][:4]
    found = traced(ask, models[:1], texts)
    model, tokenizer = (kind.from_pretrained(models[0]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    bits, tokens, size = 0.0, 0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:16]
        read = torch.tensor([[tokenizer.eos_token_id, *ids]])
        with torch.inference_mode():
            logs = model(read).logits.log_softmax(-1)[0, :-1]
        bits -= float(logs[torch.arange(len(ids)), torch.tensor(ids)].sum()) / np.log(2)
        tokens, size = tokens + len(ids), size + len(tokenizer.decode(ids).encode())
    assert found.models[0].bits_per_token == pytest.approx(bits / tokens, rel=1e-4)
    assert found.models[0].bits_per_byte == pytest.approx(bits / size, rel=1e-4)


def test_what_is_printed(ask: Any, models: list[str], fresh: dict[str, list[str]]) -> None:
    code, out, err = ask(models[:2], fresh["gpt2-seed1"])
    assert code == 0, err
    said = " ".join(out.split())
    for part in (
        "how likely the texts are",
        "gpt2-seed2",
        "drawn without a prompt, at temperature 1, and have at most 16 tokens",
        "how well texts of these models can be distinguished: natfp-bench show",
        "most likely gpt2-seed1",
    ):
        assert part in said
    code, out, _ = ask(models[:2], fresh["gpt2-seed1"], "--dry-run")
    assert code == 0
    assert "120 texts per variant" in out


def test_the_result_can_be_asked_again(ask: Any, natfp: Call, models: list[str], bench: Any, tmp_path: Path) -> None:
    """`identify` plans a run again that has no task file."""
    found = traced(ask, models[:2], ["some words of no model"])
    (tmp_path / "more.txt").write_text("some other words", encoding="utf-8")
    code, out, err = natfp(
        "identify",
        tmp_path / "more.txt",
        "--result",
        found.result,
        "--store",
        bench.store,
        "--target",
        "level",
        "--json",
    )
    assert code == 0, err
    assert Identification.model_validate_json(out).classes == ("gpt2-seed1", "gpt2-seed2")


def test_what_cannot_be_asked(ask: Any, natfp: Call, models: list[str], tmp_path: Path) -> None:
    texts = ["some words"]
    shutil.copytree(models[0], tmp_path / "copy")
    code, _, err = ask([models[0], str(tmp_path / "copy")], texts)
    assert (code, "these checkpoints have the same weights" in err) == (2, True)
    code, _, err = ask([models[0], models[0]], texts)
    assert (code, "is given twice" in err) == (2, True)
    code, _, err = ask([str(tmp_path / "nothing")], texts)
    assert (code, "nothing" in err) == (2, True)
    code, _, err = ask(models[:1], [" "])
    assert (code, "the text is empty" in err) == (2, True)
    code, _, err = natfp("trace", "--model", models[0])
    assert (code, "no text is given" in err) == (2, True)
    code, _, err = natfp("trace", "--texts", "x.txt")
    assert (code, "no model is named" in err) == (2, True)


def test_from_python(
    models: list[str], fresh: dict[str, list[str]], bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api, "local_engine", lambda _: bench.engine)
    monkeypatch.setattr(bench.engine, "close", lambda: None)
    settings = OVERRIDES | {"corpus.name": f"text:{bench.corpus}"}
    how = {"preset": "smoke", "settings": settings, "store": bench.store, "output": tmp_path, "progress": False}
    found = natfp_bench.trace(models[0], fresh["gpt2-seed1"], **how)
    assert isinstance(found, Trace)
    assert [one.label for one in found.models] == ["gpt2-seed1"]
    with pytest.raises(natfp_bench.UserError, match="no text is given"):
        natfp_bench.trace(models[0], **how)


def test_the_answer_in_words() -> None:
    one = ModelLikelihood(label="a", model="m/a", bits_per_token=2.0, bits_per_byte=1.0, own_bits_per_byte=1.1, p=0.5)
    base: dict[str, Any] = {"schema": 1, "preset": "smoke", "texts": 1, "result": None, "identification": None}
    single = Trace.model_validate({**base, "models": (one,), "p": 0.5, "notes": ()})
    assert trace_conclusion(single) == ["the text: nothing speaks against a (p = 0.500); other models may fit as well"]
    unlikely = trace_conclusion(single.model_copy(update={"p": 0.01}))
    assert unlikely[0].startswith("the text: p = 0.010, so perhaps none of these models wrote it. If a had")
