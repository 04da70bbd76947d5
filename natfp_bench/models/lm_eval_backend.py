"""Texts from the backends of lm-evaluation-harness: a server, vLLM, or anything else in its registry.

A backend gives texts but not their likelihoods. Rows are requested in chunks, each with its own seed, and each answer
is kept, so an interrupted run continues where it stopped. Whether a server honours the seed is up to the server.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from natfp_bench.base import disk, streams
from natfp_bench.base.errors import UserError
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.corpus.labelled_texts import sample_table
from natfp_bench.plan.text_settings import SamplerSpec, SourceSpec

from .sample import prompt_of

CHUNK = 20
"""Rows per request: the most that an interruption can lose. No prompt occurs twice in a chunk."""

ATTEMPTS = 5
"""How often a request is tried, with growing pauses; `max_retries` in source.model_args overrides it."""

LOCAL = ("hf", "hf-auto", "huggingface", "vllm", "sglang", "gguf")
"""Backends that run a model in this process instead of asking a server."""

ERRORS = 2
"""File descriptor of standard error."""


def sample(
    source: SourceSpec,
    spec: SamplerSpec,
    prompts: Sequence[str],
    rows: Sequence[int],
    stream: Sequence[streams.Name],
    *,
    device: str,
    partial: Path,
    progress: Progress = no_progress,
) -> pa.Table:
    """Ask a backend to continue prompts, by `generate_until`; returns a sample set without tokens.

    stream: name of the random stream of the chunks' seeds. partial: folder that keeps answers until all have arrived.
    Raises UserError if the backend is unknown, cannot be built, fails, or gives only empty answers.
    """
    texts: list[str] = []
    backend = None
    for chunk in _chunks(rows, len(prompts)):
        kept = partial / f"{chunk[0]}-{chunk[-1]}.json"
        answers = _read(kept, len(chunk))
        if answers is None:
            seed = streams.seed(*stream, chunk[0]) % 2**31
            backend = backend or _make(source, device)
            answers = _ask(backend, source, spec, [prompts[prompt_of(row, len(prompts))] for row in chunk], seed)
            with disk.whole(kept) as fresh:
                fresh.write_text(json.dumps(answers), encoding="utf-8")
        texts += answers
        progress(len(texts), len(rows), "texts")
    if not any(text.strip() for text in texts):
        for file in partial.glob("*.json"):
            file.unlink()
        raise UserError(
            f"{source.model} gave {len(texts)} answers, and all of them are empty\n"
            "  does it accept these prompts, and is its token limit above sampling.max_tokens?"
        )
    return sample_table(list(rows), [prompt_of(row, len(prompts)) for row in rows], texts)


def _chunks(rows: Sequence[int], prompts: int) -> Iterator[list[int]]:
    """Split rows into chunks without repeated prompts: a prompt repeated under one seed could get the same answer."""
    size = min(CHUNK, prompts)
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def _read(path: Path, n: int) -> list[str] | None:
    """Answers that were kept; None if there are none, or if they are damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) and len(found) == n and all(isinstance(t, str) for t in found) else None


def _make(source: SourceSpec, device: str) -> Any:
    from lm_eval.api.registry import get_model
    from lm_eval.utils import simple_parse_args_string

    given = simple_parse_args_string(source.filled(source.model_args))
    if given.get("trust_remote_code") and not source.trust_remote_code:
        raise UserError(
            "source.model_args asks to run the model's own code\n  --set source.trust_remote_code=true permits it"
        )
    if source.model not in LOCAL:
        given.setdefault("max_retries", ATTEMPTS)
    if source.model == "vllm":
        given.setdefault("generation_config", "vllm")  # the checkpoint's own is not read
    with _failures(source, "cannot be made"), quiet():
        backend = get_model(source.model).create_from_arg_obj(given, {"batch_size": 1, "device": device})
        if hasattr(backend, "AUTO_MODEL_CLASS"):
            _whole(backend, given, f"the lm-eval backend {source.model!r}: {given.get('pretrained')}")
            _sample_as_asked(backend.model)
    return backend


def _whole(backend: Any, given: Mapping[str, Any], name: str) -> None:
    """Raise UserError if the tensors of a checkpoint are not those of its model."""
    from .checkpoint import check_tensors

    places = {key: given[key] for key in ("revision", "subfolder", "trust_remote_code") if given.get(key)}
    options = {"device_map": "meta", "output_loading_info": True, "ignore_mismatched_sizes": True}
    made, report = backend.AUTO_MODEL_CLASS.from_pretrained(given["pretrained"], **places, **options)
    check_tensors(made, report, name)


def _sample_as_asked(model: Any) -> None:
    """Forget how a checkpoint wants to be sampled, such as its penalties; only the ends of its texts are kept."""
    from transformers import GenerationConfig

    if (own := getattr(model, "generation_config", None)) is not None:
        ends = {name: getattr(own, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**ends)


def _ask(backend: Any, source: SourceSpec, spec: SamplerSpec, prompts: Sequence[str], seed: int) -> list[str]:
    from lm_eval.api.instance import Instance
    from lm_eval.models import api_models

    # Every option is given: for a missing one, some backends choose a truncation of their own.
    options: dict[str, Any] = {"until": [], "do_sample": True, "max_gen_toks": spec.max_tokens}
    options |= {"temperature": spec.temperature, "top_p": spec.top_p}
    if source.model in ("vllm", "sglang"):
        options["top_k"] = spec.top_k or -1
    elif source.model in LOCAL or spec.top_k:
        options["top_k"] = spec.top_k
    requests = [
        Instance(request_type="generate_until", doc={}, arguments=(prompt, dict(options)), idx=0) for prompt in prompts
    ]
    if hasattr(backend, "_seed"):
        backend._seed = seed  # sent to a server
    torch.manual_seed(seed)  # used by a model in this process
    with _failures(source, "failed"), quiet():
        answers = backend.generate_until(requests, disable_tqdm=True)
    if len(answers) != len(prompts):
        raise UserError(f"{source.model} answered {len(answers)} of {len(prompts)} prompts\n  check the server")
    # lm-eval puts a text of its own in the place of a null answer.
    null = getattr(api_models, "LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER", None)
    return ["" if answer in (None, null) else str(answer) for answer in answers]


@contextlib.contextmanager
def _failures(source: SourceSpec, doing: str) -> Iterator[None]:
    """Turn any exception of a backend into one message; the answers so far are kept."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = next(iter(str(error).strip().splitlines()), "")
        name = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise UserError(
            f"the lm-eval backend {source.model!r} {doing}: {name}\n"
            f"  source.model_args: {source.filled(source.model_args) or '(none)'}; all answers so far are kept"
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence lm-eval's log, its progress bars, and what libraries and programs below it say on standard error."""
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("lm_eval"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.redirect_stderr(io.StringIO()), Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(ERRORS)
        os.dup2(nowhere.fileno(), ERRORS)
        try:
            yield
        finally:
            os.dup2(kept, ERRORS)
            os.close(kept)
