"""Backends of lm-eval: what they are asked, what is tried again, and what is said of those that cannot be had."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import SMALL, write

from natfp_bench.base.errors import UserError
from natfp_bench.models import lm_eval_backend as backend
from natfp_bench.plan.text_settings import SamplingSpec, SourceSpec


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server of completions by a tiny model; `plan` says how it fails, answer by answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.plan: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/completions"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked)
            fault = self.server.plan.pop(0) if self.server.plan else ""
            if fault.isdigit():
                self.send_error(int(fault))
                return
            if fault == "slow":
                time.sleep(1.5)
            prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
            texts = ["" if fault == "empty" else self.answer(prompt, asked) for prompt in prompts]
        body = json.dumps({"choices": [{"index": i, "text": text} for i, text in enumerate(texts)]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "truncated" else body)

    def answer(self, prompt: str, asked: dict[str, Any]) -> str:
        torch.manual_seed(asked["seed"] + sum(prompt.encode()))
        ids = self.server.tokenizer(prompt, return_tensors="pt").input_ids
        options = {"do_sample": True, "top_k": 0, "top_p": asked["top_p"], "temperature": asked["temperature"]}
        out = self.server.model.generate(ids, max_new_tokens=asked["max_tokens"], pad_token_id=0, **options)
        return str(self.server.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


@pytest.fixture
def servers(checkpoints: Path) -> Iterator[list[Server]]:
    made = [Server(checkpoints / f"gpt2-seed{seed}") for seed in (1, 2)]
    for server in made:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


def completions(server: Server, **more: Any) -> SourceSpec:
    given = {"base_url": server.url, "model": "tiny", "tokenizer_backend": "none", "max_retries": 2, **more}
    return SourceSpec(
        kind="lm_eval", model="local-completions", model_args=",".join(f"{k}={v}" for k, v in given.items())
    )


DRAW = SamplingSpec(texts=30, max_tokens=8, prompt_characters=10)


PROMPTS = [f"The miller {word}" for word in ["sold", "found", "carried", "lost", "painted", "broke", "hid"]]


def ask(spec: SourceSpec, partial: Path, rows: int = 14) -> list[str]:
    table = backend.sample(spec, DRAW, PROMPTS, range(rows), ("tests",), device="cpu", partial=partial)
    assert table["prompt"].to_pylist() == [row % len(PROMPTS) for row in range(rows)]
    return list(table["text"].to_pylist())


def test_a_server_is_asked_with_everything_said(servers: list[Server], tmp_path: Path) -> None:
    texts = ask(completions(servers[0]), tmp_path / "a")
    assert len(texts) == 14
    assert texts[:7] != texts[7:]  # the same prompts under another seed
    asked = servers[0].asked
    assert all((one["temperature"], one["top_p"], one["max_tokens"]) == (1.0, 1.0, 8) for one in asked)
    assert len({one["seed"] for one in asked}) == 2
    assert ask(completions(servers[0]), tmp_path / "b") == texts


def test_failures_are_tried_again(servers: list[Server], tmp_path: Path) -> None:
    whole = ask(completions(servers[0]), tmp_path / "whole")
    servers[0].plan = ["429", "", "500", "", "truncated", "empty"]
    found = ask(completions(servers[0]), tmp_path / "again")
    assert sum(a != b for a, b in zip(found, whole, strict=True)) == 1  # the empty answer is an answer
    servers[0].plan = ["slow"]
    assert ask(completions(servers[0], timeout=1), tmp_path / "slow") == whole


def test_a_half_done_sample_set_goes_on_where_it_stopped(servers: list[Server], tmp_path: Path) -> None:
    whole = ask(completions(servers[0]), tmp_path / "whole")
    servers[0].asked.clear()
    servers[0].plan = [""] * 8 + ["500"] * 4
    with pytest.raises(UserError, match=r"'local-completions' failed: .*500.*\n.*answers so far are kept"):
        ask(completions(servers[0]), tmp_path / "half")
    servers[0].asked.clear()
    servers[0].plan = []
    assert ask(completions(servers[0]), tmp_path / "half") == whole
    assert len(servers[0].asked) == 7  # the first chunk is not asked for again


def test_a_server_that_answers_nothing(servers: list[Server], tmp_path: Path) -> None:
    servers[0].plan = ["empty"] * 14
    with pytest.raises(UserError, match=r"14 answers, .*empty"):
        ask(completions(servers[0]), tmp_path)


def test_a_server_that_is_not_there(servers: list[Server], tmp_path: Path) -> None:
    spec = completions(servers[0])
    spec = spec.model_copy(update={"model_args": spec.model_args.replace(servers[0].url, "http://127.0.0.1:9/v1")})
    with pytest.raises(UserError, match="'local-completions' failed: ConnectionError"):
        ask(spec, tmp_path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"model": "no-such-backend"}, "'no-such-backend' cannot be made"),
        ({"model": "hf", "model_args": "pretrained=/no/such/folder"}, "'hf' cannot be made"),
        ({"model": "hf", "model_args": "pretrained=x,trust_remote_code=True"}, "trust_remote_code=true permits it"),
    ],
)
def test_backends_that_cannot_be(tmp_path: Path, spec: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ask(SourceSpec(kind="lm_eval", **spec), tmp_path)


def test_hf_samples_what_the_checkpoint_would(checkpoints: Path, tmp_path: Path) -> None:
    spec = SourceSpec(kind="lm_eval", model="hf", model_args=f"pretrained={checkpoints / 'gpt2-seed1'}")
    texts = ask(spec, tmp_path / "a")
    assert ask(spec, tmp_path / "b") == texts
    assert len(set(texts)) > 10
    assert not any(text.startswith(prompt) for text, prompt in zip(texts, PROMPTS * 2, strict=True))


def test_a_run_over_servers(bench: Any, servers: list[Server], tmp_path: Path) -> None:
    args = {f"seed{i}": completions(server).model_args for i, server in enumerate(servers)}
    args_vary = {"field": "source.model_args", "kind": "lm_eval", "model": "local-completions"}
    folder = write(tmp_path / "tasks", "served", args, **args_vary)
    overrides = {**SMALL, "sampling.prompt_characters": "10", "sampling.max_tokens": "8", "sampling.texts": "40"}
    result, _ = bench.run("served", include=[folder], overrides=overrides, baselines="majority,naive_bayes")
    assert [variant.source for variant in result.variants] == ["lm_eval"] * 2
    assert {score.attributor.name for score in result.scores} == {"majority", "naive_bayes"}
    assert (result.mean_kl, result.likelihood, result.study.equivalence) == (None, (), None)
    assert result.study.length.unit == "bytes"
    accuracy = {score.attributor.name: score.metrics["accuracy"].value for score in result.scores}
    assert accuracy["naive_bayes"] > 0.6
    assert result.failures == []
