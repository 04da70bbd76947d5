"""The files of a checkpoint: what identifies it, where it is, and whether the Hub has it. No model is loaded."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.plan.text_settings import SourceSpec

CONFIG = "config.json"

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
"""Files that hold a model's weights, or name those that do; the first that exists counts."""

KNOWN_BY = (".safetensors", ".bin", ".json", ".txt", ".model", ".py")
"""Suffixes of the files that identify a checkpoint's folder; notes and logs beside them do not count."""


HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""Form of a Hub id: a name, mostly with its owner before it."""

PATIENCE = 10.0
"""Seconds that the Hub has for its first answer."""

WHOLE = re.compile(r"BOOL|[IU]\d+")
"""Types of whole numbers in safetensors files."""

LFS = b"version https://git-lfs"
"""How a pointer of git-lfs begins."""


def title(spec: SourceSpec) -> str:
    """What messages call a checkpoint."""
    inside = f", folder {spec.filled(spec.subfolder)}" if spec.subfolder else ""
    return f"checkpoint {folder(spec)}" if is_folder(spec) else f"checkpoint {spec.filled(spec.model)}{inside}"


def hub_place(spec: SourceSpec) -> str | None:
    """What of the Hub a checkpoint is: its id, revision and subfolder in words; None if it is in a folder."""
    if not spec.model or is_folder(spec):
        return None
    inside = f", folder {spec.filled(spec.subfolder)}" if spec.subfolder else ""
    return f"{spec.filled(spec.model)} at {spec.filled(spec.revision) or 'main'}{inside}"


def is_folder(spec: SourceSpec) -> bool:
    """Whether a checkpoint is in a folder; a path counts as one even if it is missing, so that the Hub is not asked."""
    name = spec.filled(spec.model)
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def folder(spec: SourceSpec) -> Path:
    """Folder of a checkpoint that is in a folder."""
    return Path(spec.filled(spec.model)).expanduser() / spec.filled(spec.subfolder)


def identity(spec: SourceSpec) -> dict[str, Any]:
    """What determines a checkpoint, as JSON: the files of a folder, or a name and revision on the Hub.

    Raises UserError if the folder does not exist or holds no model.
    """
    code = {"code": True} if spec.trust_remote_code else {}
    if not is_folder(spec):
        names = {"hub": spec.filled(spec.model), "revision": spec.filled(spec.revision) or "main"}
        file = {"gguf": spec.gguf_file} if spec.gguf_file else {}
        return {**names, "subfolder": spec.filled(spec.subfolder), **file, **code}
    place = folder(spec)
    if revision := spec.filled(spec.revision):
        raise UserError(
            f"checkpoint {place}: source.revision is {revision}, and a folder has no revisions\n"
            "  name a folder for each, in source.model or source.subfolder"
        )
    if spec.gguf_file:
        path = place / spec.gguf_file
        if not path.is_file():
            raise UserError(
                f"checkpoint {place}: there is no file {spec.gguf_file}\n"
                "  source.model is the folder, source.gguf_file the name of the file in it"
            )
        _check_whole(path)
        return {"gguf": file_digest(path)}
    if not (place / CONFIG).is_file():
        if (place / "adapter_config.json").is_file():
            raise UserError(
                f"checkpoint {place} holds an adapter without the model that it changes\n"
                "  merge_and_unload of peft, then save_pretrained, writes the model as a whole"
            )
        what = "holds no config.json" if place.is_dir() else "is no folder"
        raise UserError(f"checkpoint {place} {what}\n  save_pretrained of model and tokenizer writes such a folder")
    if all((place / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise UserError(
            f"checkpoint {place}: it has two sets of weights, model.safetensors and what its index names\n"
            "  remove the set that is not meant"
        )
    files = sorted(path for path in place.iterdir() if path.suffix in KNOWN_BY)
    for path in files:
        if not path.is_file():
            what = "a link that leads nowhere" if path.is_symlink() else "not a file"
            raise UserError(f"{path}: {what}\n  copy or download the checkpoint again")
        _check_whole(path)
    return {"folder": [[path.name, file_digest(path)] for path in files], **code}


def _check_whole(path: Path) -> None:
    """Raise UserError if a file is a pointer of git-lfs, or holds fewer tensors than its head says."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        pointer = file.read(len(LFS)) == LFS
    if pointer:
        raise UserError(f"{path}: this is a pointer of git-lfs, not the file itself\n  git lfs pull   fetches the file")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "numpy"):
                pass
        except SafetensorError as error:
            raise UserError(f"{path}: damaged, or not whole ({error})\n  copy or download it again") from None


def find_file(spec: SourceSpec, name: str) -> Path | None:
    """Find a file of a checkpoint, which the Hub sends if it is in no folder; None if there is no such file."""
    import huggingface_hub
    from huggingface_hub import errors

    if is_folder(spec):
        return path if (path := folder(spec) / name).is_file() else None
    place = {"subfolder": spec.filled(spec.subfolder), "revision": spec.filled(spec.revision) or None}
    try:
        return Path(
            huggingface_hub.hf_hub_download(spec.filled(spec.model), name, **place, local_files_only=not online())
        )
    except errors.EntryNotFoundError:
        return None


def model_type(spec: SourceSpec) -> str | None:
    """What a checkpoint's configuration calls its layout, None if it says nothing."""
    try:
        path = find_file(spec, CONFIG)
        found = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None  # whoever loads the checkpoint says what is wrong
    return found.get("model_type") if isinstance(found, dict) else None


def find_weights(spec: SourceSpec) -> dict[str, Path]:
    """Find the files of a checkpoint's configuration and weights, by name; raises UserError if there are none."""
    found = {name: path for name in (CONFIG, *WEIGHTS) if (path := find_file(spec, name))}
    first = next((name for name in WEIGHTS if name in found), None)
    if first is None:
        raise UserError(f"{title(spec)}: it holds no weights under one of the names {', '.join(WEIGHTS)}")
    found = {name: path for name, path in found.items() if name in (CONFIG, first)}
    if first.endswith(".index.json"):
        parts = sorted(set(json.loads(found[first].read_text(encoding="utf-8"))["weight_map"].values()))
        for name in parts:
            if (path := find_file(spec, name)) is None:
                raise UserError(f"{title(spec)}: {name} is missing, which {first} names")
            found[name] = path
    return found


def whole_numbers(folder: Path) -> set[str]:
    """Names of the tensors in a folder's safetensors files that hold whole numbers."""
    from safetensors import safe_open

    found: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            found.update(key for key in file.keys() if WHOLE.fullmatch(file.get_slice(key).get_dtype()))  # noqa: SIM118
    return found


def require(specs: Iterable[SourceSpec]) -> None:
    """Make sure, before any work, that all checkpoints on the Hub are available; `identity` checks folders.

    Fetches their configurations, or finds them in the cache. Raises one UserError that names all missing checkpoints
    and the commands that fetch them.
    """
    missing: dict[str, str] = {}
    wrong: list[str] = []
    specs = list(specs)
    if any(spec.gguf_file for spec in specs):
        require_packages("GGUF files need", ("gguf", "accelerate"))
    for spec in specs:
        name, revision = spec.filled(spec.model), spec.filled(spec.revision)
        if is_folder(spec):
            continue
        if not HUB_ID.fullmatch(name):
            wrong.append(name)
        elif why := _unavailable(spec):
            command = ["hf", "download", name, *(["--revision", revision] if revision else [])]
            missing.setdefault(shlex.join(command), f"{name}{f' at {revision}' if revision else ''}: {why}")
    if wrong:
        listed = "\n".join(f"  {name}" for name in dict.fromkeys(wrong))
        raise UserError(
            f"no such folder, and no id of the Hub either:\n{listed}\n"
            "  an id has the form owner/name; a path that begins with ./ or / always means a folder"
        )
    if missing:
        lines = [f"{len(missing)} checkpoints are not available:", *(f"  {line}" for line in missing.values())]
        raise UserError("\n".join([*lines, "fetch them with:", *(f"  {command}" for command in missing)]))


def require_packages(what: str, names: Iterable[str]) -> None:
    """Raise UserError if optional packages are missing; what: who needs them, as the beginning of a sentence."""
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        raise UserError(f"{what} {' and '.join(missing)}\n  pip install {' '.join(missing)}")


@functools.cache
def online() -> bool:
    """Whether the Hub answers; one question without retries, so that a machine without a network learns it at once."""
    import huggingface_hub
    from huggingface_hub import constants

    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # what it raises depends on the library that speaks HTTP
        return False
    return True


def _unavailable(spec: SourceSpec) -> str | None:
    """Why the configuration of a Hub id is not available, None if it is."""
    import huggingface_hub
    from huggingface_hub import errors

    name, revision = spec.filled(spec.model), spec.filled(spec.revision) or None
    place = {"subfolder": spec.filled(spec.subfolder), "revision": revision}
    try:
        huggingface_hub.hf_hub_download(name, spec.gguf_file or CONFIG, **place, local_files_only=not online())
    except errors.GatedRepoError:
        return f"gated: accept its terms at https://huggingface.co/{name}, then hf auth login"
    except errors.RepositoryNotFoundError:
        return "the Hub has no such model (if it is private: hf auth login)"
    except errors.RevisionNotFoundError:
        return "the Hub has the model, but not this revision"
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            return "not in the cache, and the Hub cannot be reached"
        return f"it has no {spec.gguf_file or CONFIG}"
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.OfflineModeIsEnabled, OSError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None
