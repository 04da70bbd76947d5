"""Models that exist already: checkpoints of any causal architecture, on the Hugging Face Hub or in a folder."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from natfp_bench.base.errors import UserError
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.corpus import tokens
from natfp_bench.corpus.tokens import TextReader
from natfp_bench.plan.text_settings import ServeSpec, SourceSpec

from . import checkpoint_files as source
from . import gguf_files, olmo_layout, vocabulary
from . import model as models
from . import probe as probes
from .heldout import write_heldout
from .metas import CheckpointMeta

WINDOW = "if its context is shorter, name it as max_position_embeddings in its config.json"

LONGEST = 2048
"""The longest window, in positions, in which held-out documents are scored."""


POSITIONS = (
    *("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"),
    *("max_seq_length", "seq_length", "context_length"),
)
"""Names under which configurations give the context, the usual ones first."""

DERIVED = re.compile(r"(^|\.)((attn|attention)\.(masked_)?bias|inv_freq|position_ids)$")
"""Tensors of old checkpoints that nothing was learnt in: masks and positions, which a model computes by itself."""

WHOLE = "save the model again where it was trained: to load and save this folder would draw what is missing at random"

LOADS = "is each file of the folder whole, and is every package installed that the message names?"


def load(spec: SourceSpec, serve: ServeSpec, device: torch.device) -> torch.nn.Module:
    """Load a checkpoint's model, served as the specification says; raises UserError if it cannot be loaded."""
    return models.served(load_weights(spec), serve, device)


def load_weights(spec: SourceSpec) -> torch.nn.Module:
    """Load a checkpoint's model in float32 on the CPU; raises UserError if that fails, or tensors do not fit."""
    from transformers import AutoModelForCausalLM

    if source.model_type(spec) == olmo_layout.MODEL_TYPE:
        with probes.blamed_on(source.title(spec), "its model cannot be loaded", LOADS):
            made, report = olmo_layout.load(source.find_weights(spec), source.title(spec))
    else:
        options = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
        made, report = _loaded(AutoModelForCausalLM, "model", spec, **options)
        if spec.gguf_file:
            made = gguf_files.plain(made)
    check_tensors(made, report, source.title(spec))
    check_read(made, spec)
    model: torch.nn.Module = made
    return model


def check_read(model: Any, spec: SourceSpec) -> None:
    """Raise UserError if something in a checkpoint was passed over: quantisation, an adapter, or whole numbers."""
    name = source.title(spec)
    if getattr(model.config, "quantization_config", None) and getattr(model, "hf_quantizer", None) is None:
        raise UserError(
            f"{name}: the quantisation that its config.json names is unknown, so its weights would be misread\n"
            "  save the weights as floats, without quantization_config"
        )
    if not source.is_folder(spec):
        return
    folder = source.folder(spec)
    if (folder / "adapter_config.json").is_file() and not getattr(model, "_hf_peft_config_loaded", False):
        raise UserError(f"{name}: its adapter was not applied\n  pip install peft, or merge and save the model")
    floats = {key for key, weight in model.named_parameters() if weight.is_floating_point()}
    if whole := sorted(floats & source.whole_numbers(folder)):
        raise UserError(
            f"{name}: {len(whole)} of its tensors hold whole numbers instead of weights: {probes.listed(whole)}\n"
            "  quantised weights need the scales and the config that belong to them; save the weights as floats"
        )


def check_tensors(model: torch.nn.Module, report: Mapping[str, Any], name: str) -> None:
    """Raise UserError unless a checkpoint's tensors are those of the model.

    report: what transformers' `output_loading_info` says. It draws missing tensors at random, and leaves out those that
    it has no use for. name: of the checkpoint in messages.
    """
    unused = [key for key in report["unexpected_keys"] if not DERIVED.search(key)]
    wrong = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    found = {"missing": report["missing_keys"], "unknown to the model": unused, "of another size": wrong}
    faults = [f"  {len(keys)} {what}: {probes.listed(sorted(keys))}" for what, keys in found.items() if keys]
    faults += [f"  {said}" for said in report.get("error_msgs") or ()]
    if faults:
        raise UserError(
            "\n".join([f"{name}: its tensors are not those of {probes.kind(model)}", *faults, f"  {WHOLE}"])
        )


def context_of(config: Any) -> int | None:
    """Positions that a model has, None if its configuration names no limit."""
    inner = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = (getattr(part, key, None) for part in (inner, config) for key in POSITIONS)
    return next((size for size in found if isinstance(size, int) and size > 0), None)


def read_tokenizer(spec: SourceSpec) -> TextReader:
    """Load a checkpoint's tokenizer; raises UserError if there is none, or it has neither a begin nor an end token."""
    made = loaded_tokenizer(spec)
    fast = getattr(made, "backend_tokenizer", None)
    # For a folder without a tokenizer, transformers builds an empty one.
    if fast is None or len(made.get_vocab()) <= len(made.all_special_ids):
        raise UserError(
            f"{source.title(spec)}: there is no tokenizer.json beside its model\n"
            "  AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes it"
        )
    begin = made.bos_token_id if made.bos_token_id is not None else made.eos_token_id
    if begin is None:
        raise UserError(
            f"{source.title(spec)}: its tokenizer has no begin token and no end token\n"
            "  every text starts from one of them: set bos_token in its tokenizer_config.json"
        )
    return TextReader(
        tokens.reading_whole_texts(fast), begin, made.eos_token_id if made.eos_token_id is not None else begin
    )


def loaded_tokenizer(spec: SourceSpec) -> Any:
    """A checkpoint's tokenizer, as an object of transformers."""
    from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

    if source.model_type(spec) == olmo_layout.MODEL_TYPE:
        return _loaded(PreTrainedTokenizerFast, "tokenizer", spec)
    # The tokenizer reads the configuration too, and would be blamed for its faults.
    _loaded(AutoConfig, "config.json", spec)
    return _loaded(AutoTokenizer, "tokenizer", spec)


def _loaded(kind: Any, part: str, spec: SourceSpec, **options: Any) -> Any:
    if source.is_folder(spec):
        where: dict[str, Any] = {"pretrained_model_name_or_path": str(source.folder(spec)), "local_files_only": True}
    else:
        where = {"pretrained_model_name_or_path": spec.filled(spec.model), "subfolder": spec.filled(spec.subfolder)}
        where |= {"revision": spec.filled(spec.revision) or "main", "local_files_only": not source.online()}
    quiet: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if spec.gguf_file:
        where["gguf_file"] = spec.gguf_file
        # Its weights are turned into floats under a progress bar that cannot be switched off.
        quiet = contextlib.redirect_stderr(io.StringIO())
    with probes.blamed_on(source.title(spec), f"its {part} cannot be loaded", LOADS), quiet:
        try:
            return kind.from_pretrained(**where, trust_remote_code=spec.trust_remote_code, **options)
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
            raise UserError(
                f"{source.title(spec)}: its {part} needs code that comes with the checkpoint\n"
                "  --set source.trust_remote_code=true   runs that code, if you trust whoever wrote it"
            ) from None


def adopt(
    spec: SourceSpec,
    serve: ServeSpec,
    corpus: Path,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress = no_progress,
) -> CheckpointMeta:
    """Measure a checkpoint on the held-out documents of a corpus, like a model that is trained here.

    Writes `heldout.parquet` and the tokenizer; the weights stay where they are, but those of a GGUF file become an
    ordinary checkpoint in the folder. Raises UserError if the checkpoint
    cannot be loaded.
    """
    reader, model = read_tokenizer(spec), load_weights(spec)
    config: Any = model.config
    context, parameters = context_of(config), sum(parameter.numel() for parameter in model.parameters())
    name, documents = source.title(spec), tokens.read_heldout(corpus)
    lossless = probes.check_reading(reader, [document.text for document in documents], name)
    prefix = probes.probe(model, reader, context, name)
    _, ordinary = vocabulary.other_ends(model, reader)
    weights = models.weights_digest(model)
    if spec.gguf_file:
        # Turning weights back into floats takes long, and other tools read this folder too.
        model.save_pretrained(folder)  # type: ignore[operator]
        loaded_tokenizer(spec).save_pretrained(folder)
    model = models.served(vocabulary.fit(model, reader), serve, device)
    window = min(context or LONGEST, LONGEST)
    with probes.blamed_on(name, f"the model fails on a text of up to {window} tokens", WINDOW):
        write_heldout(model, reader, documents, folder, window, device, progress)
    reader.tokenizer.save(str(folder / "tokenizer.json"))
    return CheckpointMeta(
        parameters=parameters,
        commit=getattr(config, "_commit_hash", None),
        tokenizer=tokens.identity(reader),
        begin=reader.begin,
        end=reader.end,
        context=context,
        prefix=prefix,
        lossless=lossless,
        weights=weights,
        other_ends=tuple(str(reader.tokenizer.id_to_token(token)) for token in ordinary),
    )
