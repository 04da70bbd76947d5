"""Sources of texts other than models trained here: what a task of them may say, and what identifies a checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.base.yaml_source import Scalar, Source

from .settings import Settings, SourceSpec
from .task_files import Preset, Task

TRAINING = ("tokenizer", "model", "optimizer", "schedule", "budget", "seeds", "finetune", "rerun")
"""Sections of settings that tell how a model is trained."""

NAMED = ("model", "revision", "subfolder", "model_args")
"""Fields in which `{replicate}` stands for the replicate's name."""


KNOWN_BY = (".safetensors", ".bin", ".json", ".txt", ".model", ".py")
"""Ends of the names of files that a checkpoint's folder is known by; notes and logs beside them are no part of it."""


def replicates(spec: SourceSpec) -> list[str]:
    """Names of the replicates, one empty name where there are none."""
    return [name.strip() for name in spec.replicate.split(",") if name.strip()] or [""]


def faults(
    task: Task, file: Source, levels: Mapping[str, Preset], chosen: Source, given: Mapping[str, Scalar]
) -> Iterable[str]:
    """Say what a task of other sources asks for and cannot have; `given`: what is set on the command line."""
    first = next(iter(levels.values())).settings
    kind, spec = first.source.kind, first.source
    place = ("settings", "source", "kind")
    if kind == "train":
        if spec != SourceSpec():
            what = "what source says changes nothing while source.kind is 'train'"
            # Where no settings speak of the source, it is the levels that do.
            yield chosen.fault(place, what) if place[:2] in chosen.where else file.fault(("factor", "fields"), what)
        return
    if kind == "texts":
        yield chosen.fault(place, "texts that exist are no task: natfp-bench run --texts FILE")
        return
    for i, path in enumerate(task.factor.fields):
        if path.split(".")[0] in TRAINING:
            yield file.fault(("factor", "fields", i), f"{path!r} changes nothing: a {kind} source is not trained here")
    for path in given:
        if path.split(".")[0] in (*TRAINING, "replicates"):
            yield f"--set {path}={given[path]}: changes nothing: a {kind} source is not trained here"
    names = replicates(spec)
    if len(set(names)) < len(names):
        yield chosen.fault(("settings", "source", "replicate"), "a replicate stands twice")
    for level, preset in levels.items():
        yield from (f"{fault} (level {level!r})" for fault in _level(preset.settings, names, chosen))
    if kind == "lm_eval" and not first.sampling.prompt_characters:
        what = "lm-eval's backends take no empty prompt: set sampling.prompt_characters"
        yield chosen.fault(place, what)


def _level(settings: Settings, names: list[str], chosen: Source) -> Iterable[str]:
    spec = settings.source
    if not spec.model:
        what = "source.model is empty: it takes " + (
            "a Hub id or a folder" if spec.kind == "checkpoint" else "the name of a backend of lm-eval"
        )
        yield chosen.fault(("settings", "source", "model"), what)
    used = any("{replicate}" in getattr(spec, name) for name in NAMED)
    if used != (names != [""]):
        what = "source.replicate names replicates, and {replicate} stands for them: neither is of use alone"
        yield chosen.fault(("settings", "source", "replicate"), what)


def is_folder(spec: SourceSpec) -> bool:
    """Whether a checkpoint lies in a folder; a path that is none is taken for one too, so that it is not looked up."""
    name = spec.filled(spec.model)
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def folder(spec: SourceSpec) -> Path:
    """Where a checkpoint lies that lies in a folder."""
    return Path(spec.filled(spec.model)).expanduser() / spec.filled(spec.subfolder)


def identity(spec: SourceSpec) -> dict[str, Any]:
    """What determines a checkpoint, as JSON: a folder's files, or a name and revision of the Hub.

    Raises UserError for a folder that is not there, or holds no model.
    """
    code = {"code": True} if spec.trust_remote_code else {}
    if not is_folder(spec):
        names = {"hub": spec.filled(spec.model), "revision": spec.filled(spec.revision) or "main"}
        return {**names, "subfolder": spec.filled(spec.subfolder), **code}
    place = folder(spec)
    if not (place / "config.json").is_file():
        what = "holds no config.json" if place.is_dir() else "is no folder"
        raise UserError(f"checkpoint {place} {what}\n  save_pretrained of model and tokenizer makes one")
    files = sorted(path for path in place.iterdir() if path.suffix in KNOWN_BY)
    return {"folder": [[path.name, file_digest(path)] for path in files], **code}


def require(specs: Iterable[SourceSpec]) -> None:
    """Make sure that all checkpoints of the Hub can be had before any work is done; folders tell in `identity`.

    Their configuration is fetched, or found in the cache. Raises UserError that names all that are missing, and the
    commands that fetch them.
    """
    missing: dict[str, str] = {}
    for spec in specs:
        if not is_folder(spec) and (why := _unreachable(spec)):
            name, revision = spec.filled(spec.model), spec.filled(spec.revision)
            command = ["hf", "download", name, *(["--revision", revision] if revision else [])]
            missing.setdefault(shlex.join(command), f"{name}{f' at {revision}' if revision else ''}: {why}")
    if missing:
        lines = [f"{len(missing)} checkpoints cannot be had:", *(f"  {line}" for line in missing.values())]
        raise UserError("\n".join([*lines, "where there is a network:", *(f"  {command}" for command in missing)]))


def _unreachable(spec: SourceSpec) -> str | None:
    """Why a Hub id's configuration cannot be had, None where it can."""
    import huggingface_hub
    from huggingface_hub import errors

    name, revision = spec.filled(spec.model), spec.filled(spec.revision) or None
    try:
        huggingface_hub.hf_hub_download(name, "config.json", subfolder=spec.filled(spec.subfolder), revision=revision)
    except errors.GatedRepoError:
        return f"gated: accept its terms at https://huggingface.co/{name}, then hf auth login"
    except errors.RepositoryNotFoundError:
        return "the Hub knows no such model (or it is private: hf auth login)"
    except errors.RevisionNotFoundError:
        return "the Hub knows the model, and no such revision of it"
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            return "not in the cache, and the Hub cannot be reached"
        return "it holds no config.json"
    except errors.HFValidationError:
        return "no Hub id (owner/name), and no folder"
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None
