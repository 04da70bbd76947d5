"""Models that exist already: checkpoints of the Hugging Face Hub, or of a folder, of any causal architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, digest
from natfp_bench.corpus.tokens import Progress, Reader, no_progress, read_heldout
from natfp_bench.plan import sources as source
from natfp_bench.plan.settings import ServeSpec, SourceSpec

from . import model as models
from .heldout import write_heldout

LONGEST = 2048
"""Positions at a time, at most, in which held-out documents are scored."""


class CheckpointMeta(Record):
    """What a checkpoint is; tokenizer: digest of how it reads text; commit: which one the Hub served."""

    status: Literal["ok"] = "ok"
    reason: None = None
    parameters: int
    tokens_trained: None = None
    epochs: None = None
    training_multiset: None = None
    weights: None = None
    commit: str | None
    tokenizer: str
    begin: int
    end: int
    context: int | None


def load(spec: SourceSpec, serve: ServeSpec, device: torch.device) -> torch.nn.Module:
    """Load a checkpoint's model, served as the specification says; raises UserError where it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    made: torch.nn.Module = _loaded(AutoModelForCausalLM, spec, dtype=torch.float32)
    return models.served(made, serve, device)


def read_tokenizer(spec: SourceSpec) -> Reader:
    """Load a checkpoint's tokenizer; raises UserError where there is none, or it knows neither begin nor end."""
    made = loaded_tokenizer(spec)
    fast = getattr(made, "backend_tokenizer", None)
    # Of a folder without a tokenizer, transformers makes an empty one.
    if fast is None or len(made.get_vocab()) <= len(made.all_special_ids):
        raise UserError(
            f"checkpoint {spec.filled(spec.model)}: there is no tokenizer.json beside its model\n"
            "  AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes one"
        )
    begin = made.bos_token_id if made.bos_token_id is not None else made.eos_token_id
    if begin is None:
        raise UserError(
            f"checkpoint {spec.filled(spec.model)}: its tokenizer has no begin token and no end token\n"
            "  a model's texts begin somewhere: set bos_token in its tokenizer_config.json"
        )
    fast.encode_special_tokens = True
    return Reader(fast, begin, made.eos_token_id if made.eos_token_id is not None else begin)


def loaded_tokenizer(spec: SourceSpec) -> Any:
    """A checkpoint's tokenizer, as transformers has it."""
    from transformers import AutoTokenizer

    return _loaded(AutoTokenizer, spec)


def _loaded(kind: Any, spec: SourceSpec, **options: Any) -> Any:
    if source.is_folder(spec):
        where: dict[str, Any] = {"pretrained_model_name_or_path": str(source.folder(spec)), "local_files_only": True}
    else:
        where = {"pretrained_model_name_or_path": spec.filled(spec.model), "subfolder": spec.filled(spec.subfolder)}
        where["revision"] = spec.filled(spec.revision) or "main"
    try:
        return kind.from_pretrained(**where, trust_remote_code=spec.trust_remote_code, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        part = "tokenizer" if "Tokenizer" in kind.__name__ else "model"
        raise UserError(f"checkpoint {spec.filled(spec.model)}: its {part} cannot be loaded\n  {said}") from None


def positions(model: Any) -> int | None:
    """How many positions a model has, None where there is no limit."""
    found = getattr(model.config, "max_position_embeddings", None)
    return int(found) if found else None


def adopt(
    spec: SourceSpec,
    serve: ServeSpec,
    corpus: Path,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress = no_progress,
) -> CheckpointMeta:
    """Measure a checkpoint on the held-out documents of a corpus, as models that are trained here are.

    Writes `heldout.parquet` and the tokenizer; the weights stay where they are. Raises UserError where the checkpoint
    cannot be loaded.
    """
    reader, model = read_tokenizer(spec), load(spec, serve, device)
    context = positions(model)
    write_heldout(model, reader, read_heldout(corpus), folder, min(context or LONGEST, LONGEST), device, progress)
    reader.tokenizer.save(str(folder / "tokenizer.json"))
    return CheckpointMeta(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        commit=getattr(getattr(model, "config", None), "_commit_hash", None),
        tokenizer=digest([reader.tokenizer.to_str(), reader.begin, reader.end]),
        begin=reader.begin,
        end=reader.end,
        context=context,
    )
