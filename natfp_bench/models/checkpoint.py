"""Models that exist already: checkpoints of any causal architecture, on the Hugging Face Hub or in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from natfp_bench.base.errors import UserError
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.base.records import digest
from natfp_bench.corpus.tokens import TextReader, read_heldout
from natfp_bench.plan.settings import ServeSpec, SourceSpec

from . import checkpoint_files as source
from . import model as models
from .heldout import write_heldout
from .metas import CheckpointMeta

LONGEST = 2048
"""The longest window, in positions, in which held-out documents are scored."""


def load(spec: SourceSpec, serve: ServeSpec, device: torch.device) -> torch.nn.Module:
    """Load a checkpoint's model, served as the specification says; raises UserError if it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    made: torch.nn.Module = _loaded(AutoModelForCausalLM, spec, dtype=torch.float32)
    return models.served(made, serve, device)


def read_tokenizer(spec: SourceSpec) -> TextReader:
    """Load a checkpoint's tokenizer; raises UserError if there is none, or it has neither a begin nor an end token."""
    made = loaded_tokenizer(spec)
    fast = getattr(made, "backend_tokenizer", None)
    # For a folder without a tokenizer, transformers builds an empty one.
    if fast is None or len(made.get_vocab()) <= len(made.all_special_ids):
        raise UserError(
            f"checkpoint {spec.filled(spec.model)}: there is no tokenizer.json beside its model\n"
            "  AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes it"
        )
    begin = made.bos_token_id if made.bos_token_id is not None else made.eos_token_id
    if begin is None:
        raise UserError(
            f"checkpoint {spec.filled(spec.model)}: its tokenizer has no begin token and no end token\n"
            "  every text starts from one of them: set bos_token in its tokenizer_config.json"
        )
    fast.encode_special_tokens = True
    return TextReader(fast, begin, made.eos_token_id if made.eos_token_id is not None else begin)


def loaded_tokenizer(spec: SourceSpec) -> Any:
    """A checkpoint's tokenizer, as an object of transformers."""
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

    Writes `heldout.parquet` and the tokenizer; the weights stay where they are. Raises UserError if the checkpoint
    cannot be loaded.
    """
    reader, model = read_tokenizer(spec), load(spec, serve, device)
    config: Any = model.config
    context = getattr(config, "max_position_embeddings", None) or None  # a model may have no limit
    write_heldout(model, reader, read_heldout(corpus), folder, min(context or LONGEST, LONGEST), device, progress)
    reader.tokenizer.save(str(folder / "tokenizer.json"))
    return CheckpointMeta(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        commit=getattr(config, "_commit_hash", None),
        tokenizer=digest([reader.tokenizer.to_str(), reader.begin, reader.end]),
        begin=reader.begin,
        end=reader.end,
        context=context,
    )
